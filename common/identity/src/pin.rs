//! The pin of an authority, and the verifier of a program that joins: it knows no certificate yet,
//! only the digest of the authority's public key that its token holds.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::{
    self, CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::{
    leaf,
    verify::{CoordinatorVerifier, Expected},
};

/// Bytes of a pin.
pub const PIN_BYTES: usize = 20;

/// The first bytes of the SHA-256 digest of an authority's public key (its
/// `SubjectPublicKeyInfo`). It stays the same when the authority's certificate is issued again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; PIN_BYTES]);

impl Pin {
    /// A pin of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; PIN_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; PIN_BYTES] {
        self.0
    }

    /// The pin of a certificate's public key; `None` when it is no certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let digest = Sha256::digest(leaf::public_key(certificate)?);
        let first = digest.get(..PIN_BYTES)?.try_into().ok()?;
        Some(Self(first))
    }
}

/// Accepts only a coordinator whose chain ends at the authority with this pin. The chain must
/// include the authority's certificate.
#[derive(Debug)]
pub(crate) struct PinnedVerifier {
    pin: Pin,
    provider: Arc<CryptoProvider>,
    dates: Dates,
}

/// By which clock the dates of a coordinator's certificate are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dates {
    /// This machine's.
    ByOwnClock,
    /// By none: only to ask a coordinator for its clock when this machine's seems to be wrong.
    /// Nothing that it answers is used, and it gets no secret.
    NotJudged,
}

impl PinnedVerifier {
    pub(crate) fn new(pin: Pin, provider: Arc<CryptoProvider>, dates: Dates) -> Self {
        Self {
            pin,
            provider,
            dates,
        }
    }

    fn now(&self, end_entity: &CertificateDer<'_>, now: UnixTime) -> UnixTime {
        match (self.dates, leaf::validity(end_entity)) {
            (Dates::NotJudged, Some(validity)) => {
                let after = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default();
                let (first, last) = (after(validity.not_before), after(validity.not_after));
                let now = Duration::from_secs(now.as_secs());
                UnixTime::since_unix_epoch(now.max(first).min(last))
            }
            _ => now,
        }
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pinned = intermediates
            .iter()
            .find(|certificate| Pin::of(certificate) == Some(self.pin));
        let Some(root) = pinned else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        // A program that joins does not know its cluster: the authority that is pinned names it.
        let cluster = leaf::identity(end_entity).map_err(leaf::LeafError::into_tls)?;
        let cluster = cluster.cluster().clone();
        let provider = Arc::clone(&self.provider);
        let verifier = CoordinatorVerifier::new(roots, provider, cluster, Expected::Any)
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let now = self.now(end_entity, now);
        verifier.verify(end_entity, intermediates, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
