//! The way to dockerd: a connection of its own for every request, so that one that hangs holds up
//! no other, and a bound on what each may answer, so that a daemon gone wild fills no memory.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bollard::{BollardRequest, errors::Error};
use http::{HeaderValue, Response, Uri, header, uri::PathAndQuery};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};

/// The largest answer, bytes, with the progress of a fetch and the end of a log among them: some
/// ten thousand containers in one list. A stream of events ends here and is asked for again.
pub const ANSWER_MAX: u64 = 32 << 20;

/// Sends one request to the daemon at `socket`. The answer has at most `answer_max` bytes.
///
/// # Errors
/// When nothing listens there, or the connection breaks before the answer begins.
pub(super) async fn send(
    socket: PathBuf,
    request: BollardRequest,
    answer_max: u64,
) -> Result<Response<Incoming>, Error> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let limit = limit(&path, answer_max);
    head.uri = Uri::from(path);
    head.headers
        .insert(header::HOST, HeaderValue::from_static("docker"));
    let stream = connect(&socket).await?;
    let stream = TokioIo::new(Bounded {
        stream,
        left: limit,
    });
    let (mut sender, connection) = http1::handshake(stream).await?;
    // Ends with the answer, or as soon as nobody waits for it.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to dockerd broke");
        }
    });
    let request = BollardRequest::from_parts(head, body);
    Ok(sender.send_request(request).await?)
}

async fn connect(socket: &Path) -> Result<UnixStream, Error> {
    UnixStream::connect(socket).await.map_err(|error| {
        let path = socket.display();
        let words = match error.kind() {
            io::ErrorKind::NotFound => format!("there is no socket {path}; is dockerd running?"),
            io::ErrorKind::ConnectionRefused => {
                format!("nothing listens at {path}; is dockerd running?")
            }
            _ => format!("{path}: {error}"),
        };
        Error::from(io::Error::new(error.kind(), words))
    })
}

/// What a request may be answered with, bytes. A log that is followed has no end, and its reader
/// keeps none of it.
fn limit(path: &PathAndQuery, answer_max: u64) -> u64 {
    let query = path.query().unwrap_or_default();
    let followed = path.path().ends_with("/logs") && query.contains("follow=true");
    if followed { u64::MAX } else { answer_max }
}

/// A connection that gives so many bytes and then breaks.
struct Bounded {
    stream: UnixStream,
    left: u64,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            let words = format!("an answer of more than {ANSWER_MAX} bytes");
            return Poll::Ready(Err(io::Error::other(words)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        self.left = self.left.saturating_sub(read as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_answers_are_bounded_but_a_log_that_is_followed() {
        let limit = |text| limit(&PathAndQuery::from_static(text), ANSWER_MAX);
        assert_eq!(limit("/v1.41/containers/json?all=true"), ANSWER_MAX);
        assert_eq!(limit("/v1.41/containers/x/logs?follow=false"), ANSWER_MAX);
        assert_eq!(
            limit("/v1.41/containers/follow=true/json?name=logs"),
            ANSWER_MAX
        );
        assert_eq!(limit("/v1.41/containers/x/logs?follow=true"), u64::MAX);
    }
}
