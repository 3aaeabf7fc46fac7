//! Connections of hollow hosts. Each host dials from a loopback address of its own, as hosts do:
//! coordinators bound connections and handshakes by address.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use paasta_agent::session::{Dial, DialError, endpoint};
use paasta_identity::{
    Tls,
    connect::{ConnectError, Expected, Stream},
};
use paasta_process::chain::chain;
use tokio::net::{TcpSocket, TcpStream};
use tonic::transport::Channel;
use tower::service_fn;

/// Dials from one address.
#[derive(Debug, Clone)]
pub struct SourceDial {
    /// A loopback address.
    pub source: Ipv4Addr,
    /// The host's certificate; none for plain text.
    pub tls: Option<Tls>,
}

impl Dial for SourceDial {
    fn dial<'a>(
        &'a self,
        address: &'a str,
        stale_after: Duration,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        Box::pin(async move {
            let endpoint = endpoint(address, stale_after)?;
            let source = self.source;
            let connected = match self.tls.clone() {
                Some(tls) => {
                    let connect = move |uri| secure(source, tls.clone(), uri);
                    endpoint.connect_with_connector(service_fn(connect)).await
                }
                None => {
                    let connect = move |uri| plain(source, uri);
                    endpoint.connect_with_connector(service_fn(connect)).await
                }
            };
            connected.map_err(|error| DialError::Connect {
                address: address.to_owned(),
                words: chain(&error),
            })
        })
    }
}

async fn secure(source: Ipv4Addr, tls: Tls, uri: Uri) -> Result<TokioIo<Stream>, ConnectError> {
    let tcp = tcp(source, &uri).await.map_err(|error| ConnectError::Tcp {
        address: uri.to_string(),
        source: error,
    })?;
    tls.connect(tcp, Expected::Any).await.map(TokioIo::new)
}

async fn plain(source: Ipv4Addr, uri: Uri) -> io::Result<TokioIo<TcpStream>> {
    tcp(source, &uri).await.map(TokioIo::new)
}

async fn tcp(source: Ipv4Addr, uri: &Uri) -> io::Result<TcpStream> {
    let to = uri.authority().map(|authority| authority.as_str());
    let to: SocketAddr = to.unwrap_or_default().parse().map_err(io::Error::other)?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
