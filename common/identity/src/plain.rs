//! Connections without TLS: to loopback only. Every other address is refused before anything is sent
//! to it. Where the other side speaks TLS the error says so.

use std::{
    io,
    net::SocketAddr,
    os::fd::AsRawFd as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use nix::sys::socket::{MsgFlags, recv};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// How long a TCP connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How a TLS record of an alert begins: what a TLS server answers to plain text.
const TLS_ALERT: [u8; 2] = [21, 3];

/// Why there is no plain connection.
#[derive(Debug, thiserror::Error)]
pub enum PlainError {
    /// Its name is not known.
    #[error("{address} cannot be resolved")]
    Resolve {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Anyone on the way could read and change what is sent.
    #[error(
        "refusing to speak to {address} without TLS: it is not a loopback address, and this program has no certificate. `paasta-coordinator init` makes the certificates of a cluster; `paasta-coordinator join`, `paasta-agent join` and `paasta login` get one (docs/operate/install.md)"
    )]
    Insecure {
        /// The address.
        address: SocketAddr,
    },
    /// Nothing answers.
    #[error("{address} cannot be reached")]
    Tcp {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The other side of a plain connection speaks TLS.
#[derive(Debug, thiserror::Error)]
#[error(
    "what listens at {0} speaks TLS, and this program was given no certificate: name its files (docs/operate/tls.md)"
)]
pub struct SpeaksTls(SocketAddr);

/// Connects channels of tonic without TLS.
#[derive(Debug, Clone, Copy)]
pub struct PlainConnector;

impl PlainConnector {
    /// Connects to `HOST:PORT`: to the address that was checked, not to the name, which may resolve
    /// to another one the next time.
    ///
    /// # Errors
    /// [`PlainError`] in words.
    pub async fn dial(address: &str) -> Result<PlainStream, PlainError> {
        let unresolved = |source| PlainError::Resolve {
            address: address.to_owned(),
            source,
        };
        let found: Vec<SocketAddr> = lookup_host(address).await.map_err(unresolved)?.collect();
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for address in found {
            if !address.ip().to_canonical().is_loopback() {
                return Err(PlainError::Insecure { address });
            }
            let connected = timeout(CONNECT, TcpStream::connect(address)).await;
            match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a connection sends late");
                    }
                    return Ok(PlainStream {
                        stream,
                        address,
                        heard: false,
                    });
                }
                Err(error) => failure = error,
            }
        }
        Err(PlainError::Tcp {
            address: address.to_owned(),
            source: failure,
        })
    }
}

impl tower::Service<Uri> for PlainConnector {
    type Response = TokioIo<PlainStream>;
    type Error = PlainError;
    type Future =
        Pin<Box<dyn Future<Output = Result<Self::Response, PlainError>> + Send + 'static>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), PlainError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(async move {
            let address = uri.authority().map(|authority| authority.as_str());
            let stream = Self::dial(address.unwrap_or_default()).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// A connection without TLS.
#[derive(Debug)]
pub struct PlainStream {
    stream: TcpStream,
    address: SocketAddr,
    /// Whether the other side has sent anything.
    heard: bool,
}

impl PlainStream {
    /// Why nothing can be written. A TLS server answers plain text with an alert and closes: the
    /// next write fails, and the alert may be unread yet.
    fn unwritable(&self, error: io::Error) -> io::Error {
        let mut first = [0; TLS_ALERT.len()];
        // Past the runtime, which may not have seen that there is something to read.
        let read = (!self.heard).then(|| {
            let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
            recv(self.stream.as_raw_fd(), &mut first, flags)
        });
        match read {
            Some(Ok(_)) if first == TLS_ALERT => io::Error::other(SpeaksTls(self.address)),
            _ => error,
        }
    }
}

impl AsyncRead for PlainStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let new = &buffer.filled()[before..];
        if !self.heard && !new.is_empty() {
            self.heard = true;
            if new.starts_with(&TLS_ALERT) {
                return Poll::Ready(Err(io::Error::other(SpeaksTls(self.address))));
            }
        }
        read
    }
}

impl AsyncWrite for PlainStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        written.map_err(|error| self.unwritable(error))
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
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        written.map_err(|error| self.unwritable(error))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_off_loopback_is_refused_before_anything_is_sent() {
        for address in ["192.0.2.7:7000", "[2001:db8::1]:7000", "0.0.0.0:7000"] {
            let refused = PlainConnector::dial(address).await.unwrap_err();
            assert!(matches!(refused, PlainError::Insecure { .. }), "{refused}");
            for words in ["without TLS", "`paasta-agent join`", "docs/operate"] {
                assert!(refused.to_string().contains(words), "{refused}");
            }
        }
    }

    #[tokio::test]
    async fn loopback_is_dialled() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        PlainConnector::dial(&address).await.unwrap();
    }

    #[tokio::test]
    async fn a_side_that_speaks_tls_is_named() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&[21, 3, 3, 0, 2, 2, 10]).await.unwrap();
        });
        let mut stream = PlainConnector::dial(&address.to_string()).await.unwrap();
        let error = stream.read(&mut [0; 16]).await.unwrap_err();
        assert!(error.to_string().contains("speaks TLS"), "{error}");
        server.await.unwrap();
    }

    /// The alert is unread when the write fails.
    #[tokio::test]
    async fn a_side_that_speaks_tls_is_named_by_a_write_as_well() {
        use tokio::io::AsyncWriteExt as _;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut stream = PlainConnector::dial(&address.to_string()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(&[21, 3, 3, 0, 2, 2, 10]).await.unwrap();
        drop(server);
        let error = timeout(CONNECT, async {
            loop {
                if let Err(error) = stream.write_all(b"PRI * HTTP/2.0").await {
                    return error;
                }
                tokio::task::yield_now().await;
            }
        });
        let error = error.await.unwrap();
        assert!(error.to_string().contains("speaks TLS"), "{error}");
    }
}
