//! TLS of one program: what it serves and dials with. The credentials can be replaced while it
//! runs; connections that are made later use the new ones.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use paasta_common::id::ClusterName;
use paasta_process::metrics::{Level, Meters};
use tokio::time::interval;
use tokio_rustls::rustls::{
    self, ClientConfig, ConfigBuilder, ServerConfig,
    client::{Resumption, WantsClientCert},
    server::NoServerSessionStorage,
    sign::SingleCertAndKey,
    version::TLS13,
};

use crate::{
    credentials::{Credentials, CredentialsError, Files, OwnCertificateError},
    name::{Identity, Role},
    verify::{CoordinatorVerifier, Expected, PeerVerifier, VerifierError},
};

/// The protocol of gRPC: HTTP/2.
const ALPN: &[u8] = b"h2";
/// The protocol of the HTTP endpoint.
const ALPN_HTTP: &[u8] = b"http/1.1";
/// How often the files are looked at.
const RELOAD: Duration = Duration::from_secs(30);

/// Whether a client must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// A handshake without one fails.
    Required,
    /// A client may be a stranger: what it may call is decided by call.
    Optional,
}

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A verifier.
    #[error(transparent)]
    Verifier(#[from] VerifierError),
    /// The library refuses the configuration.
    #[error("TLS cannot be configured")]
    Config(#[source] rustls::Error),
    /// The certificate that is there now would be refused, and the old one would not.
    #[error(transparent)]
    Certificate(#[from] Box<OwnCertificateError>),
    /// The files that are there now are another program's.
    #[error(
        "the certificate that is there now is that of {found}, and this program is {own}: it keeps the old one"
    )]
    OtherIdentity {
        /// The identity in the certificate.
        found: Box<Identity>,
        /// The identity of this program.
        own: Box<Identity>,
    },
}

/// A certificate that is another program's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate is that of {found}, and this is {expected}")]
pub struct OtherOwner {
    /// The identity that was expected.
    pub expected: String,
    /// The identity that the certificate has.
    pub found: String,
}

/// The metric of when a program's certificate expires.
#[derive(Debug, Clone)]
pub struct Expiry(Level);

impl Expiry {
    /// Sets it in `meters`; once for a daemon that has a certificate.
    pub fn new(meters: &Meters, tls: &Tls) -> Self {
        let expiry = Self(meters.level(
            "paasta_tls_certificate_expires_timestamp_seconds",
            "When the certificate of this program expires, seconds since 1970; absent without TLS.",
        ));
        expiry.set(tls.credentials().validity().not_after);
        expiry
    }

    fn set(&self, at: SystemTime) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.set(since.as_secs_f64());
    }
}

#[derive(Debug)]
struct Material {
    credentials: Credentials,
    server: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
}

/// The protocol of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC, over HTTP/2.
    Grpc,
    /// HTTP/1.1. A client may be without a certificate: it may bring a bearer token, or read what
    /// is open.
    Http,
}

/// TLS of one program. Clones are the same.
#[derive(Debug, Clone)]
pub struct Tls {
    material: Arc<ArcSwap<Material>>,
    clients: ClientCertificates,
}

impl Tls {
    /// TLS with these credentials.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(credentials: Credentials, clients: ClientCertificates) -> Result<Self, TlsError> {
        let material = Material::new(credentials, clients)?;
        Ok(Self {
            material: Arc::new(ArcSwap::from_pointee(material)),
            clients,
        })
    }

    /// TLS with the credentials in these files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn read(files: &Files, clients: ClientCertificates) -> Result<Self, TlsError> {
        Self::new(Credentials::read(files)?, clients)
    }

    /// The identity of this program.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.material.load().credentials.identity().clone()
    }

    /// Checks that the certificate is the program's own: of this role and name, and of this cluster
    /// where that is known.
    ///
    /// # Errors
    /// [`OtherOwner`].
    pub fn check_owner(
        &self,
        cluster: Option<&ClusterName>,
        role: Role,
        name: &str,
    ) -> Result<(), OtherOwner> {
        let found = self.identity();
        let cluster = cluster.unwrap_or(found.cluster());
        if found.role() == role && found.name() == name && found.cluster() == cluster {
            return Ok(());
        }
        Err(OtherOwner {
            expected: format!("paasta://{cluster}/{role}/{name}"),
            found: found.to_string(),
        })
    }

    /// The credentials now.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        self.material.load().credentials.clone()
    }

    /// What the next connection is served with.
    #[must_use]
    pub fn server(&self, protocol: Protocol) -> Arc<ServerConfig> {
        let material = self.material.load();
        Arc::clone(match protocol {
            Protocol::Grpc => &material.server,
            Protocol::Http => &material.http,
        })
    }

    /// Uses other credentials of the same identity from now on.
    ///
    /// # Errors
    /// [`TlsError`]; the old ones stay.
    pub fn replace(&self, credentials: Credentials) -> Result<(), TlsError> {
        let own = self.identity();
        if *credentials.identity() != own {
            return Err(TlsError::OtherIdentity {
                found: Box::new(credentials.identity().clone()),
                own: Box::new(own),
            });
        }
        let material = Material::new(credentials, self.clients)?;
        self.material.store(Arc::new(material));
        Ok(())
    }

    /// Reads the files again and again, and uses what is new in them. Never ends; files that
    /// cannot be used are named in the log, and the old credentials stay. `expiry` always has the
    /// end of the certificate that is in use.
    pub async fn follow(&self, files: Files, expiry: Expiry) {
        let mut ticks = interval(RELOAD);
        let mut said = String::new();
        loop {
            ticks.tick().await;
            let read = files.clone();
            let read = tokio::task::spawn_blocking(move || Credentials::read(&read)).await;
            let Ok(read) = read else {
                continue;
            };
            let words = match read.map_err(TlsError::from).and_then(|new| self.renew(new)) {
                Ok(()) => String::new(),
                Err(error) => paasta_process::chain::chain(&error),
            };
            if words != said && !words.is_empty() {
                tracing::error!(error = %words, "TLS files cannot be used; the old ones stay in use");
            }
            said = words;
            expiry.set(self.credentials().validity().not_after);
        }
    }

    /// Uses these credentials from now on, if they are others. A certificate that would be refused
    /// now does not replace one that would not.
    ///
    /// # Errors
    /// [`TlsError`]; the old ones stay.
    pub fn renew(&self, new: Credentials) -> Result<(), TlsError> {
        let old = self.credentials();
        let same_chain = old.certified.cert == new.certified.cert;
        if same_chain && old.roots.roots == new.roots.roots {
            return Ok(());
        }
        let now = SystemTime::now();
        match new.check(now) {
            // Laid too early, or before its authority: the old one still works.
            Err(error) if !same_chain && old.check(now).is_ok() => return Err(error.into()),
            // Which authorities are trusted changes at once.
            Err(error) => tracing::warn!(%error, "this program's certificate cannot be used"),
            Ok(()) => {}
        }
        self.replace(new)?;
        tracing::info!(identity = %self.identity(), "TLS files have changed and are in use");
        Ok(())
    }

    /// What a coordinator is dialled with by a program whose certificate has expired: it sends none.
    pub(crate) fn client_without(&self) -> Result<ClientConfig, TlsError> {
        let config = self.verifying(Expected::Any)?.with_no_client_auth();
        Ok(dialling(config))
    }

    /// What a coordinator is dialled with.
    pub(crate) fn client(&self, expected: Expected) -> Result<ClientConfig, TlsError> {
        let own = SingleCertAndKey::from(Arc::clone(&self.credentials().certified));
        let config = self
            .verifying(expected)?
            .with_client_cert_resolver(Arc::new(own));
        Ok(dialling(config))
    }

    /// A client of TLS 1.3 that verifies a coordinator of this cluster, and what it proves itself
    /// still to be said.
    fn verifying(
        &self,
        expected: Expected,
    ) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
        let credentials = self.credentials();
        let provider = Arc::clone(&credentials.provider);
        let cluster = credentials.identity().cluster().clone();
        let roots = Arc::clone(&credentials.roots);
        let verifier = CoordinatorVerifier::new(roots, Arc::clone(&provider), cluster, expected)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Config)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        Ok(config)
    }
}

/// Every connection proves both identities anew: nothing is resumed.
pub(crate) fn dialling(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config
}

impl Material {
    fn new(credentials: Credentials, clients: ClientCertificates) -> Result<Self, TlsError> {
        let grpc = serving(&credentials, clients, ALPN)?;
        let http = serving(&credentials, ClientCertificates::Optional, ALPN_HTTP)?;
        Ok(Self {
            credentials,
            server: Arc::new(grpc),
            http: Arc::new(http),
        })
    }
}

/// What connections of one protocol are served with.
fn serving(
    credentials: &Credentials,
    clients: ClientCertificates,
    alpn: &[u8],
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::clone(&credentials.provider);
    let verifier = PeerVerifier::new(
        Arc::clone(&credentials.roots),
        Arc::clone(&provider),
        credentials.identity().cluster().clone(),
        clients == ClientCertificates::Required,
    )?;
    let own = SingleCertAndKey::from(Arc::clone(&credentials.certified));
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Config)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(own));
    server.alpn_protocols = vec![alpn.to_vec()];
    // A resumed session would keep an identity beyond its certificate and its authority.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(server)
}
