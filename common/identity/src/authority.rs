//! The authority of a cluster: it signs one certificate for each identity.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use paasta_common::{id::ClusterName, joining::KeyDigest};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType, SerialNumber,
};
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::{
    key::{self, FileError},
    leaf,
    name::{Identity, Role, agent_server_name, server_name},
    pin::Pin,
    verify::{VerifierError, dns_name},
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A certificate is valid from so long before it is made: clocks differ.
pub const BACKDATED: Duration = HOUR;
/// How long an authority's certificate is valid.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Why an authority cannot be made, read, or sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A certificate or a key could not be made or read.
    #[error("{what}")]
    Certificate {
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        source: rcgen::Error,
    },
    /// The cluster's name cannot be verified by TLS.
    #[error(transparent)]
    Cluster(#[from] VerifierError),
    /// The identity is of another cluster.
    #[error("the authority of cluster {ours} signs no certificate for {identity}")]
    OtherCluster {
        /// The authority's cluster.
        ours: ClusterName,
        /// The identity.
        identity: Identity,
    },
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key is another authority's.
    #[error("the key is not that of the authority's certificate")]
    OtherKey,
    /// A file is no PEM.
    #[error("{path}: expected a certificate or a key in PEM")]
    Pem {
        /// The file.
        path: String,
    },
}

/// The authority of a cluster, with its private key.
pub struct Authority {
    cluster: ClusterName,
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

/// A request for a certificate, with the key that it is for. Only its public key counts: what
/// the certificate says is decided by the authority.
pub struct Request {
    key: KeyPair,
    pem: String,
}

/// Bounds on the time in which a certificate is valid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Term {
    /// It is valid for this long at most; otherwise as long as its role's certificates are.
    pub longest: Option<Duration>,
    /// It is not valid before this moment, at which older ones became void.
    pub not_before: Option<SystemTime>,
}

/// How long a certificate of this role is valid.
#[must_use]
pub fn life(role: Role) -> Duration {
    match role {
        Role::Coordinator | Role::Agent | Role::Metrics => 90 * DAY,
        Role::Admin | Role::Deployer | Role::Reader => 12 * HOUR,
    }
}

fn failed(what: &'static str) -> impl FnOnce(rcgen::Error) -> AuthorityError {
    move |source| AuthorityError::Certificate { what, source }
}

fn new_key() -> Result<KeyPair, AuthorityError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed("a key cannot be made"))
}

/// Parameters without the subject and the dates that rcgen has by default.
fn params(subject: &str, now: SystemTime, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, subject.to_owned());
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + life).into();
    let mut serial: [u8; 16] = rand::random();
    // A serial number is positive.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

impl Authority {
    /// A new authority for the cluster, valid for ten years.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn create(cluster: &ClusterName, now: SystemTime) -> Result<Self, AuthorityError> {
        dns_name(cluster)?;
        let key = new_key()?;
        let mut params = params(&format!("paasta {cluster} CA"), now, AUTHORITY_LIFE);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let signed = params.self_signed(&key);
        let certificate = signed.map_err(failed("the authority cannot sign itself"))?;
        Ok(Self {
            cluster: cluster.clone(),
            issuer: Issuer::new(params, key),
            pem: certificate.pem(),
            der: certificate.der().clone(),
        })
    }

    /// Reads an authority from the files that [`Authority::write`] made.
    ///
    /// # Errors
    /// [`AuthorityError`], also when others can read the key.
    pub fn read(
        cluster: &ClusterName,
        certificate: &Path,
        key: &Path,
    ) -> Result<Self, AuthorityError> {
        dns_name(cluster)?;
        let text = |path: &Path, bytes: Vec<u8>| {
            String::from_utf8(bytes).map_err(|_| AuthorityError::Pem {
                path: path.display().to_string(),
            })
        };
        let pem = text(certificate, key::read(certificate)?)?;
        let key = text(key, key::read_key(key)?)?;
        match Self::from_pem(cluster, &pem, &key) {
            Err(AuthorityError::Pem { .. }) => Err(AuthorityError::Pem {
                path: certificate.display().to_string(),
            }),
            read => read,
        }
    }

    /// An authority of a certificate and its key, both in PEM.
    ///
    /// # Errors
    /// [`AuthorityError`], also when the key is another one's.
    pub fn from_pem(
        cluster: &ClusterName,
        certificate: &str,
        key: &str,
    ) -> Result<Self, AuthorityError> {
        dns_name(cluster)?;
        let key = KeyPair::from_pem(key).map_err(failed("the authority's key cannot be read"))?;
        let der = CertificateDer::from_pem_slice(certificate.as_bytes());
        let der = der.map_err(|_| AuthorityError::Pem {
            path: "the authority's certificate".to_owned(),
        })?;
        if leaf::public_key(&der) != Some(key.subject_public_key_info()) {
            return Err(AuthorityError::OtherKey);
        }
        let issuer = Issuer::from_ca_cert_der(&der, key);
        Ok(Self {
            cluster: cluster.clone(),
            issuer: issuer.map_err(failed("the authority's certificate cannot be read"))?,
            pem: certificate.to_owned(),
            der,
        })
    }

    /// Writes the certificate and the key (mode 0600) to new files.
    ///
    /// # Errors
    /// [`FileError`], also when one of them is there already.
    pub fn write(&self, certificate: &Path, key: &Path) -> Result<(), FileError> {
        key::write_key(key, &self.key_pem())?;
        key::write_certificates(certificate, &self.pem)
    }

    /// Its private key, in PEM: for a file of its owner, and for another coordinator that signs.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Its certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The pin of its public key.
    #[must_use]
    pub fn pin(&self) -> Option<Pin> {
        Pin::of(&self.der)
    }

    /// Signs a certificate for `identity` and the public key of the request (in PEM), valid from
    /// an hour before `now` for as long as the role's certificates are. Returns it in PEM, with
    /// the authority's own behind it: a program that joins finds its pin there.
    ///
    /// # Errors
    /// [`AuthorityError`] when the request is not signed by its own key, or the identity is of
    /// another cluster.
    pub fn issue(
        &self,
        request: &str,
        identity: &Identity,
        now: SystemTime,
    ) -> Result<String, AuthorityError> {
        self.issue_within(request, identity, now, Term::default())
    }

    /// As [`Authority::issue`], within other bounds of time.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn issue_within(
        &self,
        request: &str,
        identity: &Identity,
        now: SystemTime,
        term: Term,
    ) -> Result<String, AuthorityError> {
        if *identity.cluster() != self.cluster {
            return Err(AuthorityError::OtherCluster {
                ours: self.cluster.clone(),
                identity: identity.clone(),
            });
        }
        let certificate = self.sign(request, identity, now, term);
        let certificate = certificate.map_err(failed("the request cannot be signed"))?;
        Ok(format!("{}{}", certificate.pem(), self.pem))
    }

    fn sign(
        &self,
        request: &str,
        identity: &Identity,
        now: SystemTime,
        term: Term,
    ) -> Result<Certificate, rcgen::Error> {
        let asked = CertificateSigningRequestParams::from_pem(request)?;
        let life = life(identity.role());
        let life = term.longest.map_or(life, |longest| life.min(longest));
        let mut params = params(&identity.short(), now, life);
        // A short life is backdated by little, or it would be half over when it begins.
        let backdated = BACKDATED.min(life / 10);
        let from = term
            .not_before
            .map_or(now - backdated, |at| at.max(now - backdated));
        params.not_before = from.into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let name = match identity.role() {
            Role::Coordinator => Some(server_name(identity.cluster())),
            // Of its HTTP endpoint: coordinators are verified by another name and by their role.
            Role::Agent => Some(agent_server_name(identity.cluster())),
            Role::Admin | Role::Deployer | Role::Reader | Role::Metrics => None,
        };
        if let Some(name) = name {
            params
                .subject_alt_names
                .push(SanType::DnsName(name.try_into()?));
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.signed_by(&asked.public_key, &self.issuer)
    }
}

/// The digest of the public key that a request (in PEM) is for. The request must be signed by that
/// key: what asks for a certificate has the private one.
///
/// # Errors
/// [`AuthorityError`] when it is no request, or not signed by its key.
pub fn key_of(request: &str) -> Result<KeyDigest, AuthorityError> {
    let asked = CertificateSigningRequestParams::from_pem(request);
    let asked = asked.map_err(failed("the certificate request cannot be used"))?;
    let key = asked.public_key.subject_public_key_info();
    Ok(KeyDigest(Sha256::digest(key).into()))
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.cluster)
    }
}

impl Request {
    /// A new key, and a request for it.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn create() -> Result<Self, AuthorityError> {
        Self::of(new_key()?)
    }

    /// A request for a key that was made before, in PEM.
    ///
    /// # Errors
    /// [`AuthorityError`] when it is no key.
    pub fn of_key(pem: &str) -> Result<Self, AuthorityError> {
        Self::of(KeyPair::from_pem(pem).map_err(failed("the key cannot be read"))?)
    }

    fn of(key: KeyPair) -> Result<Self, AuthorityError> {
        let request = CertificateParams::default().serialize_request(&key);
        let pem = request.and_then(|request| request.pem());
        let pem = pem.map_err(failed("a request cannot be made"))?;
        Ok(Self { key, pem })
    }

    /// The request, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The private key, in PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Writes the private key to a new file with mode 0600.
    ///
    /// # Errors
    /// [`FileError`], also when it is there already.
    pub fn write_key(&self, path: &Path) -> Result<(), FileError> {
        key::write_key(path, &self.key_pem())
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Request(..)")
    }
}
