//! Taking connections, never more than there may be: limits in all and for each address, a
//! deadline for a client that sends nothing, and a reserve of file descriptors for everything else that a
//! daemon opens. What speaks on a connection is the daemon's own affair.

mod connection;
mod files;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    net::TcpListener,
    time::{Sleep, sleep},
};

pub use connection::{Activity, Busy, Guarded};
pub use files::{RESERVED, raise_limit};

use crate::metrics::{Counts, Meters, Page};

/// How long to rest after a connection could not be taken: the process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

tokio::task_local! {
    /// Whose request the present task answers.
    static CLIENT: IpAddr;
}

/// The address whose request the present task answers, where that was said by
/// [`on_behalf_of`].
pub fn current_client() -> Option<IpAddr> {
    CLIENT.try_with(|client| *client).ok()
}

/// Answers a request of this address.
pub async fn on_behalf_of<F: Future>(client: IpAddr, answering: F) -> F::Output {
    CLIENT.scope(client, answering).await
}

/// How many connections there may be, and how long they may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub total: usize,
    /// From one address.
    pub per_address: usize,
    /// How long a connection may take to say a first whole thing.
    pub handshake: Duration,
    /// How long it may go without a request under way.
    pub idle: Duration,
}

/// How many bytes make a first whole thing: fewer by the handshake's end, and it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting(pub u64);

/// A listener with limits; a stream of connections.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    limits: Limits,
    greeting: Greeting,
    open: Arc<Open>,
    pause: Option<Pin<Box<Sleep>>>,
}

/// What a daemon counts of connections that it refuses or closes, at all its endpoints. Clones are
/// the same.
#[derive(Debug, Clone)]
pub struct Refusals {
    refused: Counts,
    closed: Counts,
}

impl Refusals {
    /// Counts in `meters`; once for a daemon.
    pub fn new(meters: &Meters) -> Self {
        Self {
            refused: meters.counts(
                "paasta_connections_refused_total",
                "Connections that were closed at once, by endpoint and reason: total or address (there were too many), files (no descriptor was left).",
                &["endpoint", "reason"],
            ),
            closed: meters.counts(
                "paasta_connections_closed_total",
                "Connections that were closed, by endpoint and reason: handshake or idle (the client sent nothing), evicted (others needed the place).",
                &["endpoint", "reason"],
            ),
        }
    }
}

/// What is open, and what was refused. Clones of the [`Arc`] are the same.
#[derive(Debug)]
pub struct Open {
    endpoint: &'static str,
    table: Mutex<Table>,
    refusals: Refusals,
    serial: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    total: usize,
    by_address: BTreeMap<IpAddr, usize>,
    /// Those that have not asked for anything yet, the oldest first: when there are too many, they
    /// go.
    unused: BTreeMap<u64, Arc<Activity>>,
}

impl Open {
    /// Nothing is open yet at this endpoint, `grpc` or `http`.
    pub fn new(endpoint: &'static str, refusals: &Refusals) -> Arc<Self> {
        let refusals = refusals.clone();
        for reason in ["total", "address", "files"] {
            refusals.refused.with_label_values(&[endpoint, reason]);
        }
        for reason in ["handshake", "idle", "evicted"] {
            refusals.closed.with_label_values(&[endpoint, reason]);
        }
        Arc::new(Self {
            endpoint,
            table: Mutex::default(),
            refusals,
            serial: AtomicU64::new(0),
        })
    }

    /// How many connections are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table.lock().total
    }

    /// Adds what is open to a page of metrics.
    pub fn measure(all: &[&Self], page: &mut Page) {
        page.gauges(
            "paasta_connections_open",
            "Connections that are open, by endpoint.",
            ["endpoint"],
            all.iter()
                .map(|open| ([open.endpoint], open.count() as f64)),
        );
    }

    fn refuse(&self, reason: &str) {
        self.refusals
            .refused
            .with_label_values(&[self.endpoint, reason])
            .inc();
    }

    fn close(&self, reason: &str) {
        self.refusals
            .closed
            .with_label_values(&[self.endpoint, reason])
            .inc();
    }

    /// A place for a connection from `address`, or why there is none.
    fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        limits: &Limits,
    ) -> Result<Arc<Activity>, &'static str> {
        let mut table = self.table.lock();
        let here = table.by_address.get(&address).copied().unwrap_or(0);
        if here >= limits.per_address {
            return Err("address");
        }
        if table.total >= limits.total {
            // A client that only holds a place makes room for one that may use it.
            let Some((_, oldest)) = table.unused.pop_first() else {
                return Err("total");
            };
            oldest.close();
            self.close("evicted");
        }
        table.total += 1;
        *table.by_address.entry(address).or_default() += 1;
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let activity = Arc::new(Activity::new(serial, address, Arc::clone(self)));
        table.unused.insert(serial, Arc::clone(&activity));
        Ok(activity)
    }

    fn leave(&self, serial: u64, address: IpAddr) {
        let mut table = self.table.lock();
        table.unused.remove(&serial);
        table.total = table.total.saturating_sub(1);
        let none_left = table.by_address.get_mut(&address).is_some_and(|count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
        if none_left {
            table.by_address.remove(&address);
        }
    }

    /// It has asked for something: it is nobody who only holds a place.
    fn used(&self, serial: u64) {
        self.table.lock().unused.remove(&serial);
    }
}

impl Acceptor {
    /// Takes connections of `listener`.
    pub fn new(listener: TcpListener, limits: Limits, greeting: Greeting, open: Arc<Open>) -> Self {
        Self {
            listener,
            limits,
            greeting,
            open,
            pause: None,
        }
    }

    /// What is open.
    pub fn open(&self) -> Arc<Open> {
        Arc::clone(&self.open)
    }

    /// The next connection. What cannot be taken is counted and closed; where the process has no
    /// descriptor left, it waits a moment.
    pub async fn next(&mut self) -> Guarded {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Acceptor::next`], for streams.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Guarded> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(context)) {
                Ok((stream, address)) => match self.open.enter(address.ip(), &self.limits) {
                    Ok(activity) => {
                        // An answer in several pieces does not wait for acknowledgements.
                        if let Err(error) = stream.set_nodelay(true) {
                            tracing::debug!(%error, "a connection answers late");
                        }
                        let (limits, greeting) = (self.limits, self.greeting);
                        let guarded = Guarded::new(stream, address, limits, greeting, activity);
                        return Poll::Ready(guarded);
                    }
                    Err(reason) => self.refuse(address, reason),
                },
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    self.open.refuse("files");
                    tracing::warn!(%error, "a connection could not be taken");
                    self.pause = Some(Box::pin(sleep(ACCEPT_PAUSE)));
                }
            }
        }
    }

    fn refuse(&self, address: SocketAddr, reason: &'static str) {
        self.open.refuse(reason);
        tracing::debug!(%address, reason, "a connection was refused: there are too many");
    }
}

/// Whether it was the connection that failed, before it could be taken.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests;
