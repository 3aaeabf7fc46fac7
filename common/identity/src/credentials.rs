//! A program's own certificate and key, and the authorities that it trusts: read from files,
//! checked before they are used.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use paasta_common::{config::TlsConfig, joining::KeyDigest};
use tokio_rustls::rustls::{
    self, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer, UnixTime,
        pem::{self, PemObject as _},
    },
    server::WebPkiClientVerifier,
    sign::CertifiedKey,
};

use crate::{
    key::{self, FileError},
    leaf::{self, LeafError, Validity},
    name::Identity,
    renewal,
};

/// Certificates in one file, at most: a bundle during a rotation, a chain with intermediates.
const CERTIFICATES_MAX: usize = 16;

/// The three files of a program's TLS, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The authorities that it trusts.
    pub ca: PathBuf,
    /// Its certificate, and those between it and an authority.
    pub certificate: PathBuf,
    /// The certificate's private key, which only its owner can read.
    pub key: PathBuf,
}

/// The texts of the three, in PEM.
pub struct Pems {
    /// The authorities that are trusted.
    pub ca: Vec<u8>,
    /// The certificate, and those between it and an authority.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

impl From<&TlsConfig> for Files {
    fn from(config: &TlsConfig) -> Self {
        Self {
            ca: PathBuf::from(&config.ca),
            certificate: PathBuf::from(&config.certificate),
            key: PathBuf::from(&config.key),
        }
    }
}

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is no PEM.
    #[error("{what} is not PEM with {expected}")]
    Pem {
        /// The file.
        what: String,
        /// What must be in it.
        expected: &'static str,
        /// Why it is not.
        #[source]
        source: pem::Error,
    },
    /// There are none, or too many.
    #[error("{what} has {count} certificates, expected 1 to {CERTIFICATES_MAX}")]
    Count {
        /// The file.
        what: String,
        /// How many.
        count: usize,
    },
    /// A certificate cannot be used.
    #[error("{what} has a certificate that cannot be used")]
    Certificate {
        /// The file.
        what: String,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// It names no identity.
    #[error("{what}: the certificate names no identity of a cluster")]
    Identity {
        /// The file.
        what: String,
        /// Why not.
        #[source]
        source: LeafError,
    },
    /// The key is another's.
    #[error("{key} is not the key of the certificate in {certificate}")]
    Key {
        /// The key's file.
        key: String,
        /// The certificate's file.
        certificate: String,
        /// The library's words.
        #[source]
        source: rustls::Error,
    },
}

/// What is wrong with a program's own certificate, before anything is dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnCertificateError {
    /// It is over.
    #[error(
        "this program's own certificate {certificate} ({identity}) expired at {at}, {ago} ago by this machine's clock ({now}): replace it, or set the clock"
    )]
    Expired {
        /// Where it is from.
        certificate: String,
        /// Its identity.
        identity: Identity,
        /// When.
        at: String,
        /// How long ago.
        ago: String,
        /// By this clock.
        now: String,
    },
    /// It has not begun.
    #[error(
        "this program's own certificate {certificate} ({identity}) is not valid before {at}, in {ahead} by this machine's clock ({now}): this clock is behind, or the clock of the authority was ahead; set the clock"
    )]
    NotYetValid {
        /// Where it is from.
        certificate: String,
        /// Its identity.
        identity: Identity,
        /// When it begins.
        at: String,
        /// In how long.
        ahead: String,
        /// By this clock.
        now: String,
    },
    /// It is not of the authorities that this program itself trusts.
    #[error(
        "this program's own certificate {certificate} ({identity}) is not signed by an authority in {ca}: the files are of two authorities, replace one of them"
    )]
    OtherAuthority {
        /// Where it is from.
        certificate: String,
        /// Its identity.
        identity: Identity,
        /// The bundle.
        ca: String,
    },
    /// It is unusable in another way.
    #[error("this program's own certificate {certificate} ({identity}) cannot be used: {why}")]
    Unusable {
        /// Where it is from.
        certificate: String,
        /// Its identity.
        identity: Identity,
        /// Why.
        why: String,
    },
}

/// A program's certificate and key, and the authorities that it trusts.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) provider: Arc<CryptoProvider>,
    identity: Identity,
    key: KeyDigest,
    validity: Validity,
    files: Files,
}

impl Credentials {
    /// Reads the files, and finishes a renewal that was cut short.
    ///
    /// # Errors
    /// [`CredentialsError`] names the file. The dates are for [`Credentials::check`].
    pub fn read(files: &Files) -> Result<Self, CredentialsError> {
        Self::read_as_they_are(files).or_else(|error| renewal::finish(files, error))
    }

    pub(crate) fn read_as_they_are(files: &Files) -> Result<Self, CredentialsError> {
        let pems = Pems {
            ca: key::read(&files.ca)?,
            certificate: key::read(&files.certificate)?,
            key: key::read_key(&files.key)?,
        };
        Self::parse(files, &pems)
    }

    /// Takes them from their texts; `names` is how errors name each.
    ///
    /// # Errors
    /// [`CredentialsError`] has the name. The dates are for [`Credentials::check`].
    pub fn parse(names: &Files, pems: &Pems) -> Result<Self, CredentialsError> {
        let roots = roots(&names.ca, &pems.ca)?;
        let chain = certificates(&pems.certificate, names.certificate.display().to_string())?;
        Self::new(roots, chain, &pems.key, names)
    }

    /// The same program with another certificate and key, in PEM; and with other authorities, unless
    /// that text is empty.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub(crate) fn with(
        &self,
        certificate: &str,
        key: &str,
        authorities: &str,
    ) -> Result<Self, CredentialsError> {
        let issued = || "the certificate that was issued".to_owned();
        let chain = certificates(certificate.as_bytes(), issued())?;
        let roots = match authorities {
            "" => (*self.roots).clone(),
            pem => store(certificates(pem.as_bytes(), issued())?, &issued())?,
        };
        Self::new(roots, chain, key.as_bytes(), &self.files)
    }

    fn new(
        roots: RootCertStore,
        chain: Vec<CertificateDer<'static>>,
        key: &[u8],
        files: &Files,
    ) -> Result<Self, CredentialsError> {
        let provider = Arc::new(ring::default_provider());
        let what = files.certificate.display().to_string();
        let leaf = &chain[0];
        let of_leaf = |source| CredentialsError::Identity {
            what: what.clone(),
            source,
        };
        let identity = leaf::identity(leaf).map_err(of_leaf)?;
        let key_digest = leaf::key_digest(leaf).ok_or_else(|| of_leaf(LeafError::Unreadable))?;
        let validity = leaf::validity(leaf).ok_or_else(|| of_leaf(LeafError::Unreadable))?;
        let key_name = files.key.display().to_string();
        let key = PrivateKeyDer::from_pem_slice(key);
        let key = key.map_err(|source| CredentialsError::Pem {
            what: key_name.clone(),
            expected: "one private key",
            source,
        })?;
        let certified = CertifiedKey::from_der(chain, key, &provider);
        let certified = certified.map_err(|source| CredentialsError::Key {
            key: key_name,
            certificate: what,
            source,
        })?;
        Ok(Self {
            roots: Arc::new(roots),
            certified: Arc::new(certified),
            provider,
            identity,
            key: key_digest,
            validity,
            files: files.clone(),
        })
    }

    /// Their identity.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How errors name what they are from.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The subject of the authority that signed the certificate; empty when it cannot be read.
    #[must_use]
    pub fn issuer(&self) -> String {
        leaf::issuer(&self.certified.cert[0]).unwrap_or_default()
    }

    /// The digest of the certificate's public key.
    #[must_use]
    pub fn key_digest(&self) -> KeyDigest {
        self.key
    }

    /// When the certificate may be used.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Checks the certificate as the other side will: its dates by this machine's clock, and
    /// whether it is signed by an authority that this program trusts itself.
    ///
    /// # Errors
    /// [`OwnCertificateError`] in words; a TLS alert would not have them.
    pub fn check(&self, now: SystemTime) -> Result<(), Box<OwnCertificateError>> {
        let certificate = self.files.certificate.display().to_string();
        let identity = self.identity.clone();
        let Validity {
            not_before,
            not_after,
        } = self.validity;
        if let Ok(ago) = now.duration_since(not_after)
            && ago >= Duration::from_secs(1)
        {
            return Err(Box::new(OwnCertificateError::Expired {
                certificate,
                identity,
                at: moment(not_after),
                ago: span(ago),
                now: moment(now),
            }));
        }
        if let Ok(ahead) = not_before.duration_since(now)
            && ahead > Duration::ZERO
        {
            return Err(Box::new(OwnCertificateError::NotYetValid {
                certificate,
                identity,
                at: moment(not_before),
                ahead: span(ahead),
                now: moment(now),
            }));
        }
        let unusable = |why: String| {
            Box::new(OwnCertificateError::Unusable {
                certificate: certificate.clone(),
                identity: identity.clone(),
                why,
            })
        };
        if let Err(error) = leaf::proven(&self.certified.cert[0]) {
            return Err(unusable(error.to_string()));
        }
        let provider = Arc::clone(&self.provider);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), provider).build();
        let verifier = verifier.map_err(|error| unusable(error.to_string()))?;
        let chain = &self.certified.cert;
        let (leaf, between) = chain
            .split_first()
            .ok_or_else(|| unusable("there is none".to_owned()))?;
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(since);
        use rustls::{CertificateError as Why, Error::InvalidCertificate};
        match verifier.verify_client_cert(leaf, between, now) {
            Ok(_) => Ok(()),
            Err(InvalidCertificate(Why::UnknownIssuer | Why::BadSignature)) => {
                Err(Box::new(OwnCertificateError::OtherAuthority {
                    certificate,
                    identity,
                    ca: self.files.ca.display().to_string(),
                }))
            }
            Err(error) => Err(unusable(error.to_string())),
        }
    }
}

/// A bundle of authorities.
fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, CredentialsError> {
    let what = path.display().to_string();
    store(certificates(pem, what.clone())?, &what)
}

fn store(
    certificates: Vec<CertificateDer<'static>>,
    what: &str,
) -> Result<RootCertStore, CredentialsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|source| CredentialsError::Certificate {
                what: what.to_owned(),
                source,
            })?;
    }
    Ok(roots)
}

/// A bundle of authorities, in PEM.
pub(crate) fn roots_of(pem: &str) -> Result<RootCertStore, CredentialsError> {
    let what = || "the bundle of authorities".to_owned();
    store(certificates(pem.as_bytes(), what())?, &what())
}

/// The certificates in a text of one or more.
fn certificates(
    pem: &[u8],
    what: String,
) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem)
        .take(CERTIFICATES_MAX + 1)
        .collect();
    let certificates = certificates.map_err(|source| CredentialsError::Pem {
        what: what.clone(),
        expected: "certificates",
        source,
    })?;
    match certificates.len() {
        1..=CERTIFICATES_MAX => Ok(certificates),
        count => Err(CredentialsError::Count { what, count }),
    }
}

fn moment(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    match Timestamp::from_second(seconds) {
        Ok(at) => at.to_string(),
        Err(_) => format!("{seconds} s after 1970"),
    }
}

/// A span in its largest whole unit.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
