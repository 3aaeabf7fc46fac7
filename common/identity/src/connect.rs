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
    pub fn stranger(&self) -> Connector {
        let tls = self.clone();
        Connector::new(move |address| {
            let tls = tls.clone();
            async move {
                let tcp = tcp(&address).await?;
                let cluster = tls.identity().cluster().clone();
                let name = dns_name(&cluster).map_err(TlsError::from)?;
                handshake(tls.client_without()?, name, tcp).await
            }
        })
    }

    /// A connector for channels of tonic to `http://HOST:PORT`.
    #[must_use]
    pub fn connector(&self, expected: Expected) -> Connector {
        let tls = self.clone();
        Connector::new(move |address| {
            let tls = tls.clone();
            async move { tls.dial(&address, expected).await }
        })
    }
}

/// A connector to coordinators of the authority with a pin: for a program that has no certificate
/// yet.
pub(crate) fn pinned_connector(pin: Pin, dates: Dates) -> Connector {
    Connector::new(move |address| async move {
        let (stream, _) = pinned(tcp(&address).await?, pin, dates).await?;
        Ok(stream)
    })
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

type Connecting = std::pin::Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

/// Connects channels of tonic by TLS.
#[derive(Clone)]
pub struct Connector(Arc<dyn Fn(String) -> Connecting + Send + Sync>);

impl Connector {
    /// By a function that connects to `HOST:PORT`.
    fn new<F>(dial: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Stream, ConnectError>> + Send + 'static,
    {
        Self(Arc::new(move |address| Box::pin(dial(address))))
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send + 'static>,
    >;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let address = uri.authority().map(|authority| authority.as_str());
        let dialling = (self.0)(address.unwrap_or_default().to_owned());
        Box::pin(async move { Ok(TokioIo::new(dialling.await?)) })
    }
}
