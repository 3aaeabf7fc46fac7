//! The verifiers of both sides: those of rustls decide about signatures, dates and purposes, then
//! the identity in the certificate must be one that this side expects.

use std::sync::Arc;

use paasta_common::id::ClusterName;
use tokio_rustls::rustls::{
    self, CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use crate::{
    leaf::{self, LeafError},
    name::{Identity, server_name},
};

/// The coordinator that a client dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Any coordinator of the cluster.
    Any,
    /// The coordinator with this id.
    Member(u64),
}

/// An identity that is proven, and not the one that is expected.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("its certificate is that of {found}, of another cluster than {expected}")]
    Cluster {
        found: Identity,
        expected: ClusterName,
    },
    #[error("its certificate is that of {found}, which is no coordinator")]
    Role { found: Identity },
    #[error(
        "its certificate is that of {found}, not of coordinator {expected}: the address belongs to another coordinator"
    )]
    Member { found: Identity, expected: u64 },
}

/// Why a verifier cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifierError {
    /// The bundle of authorities cannot be used.
    #[error("the bundle of authorities cannot be used")]
    Authorities(#[source] VerifierBuilderError),
    /// The cluster's name cannot be part of a DNS name.
    #[error(
        "cluster {0} cannot use TLS: its name is no label of a DNS name (at most 63 letters, digits, '_' and '-', with a letter or digit at the end)"
    )]
    Cluster(ClusterName),
}

impl Mismatch {
    fn into_tls(self) -> rustls::Error {
        CertificateError::Other(OtherError(Arc::new(self))).into()
    }
}

fn identity_in(
    certificate: &CertificateDer<'_>,
    cluster: &ClusterName,
) -> Result<Identity, rustls::Error> {
    let found = leaf::proven(certificate).map_err(LeafError::into_tls)?;
    let found = found.identity;
    match found.cluster() == cluster {
        true => Ok(found),
        false => Err(Mismatch::Cluster {
            found,
            expected: cluster.clone(),
        }
        .into_tls()),
    }
}

/// A client's verifier of the coordinator that answers.
#[derive(Debug)]
pub(crate) struct CoordinatorVerifier {
    chain: Arc<WebPkiServerVerifier>,
    cluster: ClusterName,
    name: ServerName<'static>,
    expected: Expected,
}

impl CoordinatorVerifier {
    pub(crate) fn new(
        roots: impl Into<Arc<RootCertStore>>,
        provider: Arc<CryptoProvider>,
        cluster: ClusterName,
        expected: Expected,
    ) -> Result<Self, VerifierError> {
        let name = dns_name(&cluster)?;
        let chain = WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .map_err(VerifierError::Authorities)?;
        Ok(Self {
            chain,
            cluster,
            name,
            expected,
        })
    }

    /// As [`ServerCertVerifier::verify_server_cert`], whatever name was dialled.
    pub(crate) fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.chain
                .verify_server_cert(end_entity, intermediates, &self.name, ocsp, now);
        use CertificateError as Why;
        use rustls::Error::InvalidCertificate;
        let verified = match verified {
            // The identity says better what is wrong than the DNS name or the purpose.
            Err(InvalidCertificate(
                Why::NotValidForName
                | Why::NotValidForNameContext { .. }
                | Why::InvalidPurpose
                | Why::InvalidPurposeContext { .. },
            )) => verified,
            verified => Ok(verified?),
        };
        let found = identity_in(end_entity, &self.cluster)?;
        match (found.member(), self.expected) {
            (None, _) => Err(Mismatch::Role { found }.into_tls()),
            (Some(id), Expected::Member(expected)) if id != expected => {
                Err(Mismatch::Member { found, expected }.into_tls())
            }
            (Some(_), _) => verified,
        }
    }
}

/// The name by which the coordinators of a cluster are verified.
pub(crate) fn dns_name(cluster: &ClusterName) -> Result<ServerName<'static>, VerifierError> {
    ServerName::try_from(server_name(cluster)).map_err(|_| VerifierError::Cluster(cluster.clone()))
}

impl ServerCertVerifier for CoordinatorVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// A coordinator's verifier of the client that connects.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    cluster: ClusterName,
}

impl PeerVerifier {
    pub(crate) fn new(
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
        cluster: ClusterName,
        required: bool,
    ) -> Result<Self, VerifierError> {
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
        let builder = match required {
            true => builder,
            false => builder.allow_unauthenticated(),
        };
        let chain = builder.build().map_err(VerifierError::Authorities)?;
        Ok(Self { chain, cluster })
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn offer_client_auth(&self) -> bool {
        self.chain.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    /// No hints: a stranger does not learn the authority's name.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        identity_in(end_entity, &self.cluster)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
