//! Passes on to a caller what the leader answers, message by message, as fast as the caller takes it.

use std::time::Duration;

use tokio::{sync::mpsc, time::timeout};
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::status::RpcError;

/// How long a caller may take nothing of what is passed on to it.
const CALLER_WAIT: Duration = Duration::from_secs(600);

/// Passes on until one side ends, or this coordinator stops. `lost` is for a connection to the
/// leader that broke.
pub(super) fn relay<T: Send + 'static>(
    mut leader: Streaming<T>,
    caller: mpsc::Sender<Result<T, Status>>,
    shutdown: CancellationToken,
    lost: fn() -> Status,
) {
    tokio::spawn(async move {
        loop {
            let next = tokio::select! {
                biased;
                () = shutdown.cancelled() => Some(Err(RpcError::Stopping.into())),
                () = caller.closed() => return,
                next = leader.next() => next,
            };
            let next = match next {
                None => return,
                Some(Err(status)) if std::error::Error::source(&status).is_some() => Err(lost()),
                Some(next) => next,
            };
            let last = next.is_err();
            let sent = timeout(CALLER_WAIT, caller.send(next)).await;
            if last || !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    });
}
