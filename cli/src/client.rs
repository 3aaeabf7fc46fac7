//! The way to a coordinator: which one to ask, for how long, and what to say when none answers.
//! The calls themselves are made by the verbs.

use std::{
    error::Error as _,
    path::{Path, PathBuf},
    time::Duration,
};

pub use paasta_common::address::Address;
use paasta_identity::{
    Tls,
    connect::Expected,
    plain::{PlainConnector, PlainError},
};
use paasta_process::backoff::Retry;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint},
};

/// The largest answer accepted, in bytes: a page of 1000 instances with 100 replicas each has room.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
/// How long a connection may take, at most: a host that is down must not use up the deadline.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// The least time that one coordinator is given before the next one is asked.
const SHARE_MIN: Duration = Duration::from_millis(250);
/// The longest pause after all coordinators were asked in vain.
const PAUSE_MAX: Duration = Duration::from_millis(500);
const NO_ANSWER: &str = "no answer in time";

/// What one coordinator did.
#[derive(Debug, Clone)]
pub struct Attempt {
    address: Address,
    /// The code of its answer, if it gave one.
    code: Option<Code>,
    words: String,
    /// Whether it was not dialled: without a certificate only loopback is. Waiting changes nothing.
    kept_back: bool,
}

/// A call that got no useful answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody answered in time, or nobody who could.
    #[error("{}{}", headline(*.within, .attempts), summary(.attempts))]
    Unreachable {
        /// The deadline that passed.
        within: Duration,
        /// The last that each coordinator did.
        attempts: Vec<Attempt>,
    },
    /// A coordinator answered, and said no.
    #[error("{message} (from coordinator {address})")]
    Refused {
        /// Who said so.
        address: Address,
        /// Its code.
        code: Code,
        /// Its words.
        message: String,
    },
}

/// The coordinators, and the connection to the one that answered last.
#[derive(Debug)]
pub struct Coordinators {
    addresses: Vec<Address>,
    timeout: Duration,
    once: bool,
    tls: Option<Tls>,
    socket: Option<PathBuf>,
    connected: Option<(Address, Channel)>,
}

impl Coordinators {
    /// Coordinators to be asked in the given order, each call within `timeout` in all; by TLS where
    /// there is some.
    pub fn new(addresses: Vec<Address>, timeout: Duration, tls: Option<Tls>) -> Self {
        let connected = None;
        Self {
            addresses,
            timeout,
            once: false,
            tls,
            socket: None,
            connected,
        }
    }

    /// The coordinator behind a local socket, in the place of those with addresses.
    #[must_use]
    pub fn behind(self, socket: PathBuf) -> Self {
        let socket = Some(socket);
        Self { socket, ..self }
    }

    /// The same coordinators, each asked once: for what is not worth waiting for.
    #[must_use]
    pub fn once(self) -> Self {
        Self { once: true, ..self }
    }

    /// The coordinators, in the order in which they are asked.
    pub fn addresses(&self) -> Vec<Address> {
        self.addresses.clone()
    }

    /// How long each call may take in all.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The coordinator that answered last.
    pub fn answered(&self) -> Option<&Address> {
        self.connected.as_ref().map(|(address, _)| address)
    }

    /// Forgets the connection to the one that answered last: the next call begins at another one.
    pub fn disconnect(&mut self) {
        // The next in line first: the one that sent us away may still accept calls.
        if let Some((address, _)) = self.connected.take()
            && let Some(at) = self.addresses.iter().position(|other| *other == address)
        {
            self.addresses.rotate_left(at + 1);
        }
    }

    /// Calls the first coordinator that can answer. Those that cannot be reached, have no leader
    /// (UNAVAILABLE) or are not ready (FAILED_PRECONDITION) are passed over, again and again until
    /// the deadline: so `call` must be safe to make more than once.
    ///
    /// # Errors
    /// [`CallError`]: nobody answered, or somebody refused.
    pub async fn call<T, F>(&mut self, mut call: impl FnMut(Channel) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + self.timeout;
        let mut rounds = Retry::new();
        let mut last_words: Vec<Attempt> = Vec::new();
        loop {
            let mut attempts: Vec<Attempt> = Vec::new();
            let order = self.order();
            for (at, address) in order.iter().enumerate() {
                let until = share(deadline, order.len() - at);
                match self.attempt(address, until, &mut call).await {
                    Ok(answer) => return Ok(answer),
                    Err(attempt) => attempts.push(attempt),
                }
                self.connected = None;
                let last = attempts.last().expect("one was pushed just now");
                if last.code.is_some_and(is_final) {
                    return Err(refused(last));
                }
            }
            // Nobody is ready and nobody says "not now": waiting would change nothing.
            let unready = |attempt: &Attempt| attempt.code == Some(Code::FailedPrecondition);
            if !attempts.is_empty() && attempts.iter().all(unready) {
                return Err(refused(&attempts[0]));
            }
            if are_kept_back(&attempts) {
                let within = self.timeout;
                return Err(CallError::Unreachable { within, attempts });
            }
            last_words = remembered(last_words, attempts);
            // An election takes about a second: the pauses grow, and stay short. A round without
            // time for an answer would only hide what the earlier ones were told.
            let pause = rounds.next_delay().min(PAUSE_MAX);
            if self.once || Instant::now() + pause + SHARE_MIN >= deadline {
                let (within, attempts) = (self.timeout, last_words);
                return Err(CallError::Unreachable { within, attempts });
            }
            sleep(pause).await;
        }
    }

    /// The addresses, the one that answered last in front.
    fn order(&self) -> Vec<Address> {
        let mut order = self.addresses.clone();
        if let Some((address, _)) = &self.connected {
            order.retain(|other| other != address);
            order.insert(0, address.clone());
        }
        order
    }

    async fn attempt<T, F>(
        &mut self,
        address: &Address,
        until: Instant,
        call: &mut impl FnMut(Channel) -> F,
    ) -> Result<T, Attempt>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let failed = |code, words| Attempt {
            address: address.clone(),
            code,
            words,
            kept_back: false,
        };
        let work = async {
            let channel = match &self.connected {
                Some((connected, channel)) if connected == address => channel.clone(),
                _ => match &self.socket {
                    Some(socket) => connect_local(socket).await,
                    None => connect(address, self.tls.as_ref()).await,
                }
                .map_err(|(words, kept_back)| Attempt {
                    kept_back,
                    ..failed(None, words)
                })?,
            };
            let answer = call(channel.clone()).await;
            let answer = answer.map_err(|status| match status.source() {
                // Made on this side of the wire: nobody said it.
                Some(_) => failed(None, unanswered(&status)),
                None => failed(Some(status.code()), words_of(&status)),
            })?;
            Ok((channel, answer.into_inner()))
        };
        match timeout_at(until, work).await {
            Ok(Ok((channel, answer))) => {
                self.connected = Some((address.clone(), channel));
                Ok(answer)
            }
            Ok(Err(attempt)) => Err(attempt),
            Err(_) => Err(failed(None, NO_ANSWER.to_owned())),
        }
    }
}

impl Attempt {
    /// What went wrong.
    pub fn words(&self) -> &str {
        &self.words
    }
}

impl CallError {
    /// Whether coordinators are up, but without a leader or even a cluster.
    pub fn is_leaderless(&self) -> bool {
        match self {
            Self::Unreachable { attempts, .. } => {
                attempts.iter().any(|attempt| attempt.code.is_some())
            }
            Self::Refused { code, .. } => *code == Code::FailedPrecondition,
        }
    }

    /// Whether what was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: Code::NotFound,
                ..
            }
        )
    }
}

/// A request that tells the coordinator how long its answer is waited for.
pub fn request<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

/// What each coordinator last did; an answer is not forgotten for a later silence.
fn remembered(before: Vec<Attempt>, now: Vec<Attempt>) -> Vec<Attempt> {
    let merge = |attempt: Attempt| {
        let told = before.iter().find(|old| old.address == attempt.address);
        match told.filter(|_| attempt.words == NO_ANSWER) {
            Some(old) => old.clone(),
            None => attempt,
        }
    };
    now.into_iter().map(merge).collect()
}

/// Every coordinator left gets an equal part of the time left.
fn share(deadline: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let parts = u32::try_from(left.max(1)).unwrap_or(u32::MAX);
    let part = (deadline.saturating_duration_since(now) / parts).max(SHARE_MIN);
    (now + part).min(deadline)
}

/// Connects; the error is what went wrong, and whether nothing was dialled.
async fn connect(address: &Address, tls: Option<&Tls>) -> Result<Channel, (String, bool)> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| (error.to_string(), false))?
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true);
    let connected = match tls {
        None => endpoint.connect_with_connector(PlainConnector).await,
        Some(tls) => {
            let connector = tls.connector(Expected::Any);
            endpoint.connect_with_connector(connector).await
        }
    };
    connected.map_err(|error| {
        let root = root_of(&error);
        let kept_back = matches!(root.downcast_ref(), Some(PlainError::Insecure { .. }));
        let words = match root.to_string().as_str() {
            "deadline has elapsed" => format!("no connection within {CONNECT_MAX:?}"),
            words => words.to_owned(),
        };
        (words, kept_back)
    })
}

/// Connects to a local socket, where the kernel proves the caller.
async fn connect_local(socket: &Path) -> Result<Channel, (String, bool)> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display()));
    let endpoint = endpoint.map_err(|error| (error.to_string(), false))?;
    let connected = endpoint.connect_timeout(CONNECT_MAX).connect().await;
    connected.map_err(|error| {
        let words = format!("{}: {}", socket.display(), root_of(&error));
        (words, false)
    })
}

fn words_of(status: &Status) -> String {
    match status.message() {
        "" => status.code().description().to_owned(),
        words => words.to_owned(),
    }
}

/// Why a call came back without an answer.
fn unanswered(status: &Status) -> String {
    match status.code() {
        Code::Cancelled | Code::DeadlineExceeded => NO_ANSWER.to_owned(),
        _ => root_of(status).to_string(),
    }
}

/// The end of the chain: what is above it says only "transport error".
fn root_of<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root
}

/// Whether another coordinator would say the same.
fn is_final(code: Code) -> bool {
    !matches!(
        code,
        Code::Unavailable
            | Code::FailedPrecondition
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Aborted
            | Code::ResourceExhausted
    )
}

fn refused(attempt: &Attempt) -> CallError {
    CallError::Refused {
        address: attempt.address.clone(),
        code: attempt.code.unwrap_or(Code::Unknown),
        message: attempt.words.clone(),
    }
}

/// Whether none was dialled.
fn are_kept_back(attempts: &[Attempt]) -> bool {
    !attempts.is_empty() && attempts.iter().all(|attempt| attempt.kept_back)
}

fn headline(within: Duration, attempts: &[Attempt]) -> String {
    match are_kept_back(attempts) {
        true => "no coordinator was asked".to_owned(),
        false => format!("no coordinator answered within {within:?}"),
    }
}

fn summary(attempts: &[Attempt]) -> String {
    let mut text = String::new();
    for attempt in attempts {
        text.push_str(&format!("\n  {}: {}", attempt.address, attempt.words));
    }
    // The words have the next step.
    if are_kept_back(attempts) {
        return text;
    }
    let answered = attempts.iter().any(|attempt| attempt.code.is_some());
    text.push_str(match answered {
        true => {
            "\nThe coordinators are there, but none could answer, perhaps because none leads.\n\
             Next: `paasta cluster node` shows what each of them sees; `--stale` (status, list,\n\
             metastatus) reads without a leader; `--timeout` waits longer."
        }
        false => {
            "\nNext: check that paasta-coordinator runs there (systemctl status \
             paasta-coordinator),\nand that --coordinators, PAASTA_COORDINATORS or cli.coordinators \
             in the configuration\nnames its address."
        }
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_not_forgotten_for_a_later_silence() {
        let attempt = |code, words: &str| Attempt {
            address: "h:1".parse().expect("an address"),
            code,
            words: words.to_owned(),
            kept_back: false,
        };
        let words = |before, now| remembered(vec![before], vec![now])[0].words.clone();
        let leaderless = attempt(Some(Code::Unavailable), "no leader");
        assert_eq!(
            words(leaderless.clone(), attempt(None, NO_ANSWER)),
            "no leader"
        );
        assert_eq!(words(leaderless, attempt(None, "refused")), "refused");
        assert_eq!(
            remembered(Vec::new(), vec![attempt(None, NO_ANSWER)])[0].words,
            NO_ANSWER
        );
    }

    #[test]
    fn the_error_says_what_was_tried_and_what_to_do() {
        let attempt = |code, words: &str| Attempt {
            address: "h:1".parse().expect("an address"),
            code,
            words: words.to_owned(),
            kept_back: false,
        };
        let error = |attempts| CallError::Unreachable {
            within: Duration::from_secs(10),
            attempts,
        };
        let away = error(vec![attempt(None, "connection refused")]);
        assert!(
            away.to_string()
                .contains("within 10s\n  h:1: connection refused\nNext: "),
            "{away}"
        );
        assert!(!away.is_leaderless());
        let leaderless = error(vec![attempt(Some(Code::Unavailable), "no leader now")]);
        assert!(
            leaderless.to_string().contains("paasta cluster node"),
            "{leaderless}"
        );
        assert!(leaderless.is_leaderless());
    }

    #[tokio::test]
    async fn what_must_not_be_dialled_is_said_at_once() {
        let addresses =
            ["192.0.2.1:1", "192.0.2.2:1"].map(|text| text.parse().expect("an address"));
        let limit = Duration::from_secs(60);
        let mut away = Coordinators::new(addresses.to_vec(), limit, None);
        let began = Instant::now();
        let answer = away.call(|_| async { Ok(Response::new(())) }).await;
        let said = answer.expect_err("a refusal").to_string();
        assert!(began.elapsed() < limit / 4, "{said}");
        assert!(
            said.starts_with("no coordinator was asked\n  192.0.2.1:1: refusing to speak"),
            "{said}"
        );
        assert!(!said.contains("Next:"), "{said}");
    }
}
