//! Clients that write and read registers all the time, by what operators use.
//!
//! A register is why a host is being drained: `maintenance drain` writes it with a request id, so
//! that a write whose answer was lost is sent again until it is answered, and done once;
//! `maintenance status` reads it from the leader. Each reader asks one coordinator only, so that
//! one that wrongly believes to lead is found out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use paasta_proto::v1::{
    Asker, DrainHostRequest, MaintenanceStatusRequest, RequestOutcome,
    operate_client::OperateClient,
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::Channel};

use super::history::{self, Act, Call, Refused};

/// How many write.
pub const WRITERS: usize = 6;
/// How many read.
pub const READERS: usize = 3;
/// How long one try may take.
const TRY_LIMIT: Duration = Duration::from_secs(2);
/// After so long the outcome of a write is unknown.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// Between two calls of a client.
const PAUSE: Duration = Duration::from_millis(40);

/// What the clients of one register saw, and all of them together.
#[derive(Default)]
struct Seen {
    calls: BTreeMap<String, Vec<Call>>,
    acknowledged: Vec<Instant>,
    reads: u64,
    refused: u64,
}

impl Seen {
    fn wrote(&mut self, register: String, call: Call) {
        if call.ended.is_some() {
            self.acknowledged.push(Instant::now());
        }
        self.calls.entry(register).or_default().push(call);
    }

    /// `None` for a read that was refused.
    fn read(&mut self, register: String, call: Option<Call>) {
        match call {
            Some(call) => {
                self.reads += 1;
                self.calls.entry(register).or_default().push(call);
            }
            None => self.refused += 1,
        }
    }
}

/// What clients saw in a span of time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// The longest time in which none was.
    pub longest_gap: Duration,
    /// Reads that were answered.
    pub reads: u64,
    /// Reads that were refused, or not answered in time.
    pub refused: u64,
}

/// The clients. Dropped, they stop.
pub struct Clients {
    seen: Arc<Mutex<Seen>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// What every client has.
#[derive(Clone)]
struct Common {
    registers: Arc<[String]>,
    channels: Arc<[Channel]>,
    seen: Arc<Mutex<Seen>>,
    ticks: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Clients {
    /// Starts them: on these hosts as registers, over these connections to the coordinators.
    pub fn start(registers: Vec<String>, channels: &[Channel]) -> Self {
        let common = Common {
            registers: registers.into(),
            channels: channels.into(),
            seen: Arc::default(),
            ticks: Arc::default(),
            stop: CancellationToken::new(),
        };
        let writers = (0..WRITERS).map(|at| tokio::spawn(common.clone().write(at)));
        let readers = (0..READERS).map(|at| tokio::spawn(common.clone().read(at)));
        Self {
            tasks: writers.chain(readers).collect(),
            seen: Arc::clone(&common.seen),
            stop: common.stop.clone(),
        }
    }

    /// The time that [`Clients::since`] counts from, with the reads so far.
    pub fn mark(&self) -> (Instant, u64, u64) {
        let seen = self.seen.lock();
        (Instant::now(), seen.reads, seen.refused)
    }

    /// What was seen since the mark.
    pub fn since(&self, (began, reads, refused): (Instant, u64, u64)) -> Span {
        let seen = self.seen.lock();
        let times: Vec<Instant> = seen
            .acknowledged
            .iter()
            .copied()
            .filter(|at| *at >= began)
            .collect();
        let mut longest_gap = Duration::ZERO;
        let mut last = began;
        for at in times.iter().copied().chain([Instant::now()]) {
            longest_gap = longest_gap.max(at.saturating_duration_since(last));
            last = at;
        }
        Span {
            acknowledged: times.len(),
            longest_gap,
            reads: seen.reads - reads,
            refused: seen.refused - refused,
        }
    }

    /// Waits until there is another acknowledged write and another read. False after `limit`.
    pub async fn progress(&self, limit: Duration) -> bool {
        let (_, reads, _) = self.mark();
        let writes = self.seen.lock().acknowledged.len();
        let deadline = Instant::now() + limit;
        loop {
            let progressed = {
                let seen = self.seen.lock();
                seen.reads > reads && seen.acknowledged.len() > writes
            };
            if progressed {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether everything that was seen so far can have been registers; how many calls that were.
    ///
    /// # Errors
    /// The register's name and why not.
    pub fn check(&self) -> Result<usize, (String, Refused)> {
        let calls = self.seen.lock().calls.clone();
        for (register, calls) in &calls {
            history::check(0, calls).map_err(|refused| (register.clone(), refused))?;
        }
        Ok(calls.values().map(Vec::len).sum())
    }

    /// Stops them, each after the call that it is at.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for task in self.tasks.drain(..) {
            // One that panicked has said why.
            let _ = task.await;
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Common {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    fn register(&self, at: u64) -> &str {
        let at = usize::try_from(at).unwrap_or_default() % self.registers.len();
        &self.registers[at]
    }

    async fn write(self, at: usize) {
        let mut asked = at;
        let mut round = 0_u64;
        while !self.stop.is_cancelled() {
            round += 1;
            // Values are never 0, which stands for a host that was never drained.
            let value = round * 100 + at as u64 + 1;
            let register = self.register(round + at as u64).to_owned();
            let began = self.tick();
            let ended = self.write_one(&register, value, at, &mut asked).await;
            let ended = ended.then(|| self.tick());
            let call = Call {
                client: at,
                act: Act::Write(value),
                began,
                ended,
            };
            self.seen.lock().wrote(register, call);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends a write until it is acknowledged. False when it is unknown whether it was done.
    async fn write_one(&self, register: &str, value: u64, at: usize, asked: &mut usize) -> bool {
        let request = DrainHostRequest {
            asker: Some(Asker {
                request_id: format!("hostile-{at}-{value}"),
                by: format!("writer-{at}@test"),
            }),
            host: register.to_owned(),
            reason: value.to_string(),
            for_ms: 0,
        };
        let deadline = Instant::now() + WRITE_LIMIT;
        while Instant::now() < deadline && !self.stop.is_cancelled() {
            let channel = self.channels[*asked % self.channels.len()].clone();
            let mut client = OperateClient::new(channel);
            let answer = client.drain_host(request.clone());
            match within(answer).await {
                Ok(answer) if answer.outcome() != RequestOutcome::Refused => return true,
                Ok(_) | Err(_) => *asked += 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
        false
    }

    async fn read(self, at: usize) {
        let client = WRITERS + at;
        let mut round = 0;
        while !self.stop.is_cancelled() {
            round += 1;
            let register = self.register(round).to_owned();
            let channel = self.channels[at % self.channels.len()].clone();
            let request = MaintenanceStatusRequest {
                hosts: vec![register.clone()],
            };
            let began = self.tick();
            let mut asked = OperateClient::new(channel);
            let answer = within(asked.maintenance_status(request)).await;
            let ended = self.tick();
            let value = answer.ok().and_then(|answer| {
                let host = answer.hosts.into_iter().next()?;
                match host.reason.is_empty() {
                    true => Some(0),
                    false => host.reason.parse().ok(),
                }
            });
            let call = value.map(|value| Call {
                client,
                act: Act::Read(value),
                began,
                ended: Some(ended),
            });
            self.seen.lock().read(register, call);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn within<T>(
    answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(TRY_LIMIT, answer).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer in time")),
    }
}
