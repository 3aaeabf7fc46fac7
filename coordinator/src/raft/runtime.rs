//! The asynchronous runtime openraft sees: tokio's, with three things in our hands: the one source
//! of randomness that matters (election timeouts), so that a simulation can be repeated; how long
//! its durations last (`super::pace`); and the deadline of a heartbeat, which openraft takes for the
//! interval of heartbeats.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll},
    time::Duration,
};

use openraft_rt::{AsyncRuntime, OptionalSend};
use openraft_rt_tokio::TokioRuntime;
use parking_lot::Mutex;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, Sleep};

use super::pace::{Moment, Pace, stretched};
use crate::store::StoreId;

thread_local! {
    /// Until when the call that is being polled puts off the deadline around it.
    static PUT_OFF: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Puts off the deadline around the call that is being polled: it knows better how long its answer
/// may take. To be called from a future that openraft waits for with a deadline.
pub(super) fn put_off_deadline(until: Instant) {
    PUT_OFF.set(Some(until));
}

/// The deadline of a call passed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the deadline has elapsed")]
pub struct Elapsed;

/// A call with a deadline, which the call itself may put off.
#[derive(Debug)]
pub struct Deadline<T> {
    call: Pin<Box<T>>,
    until: Pin<Box<Sleep>>,
}

impl<T> Deadline<T> {
    fn at(until: Instant, call: T) -> Self {
        Self {
            call: Box::pin(call),
            until: Box::pin(tokio::time::sleep_until(until)),
        }
    }
}

impl<R, T: Future<Output = R>> Future for Deadline<T> {
    type Output = Result<R, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Calls with deadlines may be within each other: each puts off the one around it only.
        let around = PUT_OFF.take();
        let polled = self.call.as_mut().poll(context);
        if let Some(until) = PUT_OFF.replace(around) {
            self.until.as_mut().reset(until);
        }
        match polled {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => self.until.as_mut().poll(context).map(|()| Err(Elapsed)),
        }
    }
}

static FIXED: OnceLock<Mutex<StdRng>> = OnceLock::new();

/// From now on, and for the rest of this process, every random choice of the consensus protocol
/// follows from `seed`. For simulations that run one seed per process on one thread; a later call
/// changes nothing.
pub fn fix_randomness(seed: u64) {
    FIXED.get_or_init(|| Mutex::new(StdRng::seed_from_u64(seed)));
}

/// An id for a store that has none.
pub(super) fn random_store_id() -> StoreId {
    StoreId::from_bits(Runtime::thread_rng().random())
}

/// tokio, as openraft wants it.
#[derive(Debug)]
pub struct Runtime(TokioRuntime);

impl AsyncRuntime for Runtime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = Moment;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = Deadline<T>;
    type ThreadLocalRng = StdRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        match Pace::of_task() {
            Some(pace) => TokioRuntime::spawn(pace.scope(future)),
            None => TokioRuntime::spawn(future),
        }
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        tokio::time::sleep(stretched(duration))
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        tokio::time::sleep_until(deadline.0)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        Deadline::at(Instant::now() + stretched(duration), future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        Deadline::at(deadline.0, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        match FIXED.get() {
            Some(fixed) => StdRng::seed_from_u64(fixed.lock().next_u64()),
            None => StdRng::from_rng(&mut rand::rng()),
        }
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    async fn answer_after(span: Duration) -> u8 {
        tokio::time::sleep(span).await;
        7
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_may_put_off_the_deadline_around_it_and_no_other() {
        let late = Runtime::timeout(SHORT, answer_after(SHORT * 3)).await;
        assert!(late.is_err());
        let patient = async {
            put_off_deadline(Instant::now() + SHORT * 4);
            answer_after(SHORT * 3).await
        };
        assert_eq!(Runtime::timeout(SHORT, patient).await.unwrap(), 7);
        let within = async {
            let inner = Runtime::timeout(SHORT, async {
                put_off_deadline(Instant::now() + SHORT * 4);
                answer_after(SHORT * 3).await
            });
            inner.await
        };
        assert!(Runtime::timeout(SHORT * 2, within).await.is_err());
        let too_late = async {
            put_off_deadline(Instant::now() + SHORT * 2);
            answer_after(SHORT * 3).await
        };
        assert!(Runtime::timeout(SHORT, too_late).await.is_err());
    }
}
