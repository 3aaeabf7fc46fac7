//! The HTTP endpoint of a daemon, for programs that read: bounded in connections, in the time a
//! request may take to come and to be answered, and in what it may hold. Which paths there are is
//! the daemon's own affair: it brings a router.

mod address;
mod answer;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, extract::DefaultBodyLimit, http::Extensions, middleware::from_fn};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::accept::{Acceptor, Activity, Greeting, Guarded, Limits, Open, Refusals, on_behalf_of};

pub use address::{HttpAddress, HttpAddressError, http_address, plain_address};
pub use answer::{Problem, text};

/// Connections at a time, at most.
pub const CONNECTIONS_MAX: usize = 256;
/// Of those, from one address.
const CONNECTIONS_PER_ADDRESS: usize = 128;
/// How long a connection may rest between two requests, or take to accept an answer.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Bytes without which a connection has not begun to ask: `GET / HTTP/1.1` and its end.
const GREETING: Greeting = Greeting(18);
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

/// Takes connections of `listener`: at most [`CONNECTIONS_MAX`], and `room`, what the process has
/// file descriptors for.
pub fn acceptor(listener: TcpListener, room: usize, refusals: &Refusals) -> Acceptor {
    let total = CONNECTIONS_MAX.min(room.max(1));
    let limits = Limits {
        total,
        per_address: CONNECTIONS_PER_ADDRESS.min(total),
        handshake: HEAD_TIMEOUT,
        idle: IDLE_MAX,
    };
    Acceptor::new(listener, limits, GREETING, Open::new("http", refusals))
}

/// A connection, for [`serve`].
#[derive(Debug)]
pub struct Accepted<S> {
    /// Its bytes.
    pub stream: S,
    /// The requests on it.
    pub activity: Arc<Activity>,
    /// What the other end proved of itself: part of each of its requests.
    pub proof: Extensions,
}

/// A source of connections.
pub trait Accept: Send {
    /// What a connection is read from and written to.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection.
    fn accept(&mut self) -> impl Future<Output = Accepted<Self::Stream>> + Send;
}

impl Accept for Acceptor {
    type Stream = Guarded;

    async fn accept(&mut self) -> Accepted<Guarded> {
        let stream = self.next().await;
        Accepted {
            activity: stream.activity(),
            stream,
            proof: Extensions::new(),
        }
    }
}

/// Serves the router until `shutdown`, then lets answers under way end for a moment.
pub async fn serve(mut acceptor: impl Accept, router: Router, shutdown: CancellationToken) {
    let router = router
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(answer::within_bounds))
        .layer(from_fn(answer::in_time));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = acceptor.accept() => accepted,
        };
        connections.spawn(converse(accepted, router.clone(), shutdown.clone()));
    }
    connections.close();
    // A request that takes longer is cut off with the process.
    let _ = tokio::time::timeout(STOP_GRACE, connections.wait()).await;
}

async fn converse<S>(accepted: Accepted<S>, router: Router, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Accepted {
        stream,
        activity,
        proof,
    } = accepted;
    let client = activity.address();
    let service = tower::service_fn(move |request: hyper::Request<Incoming>| {
        let (router, busy, proof) = (router.clone(), activity.begin(), proof.clone());
        async move {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().extend(proof);
            let answering = tower::ServiceExt::oneshot(router, request);
            let answer = on_behalf_of(client, answering).await.unwrap_or_else(never);
            drop(busy);
            Ok::<_, Infallible>(answer)
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
