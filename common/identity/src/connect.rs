//! The client's side of a connection to a coordinator.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, ClientConfig,
        crypto::ring,
        pki_types::{DnsName, ServerName},
        version::TLS13,
    },
};

pub use crate::verify::Expected;
use crate::{
    credentials::OwnCertificateError,
    leaf,
    name::Identity,
    pin::{Dates, Pin, PinnedVerifier},
    reason::HandshakeError,
    tls::{Tls, TlsError, dialling},
    verify::dns_name,
};

/// How long a TCP connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// This program's own certificate would be refused.
    #[error(transparent)]
    Own(#[from] Box<OwnCertificateError>),
    /// TLS cannot be configured.
    #[error("TLS cannot be used")]
    Tls(#[from] TlsError),
    /// Nothing answers.
    #[error("{address} cannot be reached")]
    Tcp {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What answers is not believed, or does not believe this side.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

impl Tls {
    /// Speaks TLS on a connection to a coordinator. This program's own certificate is checked
    /// first.
    ///
    /// # Errors
    /// [`ConnectError`] in words.
    pub async fn connect(
        &self,
        tcp: TcpStream,
        expected: Expected,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        let credentials = self.credentials();
        credentials.check(SystemTime::now())?;
        let name = dns_name(credentials.identity().cluster()).map_err(TlsError::from)?;
        let config = self.client(expected)?;
        handshake(config, name, tcp).await
    }

    /// Connects to `HOST:PORT`.
    ///
    /// # Errors
    /// [`ConnectError`] in words.
    pub async fn dial(
        &self,
        address: &str,
        expected: Expected,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        // Before TCP: a certificate that is over is no matter of the network.
        self.credentials().check(SystemTime::now())?;
        self.connect(tcp(address).await?, expected).await
    }

    /// A connector that sends no certificate, to a coordinator of this program's cluster: for one
    /// whose own has expired.
    #[must_use]
    pub fn stranger(&self) -> StrangerConnector {
        StrangerConnector(self.clone())
    }

    async fn dial_without(&self, address: &str) -> Result<TlsStream<TcpStream>, ConnectError> {
        let unreached = |source| ConnectError::Tcp {
            address: address.to_owned(),
            source,
        };
        let tcp = timeout(CONNECT, TcpStream::connect(address)).await;
        let tcp = tcp.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let tcp = tcp.map_err(unreached)?;
        tcp.set_nodelay(true).map_err(unreached)?;
        let cluster = self.identity().cluster().clone();
        let name = dns_name(&cluster).map_err(TlsError::from)?;
        handshake(self.client_without()?, name, tcp).await
    }

    /// A connector for channels of tonic to `http://HOST:PORT`.
    #[must_use]
    pub fn connector(&self, expected: Expected) -> Connector {
        Connector {
            tls: self.clone(),
            expected,
        }
    }
}

async fn tcp(address: &str) -> Result<TcpStream, ConnectError> {
    let unreached = |source| ConnectError::Tcp {
        address: address.to_owned(),
        source,
    };
    let tcp = timeout(CONNECT, TcpStream::connect(address)).await;
    let tcp = tcp.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let tcp = tcp.map_err(unreached)?;
    tcp.set_nodelay(true).map_err(unreached)?;
    Ok(tcp)
}

async fn handshake(
    config: ClientConfig,
    name: ServerName<'static>,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let connector = TlsConnector::from(Arc::new(config));
    match timeout(HANDSHAKE, connector.connect(name, tcp)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(HandshakeError::of(&error).into()),
        Err(_) => Err(HandshakeError::late().into()),
    }
}

/// Connects a program that has no certificate yet, to a coordinator whose authority has this pin.
/// Returns the coordinator's identity, which names the cluster.
///
/// # Errors
/// [`ConnectError`] in words.
pub async fn join(
    tcp: TcpStream,
    pin: Pin,
) -> Result<(TlsStream<TcpStream>, Identity), ConnectError> {
    pinned(tcp, pin, Dates::ByOwnClock).await
}

async fn pinned(
    tcp: TcpStream,
    pin: Pin,
    dates: Dates,
) -> Result<(TlsStream<TcpStream>, Identity), ConnectError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = PinnedVerifier::new(pin, Arc::clone(&provider), dates);
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Config)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let mut config = dialling(config);
    config.enable_sni = false;
    // Not looked at: the verifier takes the name from the pinned authority's certificate.
    let name = DnsName::try_from("coordinator.paasta.internal");
    let name = name.map_err(|_| TlsError::Config(rustls::Error::UnsupportedNameType))?;
    let stream = handshake(config, ServerName::DnsName(name), tcp).await?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let named = certificates.first().map(leaf::identity);
    let identity = named.unwrap_or(Err(leaf::LeafError::Unreadable));
    let identity = identity.map_err(|error| HandshakeError::of_tls(&error.into_tls()))?;
    Ok((stream, identity))
}

/// A connection by TLS.
pub type Stream = TlsStream<TcpStream>;

/// Connects channels of tonic by TLS without a certificate of this side.
#[derive(Debug, Clone)]
pub struct StrangerConnector(Tls);

impl tower::Service<Uri> for StrangerConnector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = ConnectError;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send + 'static>,
    >;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = self.0.clone();
        Box::pin(async move {
            let address = uri.authority().map(|authority| authority.as_str());
            let stream = tls.dial_without(address.unwrap_or_default()).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// Connects channels of tonic by TLS.
#[derive(Debug, Clone)]
pub struct Connector {
    tls: Tls,
    expected: Expected,
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = ConnectError;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send + 'static>,
    >;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (tls, expected) = (self.tls.clone(), self.expected);
        Box::pin(async move {
            let address = uri.authority().map(|authority| authority.as_str());
            let stream = tls.dial(address.unwrap_or_default(), expected).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// Connects channels of tonic to coordinators of the authority with a pin: for a program that has
/// no certificate yet.
#[derive(Debug, Clone)]
pub(crate) struct PinnedConnector {
    pub(crate) pin: Pin,
    pub(crate) dates: Dates,
}

impl tower::Service<Uri> for PinnedConnector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = ConnectError;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send + 'static>,
    >;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (pin, dates) = (self.pin, self.dates);
        Box::pin(async move {
            let address = uri.authority().map(|authority| authority.as_str());
            let tcp = tcp(address.unwrap_or_default()).await?;
            let (stream, _) = pinned(tcp, pin, dates).await?;
            Ok(TokioIo::new(stream))
        })
    }
}
