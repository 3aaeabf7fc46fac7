//! Connections over the simulated network, for the real clients and servers: tonic over turmoil's
//! TCP, with a knife for each host that cuts every connection it has dialled, in the middle of
//! whatever is said.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, future::BoxFuture, stream};
use http::Uri;
use hyper_util::rt::TokioIo;
use paasta_agent::session as agent;
use paasta_coordinator::raft::{self, Keepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::{Channel, Endpoint, server::Connected};
use turmoil::net::{TcpListener, TcpStream};

/// Where every coordinator listens.
pub(crate) const PORT: u16 = 7401;

/// Cuts the connections that one host has dialled. Clones are the same knife.
#[derive(Clone, Default)]
pub(crate) struct Knife(Arc<AtomicU64>);

impl Knife {
    /// Cuts every connection there is; later ones are whole.
    pub(crate) fn cut(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn cuts(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A connection.
pub(crate) struct Cable {
    stream: TcpStream,
    knife: Knife,
    cuts_before: u64,
}

impl Cable {
    fn new(stream: TcpStream, knife: Knife) -> Self {
        let cuts_before = knife.cuts();
        Self {
            stream,
            knife,
            cuts_before,
        }
    }

    fn whole(&self) -> io::Result<()> {
        match self.knife.cuts() == self.cuts_before {
            true => Ok(()),
            false => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

impl AsyncRead for Cable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.whole()?;
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Cable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.whole()?;
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Cable {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

/// Takes the host's port and accepts every connection.
pub(crate) async fn listen() -> io::Result<impl Stream<Item = io::Result<Cable>>> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    Ok(stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await;
        let cable = accepted.map(|(stream, _)| Cable::new(stream, Knife::default()));
        Some((cable, listener))
    }))
}

/// Dials in the name of one host.
#[derive(Clone)]
pub(crate) struct Dialler(pub(crate) Knife);

impl Dialler {
    fn connector(
        &self,
    ) -> impl tower::Service<
        Uri,
        Response = TokioIo<Cable>,
        Error = io::Error,
        Future = BoxFuture<'static, io::Result<TokioIo<Cable>>>,
    > + Send
    + use<> {
        let knife = self.0.clone();
        tower::service_fn(move |uri: Uri| -> BoxFuture<'static, _> {
            let knife = knife.clone();
            Box::pin(async move {
                let host = uri.host().unwrap_or_default().to_owned();
                let stream = TcpStream::connect((host.as_str(), PORT)).await?;
                Ok(TokioIo::new(Cable::new(stream, knife)))
            })
        })
    }
}

impl raft::Dial for Dialler {
    fn dial(
        &self,
        _peer: u64,
        address: &str,
        keepalive: &Keepalive,
    ) -> Result<Channel, raft::DialError> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.map_err(|error| raft::DialError {
            address: address.to_owned(),
            why: error.to_string(),
        })?;
        let endpoint = keepalive.apply(endpoint);
        Ok(endpoint.connect_with_connector_lazy(self.connector()))
    }
}

impl agent::Dial for Dialler {
    fn dial<'a>(
        &'a self,
        address: &'a str,
        stale_after: Duration,
    ) -> BoxFuture<'a, Result<Channel, agent::DialError>> {
        Box::pin(async move {
            let endpoint = agent::endpoint(address, stale_after)?;
            endpoint
                .connect_with_connector(self.connector())
                .await
                .map_err(|error| agent::DialError::Connect {
                    address: address.to_owned(),
                    words: error.to_string(),
                })
        })
    }
}
