//! The server's side: connections of a listener after their handshakes. Handshakes have a
//! deadline and a bound, in all and for each address, and one address may not fail often. When there
//! are too many, the oldest one ends: an honest handshake takes milliseconds, one that is held open
//! does not.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::Extensions;
use paasta_process::{
    accept::{Acceptor, Activity, Guarded},
    http::{Accept, Accepted},
    metrics::{Counts, Meters},
    throttle::Throttle,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::{AbortHandle, Id, JoinSet},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    flood::{FailureRate, Failures},
    leaf,
    peer::Peer,
    reason::{HandshakeError, Reason},
    tls::{Protocol, Tls},
};

/// Between two log lines of handshakes that failed for the same reason, at least.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Handshakes that are begun before those that are done are looked at again.
const BEGUN_MAX: usize = 16;

/// Bounds on handshakes that are under way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HandshakeLimits {
    /// In all.
    pub total: usize,
    /// From one address.
    pub per_address: usize,
    /// How long one may take.
    pub within: Duration,
    /// How many may fail, from one address.
    pub failures: FailureRate,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self {
            total: 256,
            per_address: 32,
            within: Duration::from_secs(5),
            failures: FailureRate {
                burst: 50.0,
                per_second: 10.0,
            },
        }
    }
}

/// What a daemon counts of its handshakes. Clones are the same.
#[derive(Debug, Clone)]
pub struct Handshakes {
    failed: Counts,
}

impl Handshakes {
    /// Counts in `meters`; once for a daemon.
    pub fn new(meters: &Meters) -> Self {
        let failed = meters.counts(
            "paasta_tls_handshakes_failed_total",
            "TLS handshakes of clients that failed, by reason; what each means is in docs/operate/tls.md.",
            &["reason"],
        );
        for reason in Reason::ALL {
            failed.with_label_values(&[reason.as_str()]);
        }
        Self { failed }
    }

    fn count(&self, reason: Reason) {
        self.failed.with_label_values(&[reason.as_str()]).inc();
    }

    /// How many failed for this reason.
    #[must_use]
    pub fn failed(&self, reason: Reason) -> u64 {
        self.failed.with_label_values(&[reason.as_str()]).get()
    }
}

type Outcome = Result<Secured, HandshakeError>;

/// A handshake that is under way.
#[derive(Debug)]
struct HalfOpen {
    id: Id,
    address: SocketAddr,
    abort: AbortHandle,
}

/// A listener that speaks TLS; a stream of connections.
#[derive(Debug)]
pub struct SecureAcceptor {
    acceptor: Acceptor,
    tls: Tls,
    protocol: Protocol,
    limits: HandshakeLimits,
    counts: Handshakes,
    running: JoinSet<Outcome>,
    /// The oldest first; as many as `limits.total`, at most.
    half_open: VecDeque<HalfOpen>,
    failures: Failures,
    logged: Throttle<Reason>,
}

impl SecureAcceptor {
    /// Speaks TLS on the connections of `acceptor`, for gRPC.
    pub fn new(acceptor: Acceptor, tls: Tls, limits: HandshakeLimits, counts: Handshakes) -> Self {
        Self {
            acceptor,
            tls,
            protocol: Protocol::Grpc,
            limits,
            counts,
            running: JoinSet::new(),
            half_open: VecDeque::new(),
            failures: Failures::new(limits.failures),
            logged: Throttle::new(LOG_EVERY),
        }
    }

    /// The same, for HTTP.
    #[must_use]
    pub fn http(self) -> Self {
        Self {
            protocol: Protocol::Http,
            ..self
        }
    }

    /// The listener below.
    pub fn acceptor(&self) -> &Acceptor {
        &self.acceptor
    }

    /// The next connection whose handshake is done.
    pub async fn next(&mut self) -> Secured {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`SecureAcceptor::next`], for streams.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Secured> {
        // Those that are done go first: a flood of new connections does not keep them waiting.
        if let Poll::Ready(secured) = self.poll_ended(context) {
            return Poll::Ready(secured);
        }
        let mut begun = 0;
        while begun < BEGUN_MAX
            && let Poll::Ready(guarded) = self.acceptor.poll_next(context)
        {
            self.begin(guarded);
            begun += 1;
        }
        if begun == BEGUN_MAX {
            context.waker().wake_by_ref();
        }
        // The new ones wake this task as well.
        self.poll_ended(context)
    }

    /// The next handshake that succeeded.
    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<Secured> {
        while let Poll::Ready(Some(ended)) = self.running.poll_join_next_with_id(context) {
            let id = match &ended {
                Ok((id, _)) => *id,
                Err(error) => error.id(),
            };
            let at = self.half_open.iter().position(|one| one.id == id);
            let address = at.and_then(|at| self.half_open.remove(at));
            match ended {
                Ok((_, Ok(secured))) => return Poll::Ready(secured),
                Ok((_, Err(error))) => self.failed(address.map(|one| one.address), &error),
                // It was evicted, and counted then.
                Err(_) => {}
            }
        }
        Poll::Pending
    }

    fn begin(&mut self, guarded: Guarded) {
        let address = guarded.address();
        if !self.failures.admits(address.ip(), Instant::now()) {
            self.counts.count(Reason::TooFast);
            return;
        }
        let from = |one: &&HalfOpen| one.address.ip() == address.ip();
        if self.half_open.iter().filter(from).count() >= self.limits.per_address {
            self.counts.count(Reason::TooMany);
            return;
        }
        if self.half_open.len() >= self.limits.total
            && let Some(oldest) = self.half_open.pop_front()
        {
            oldest.abort.abort();
            self.counts.count(Reason::Evicted);
        }
        let (acceptor, within) = (
            TlsAcceptor::from(self.tls.server(self.protocol)),
            self.limits.within,
        );
        let abort = self.running.spawn(accept(acceptor, within, guarded));
        self.half_open.push_back(HalfOpen {
            id: abort.id(),
            address,
            abort,
        });
    }

    /// Counts every failure; logs one of each reason in 10 s, at most, as strangers can cause any
    /// number.
    fn failed(&mut self, address: Option<SocketAddr>, error: &HandshakeError) {
        self.counts.count(error.reason());
        let now = Instant::now();
        // One that says nothing costs nothing; how many there are is bounded.
        if let Some(address) = address
            && !matches!(error.reason(), Reason::Closed | Reason::Late)
        {
            self.failures.failed(address.ip(), now);
        }
        let Some(left_out) = self.logged.admit(&error.reason(), now) else {
            return;
        };
        let address = address.map(|address| address.to_string());
        tracing::warn!(
            address = address.unwrap_or_default(),
            reason = error.reason().as_str(),
            left_out,
            %error,
            "a TLS handshake failed"
        );
    }
}

impl Accept for SecureAcceptor {
    type Stream = Secured;

    /// Requests have the [`Peer`] among their extensions, in an [`Arc`].
    async fn accept(&mut self) -> Accepted<Secured> {
        let stream = self.next().await;
        let mut proof = Extensions::new();
        proof.insert(stream.peer());
        Accepted {
            activity: stream.activity(),
            stream,
            proof,
        }
    }
}

async fn accept(acceptor: TlsAcceptor, within: Duration, guarded: Guarded) -> Outcome {
    let (activity, address) = (guarded.activity(), guarded.address());
    let stream = match timeout(within, acceptor.accept(guarded)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(HandshakeError::of(&error)),
        Err(_) => return Err(HandshakeError::late()),
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    // The verifier has read it already; it is not trusted to have.
    let proven = certificates.first().map(leaf::proven).transpose();
    let proven = proven.map_err(|error| HandshakeError::of_tls(&error.into_tls()))?;
    Ok(Secured {
        stream: Box::new(stream),
        activity,
        address: address.ip(),
        peer: Arc::new(Peer::new(proven)),
    })
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Secured {
    stream: Box<TlsStream<Guarded>>,
    activity: Arc<Activity>,
    address: IpAddr,
    peer: Arc<Peer>,
}

impl Secured {
    /// What goes on on it.
    pub fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// The address at the other end.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The proven other end.
    pub fn peer(&self) -> Arc<Peer> {
        Arc::clone(&self.peer)
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
