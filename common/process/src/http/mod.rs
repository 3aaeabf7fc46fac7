//! The HTTP endpoint of a daemon, for programs that read: bounded in connections, in the time a
//! request may take to come and to be answered, and in what it may hold. Which paths there are is
//! the daemon's own affair: it brings a router.

mod address;
mod answer;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, extract::DefaultBodyLimit, middleware::from_fn};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use address::{HttpAddressError, http_address};
pub use answer::{Problem, text};

/// Connections at a time, at most; who comes later waits in the system's own queue.
pub const CONNECTIONS_MAX: usize = 256;
/// How long the head of a request may take to come, and a connection may rest between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of the head of a request, at most.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes of the body of a request, at most.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long answers under way may take when the daemon stops.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How long to rest after a connection could not be taken: the process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen for HTTP on {address}; is another daemon there? `http_listen: off` does without"
)]
pub struct BindError {
    address: std::net::SocketAddr,
    #[source]
    source: std::io::Error,
}

/// Takes the address.
///
/// # Errors
/// [`BindError`] when it is taken or not of this machine.
pub async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| BindError { address, source })
}

/// Serves the router until `shutdown`, then lets answers under way end for a moment.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let router = router
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(answer::in_time));
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    loop {
        let taken = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            taken = taken => taken,
        };
        match accepted {
            Ok((stream, _)) => {
                // An answer in several pieces does not wait for acknowledgements.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "an HTTP connection answers late");
                }
                let (router, shutdown) = (router.clone(), shutdown.clone());
                connections.spawn(async move {
                    converse(stream, router, shutdown).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection could not be taken");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.close();
    // Whoever takes longer is cut off with the process.
    let _ = tokio::time::timeout(STOP_GRACE, connections.wait()).await;
}

async fn converse(stream: TcpStream, router: Router, shutdown: CancellationToken) {
    let service = tower::service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        async move {
            let request = request.map(axum::body::Body::new);
            Ok::<_, Infallible>(
                tower::ServiceExt::oneshot(router, request)
                    .await
                    .unwrap_or_else(never),
            )
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    // A peer that breaks off, or never asks, is nothing to be told of.
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection broke");
    }
}

fn never<T>(error: Infallible) -> T {
    match error {}
}

#[cfg(test)]
mod tests;
