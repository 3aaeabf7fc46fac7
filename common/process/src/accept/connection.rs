//! One connection, with its deadlines: it ends as if the peer had closed it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{Greeting, Limits, Open};

/// How long a connection may go without ever asking for anything.
const UNUSED_MAX: Duration = Duration::from_secs(60);

/// What goes on on a connection.
#[derive(Debug)]
pub struct Activity {
    serial: u64,
    address: IpAddr,
    open: Arc<Open>,
    closing: CancellationToken,
    used: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    under_way: usize,
    /// Since when nothing is under way.
    since: Instant,
}

impl Activity {
    pub(super) fn new(serial: u64, address: IpAddr, open: Arc<Open>) -> Self {
        Self {
            serial,
            address,
            open,
            closing: CancellationToken::new(),
            used: AtomicBool::new(false),
            state: Mutex::new(State {
                under_way: 0,
                since: Instant::now(),
            }),
        }
    }

    /// Who is at the other end.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// A request begins; it is under way until what this returns is dropped.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.state.lock().under_way += 1;
        if !self.used.swap(true, Ordering::Relaxed) {
            self.open.used(self.serial);
        }
        Busy(Arc::clone(self))
    }

    /// Ends the connection as if the other end had closed it.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Since when it is idle; nothing while a request is under way.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        (state.under_way == 0).then_some(state.since)
    }
}

/// A request that is under way.
#[derive(Debug)]
pub struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.under_way = state.under_way.saturating_sub(1);
        state.since = Instant::now();
    }
}

/// A connection that ends when it says nothing for too long.
#[derive(Debug)]
pub struct Guarded {
    stream: TcpStream,
    address: SocketAddr,
    limits: Limits,
    greeting: Greeting,
    activity: Arc<Activity>,
    received: u64,
    deadline: Pin<Box<Sleep>>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
}

impl Guarded {
    pub(super) fn new(
        stream: TcpStream,
        address: SocketAddr,
        limits: Limits,
        greeting: Greeting,
        activity: Arc<Activity>,
    ) -> Self {
        let deadline = Box::pin(sleep_until(Instant::now() + limits.handshake));
        let closing = Box::pin(activity.closing.clone().cancelled_owned());
        Self {
            stream,
            address,
            limits,
            greeting,
            activity,
            received: 0,
            deadline,
            closing,
            ended: false,
        }
    }

    /// What goes on on it: the server of requests notes when they begin and end.
    pub fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Who is at the other end.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it is to end now; the task is woken when that may change.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        if !self.ended && self.closing.as_mut().poll(context).is_ready() {
            self.ended = true;
        }
        while !self.ended && self.deadline.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let silent = self.received < self.greeting.0;
            // Never before the deadline, or this would go round.
            let idle = match self.activity.used.load(Ordering::Relaxed) {
                true => self.limits.idle,
                false => self.limits.idle.min(UNUSED_MAX),
            };
            let idle_until = self.activity.idle_since().unwrap_or(now) + idle;
            if silent || idle_until <= now {
                self.activity.open.close(match silent {
                    true => "handshake",
                    false => "idle",
                });
                self.ended = true;
            } else {
                self.deadline.as_mut().reset(idle_until);
            }
        }
        self.ended
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            // Nothing more will come: the end of a stream.
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.received = self
            .received
            .saturating_add((buffer.filled().len() - before) as u64);
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let open = &self.activity.open;
        open.leave(self.activity.serial, self.address.ip());
    }
}
