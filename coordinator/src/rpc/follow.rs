//! Events as they happen. Any coordinator tells them from its own replicated state, in the order of
//! the log: they are the same everywhere, and an index says where to follow on elsewhere.

use std::{sync::Arc, time::Duration};

use paasta_proto::v1::{EventsRequest, EventsResponse, FollowRequest};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{admin::AdminService, status::RpcError};
use crate::caller::{current, on_behalf_of};

/// Followers at a time, at most.
const FOLLOWERS_MAX: usize = 64;
/// Messages that wait for a slow reader; what happens meanwhile waits in the ring.
const OUTBOX_MAX: usize = 4;
/// How often something is sent though nothing happened: the reader sees that it is not forgotten.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// Between two looks at the ring, at least: a busy log is looked at in steps.
const PACE: Duration = Duration::from_millis(50);

/// Who follows events at this coordinator. Clones are the same.
#[derive(Clone)]
pub struct Followers {
    seats: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Followers {
    /// Nobody yet; all are sent away at `shutdown`.
    pub fn new(shutdown: CancellationToken) -> Self {
        let seats = Arc::new(Semaphore::new(FOLLOWERS_MAX));
        Self { seats, shutdown }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        FOLLOWERS_MAX - self.seats.available_permits()
    }

    /// Takes in one more.
    ///
    /// # Errors
    /// [`RpcError::Busy`] when all seats are taken.
    pub(super) fn follow(
        &self,
        admin: AdminService,
        asked: FollowRequest,
    ) -> Result<ReceiverStream<Result<EventsResponse, Status>>, RpcError> {
        let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else {
            return Err(RpcError::Busy {
                what: "as many follow events at this coordinator as may",
            });
        };
        if admin.consensus.status().is_uninitialized() {
            return Err(RpcError::Uninitialized);
        }
        let (outbox, messages) = mpsc::channel(OUTBOX_MAX);
        let shutdown = self.shutdown.clone();
        tokio::spawn(on_behalf_of(current(), async move {
            let _seat: OwnedSemaphorePermit = seat;
            let why = tokio::select! {
                biased;
                () = shutdown.cancelled() => RpcError::Stopping,
                () = outbox.closed() => return,
                why = tell(&admin, asked, &outbox) => why,
            };
            // A reader that is gone needs no reason.
            let _ = outbox.try_send(Err(why.into()));
        }));
        Ok(ReceiverStream::new(messages))
    }
}

/// Tells until there is a reason to stop.
async fn tell(
    admin: &AdminService,
    asked: FollowRequest,
    outbox: &mpsc::Sender<Result<EventsResponse, Status>>,
) -> RpcError {
    let mut applied = admin.machine.watch();
    let mut ask = EventsRequest {
        after: asked.after,
        instance: asked.instance,
        ..EventsRequest::default()
    };
    let mut said_at: Option<Instant> = None;
    loop {
        applied.borrow_and_update();
        let news = admin.view(|view| view.events(&ask));
        // A coordinator that lags behind what the reader has seen elsewhere has nothing to say yet.
        let ahead = news.last_index < ask.after;
        let due = said_at.is_none_or(|at| at.elapsed() >= SIGN_OF_LIFE);
        if due || (!ahead && (!news.events.is_empty() || news.missed)) {
            let news = EventsResponse {
                last_index: news.last_index.max(ask.after),
                ..news
            };
            ask.after = news.last_index;
            said_at = Some(Instant::now());
            if outbox.send(Ok(news)).await.is_err() {
                return RpcError::Stopping;
            }
        }
        if !admin.consensus.status().has_leader() {
            return RpcError::NoLeader;
        }
        // More may have been applied while that was sent: changed() says so at once.
        if let Ok(Err(_)) = timeout(SIGN_OF_LIFE, applied.changed()).await {
            return RpcError::Stopping;
        }
        tokio::time::sleep(PACE).await;
    }
}
