//! Late renewal: a program whose certificate has expired proves that it holds its key, by a request
//! that the old key signs over the coordinator's nonce and the new request. A host that was off for
//! weeks comes back so without a token.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use paasta_common::joining::KeyDigest;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, KeyPair,
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio_rustls::rustls::{
    crypto::ring,
    pki_types::{CertificateDer, CertificateSigningRequestDer, UnixTime, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};

use crate::{
    authority::AuthorityError,
    credentials::{CredentialsError, roots_of},
    leaf::{self, LeafError},
    name::Identity,
};

/// For how long after its end a certificate can be renewed.
pub const LATE_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// Bytes of a coordinator's nonce, at least.
const NONCE_BYTES_MIN: usize = 16;
/// What is signed begins with this, so that it is nothing else.
const PURPOSE: &[u8] = b"paasta late renewal 1";

/// Why an expired certificate is not renewed.
#[derive(Debug, thiserror::Error)]
pub enum LateError {
    /// The authorities, or the certificate, cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The certificate names no identity.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// It expired too long ago.
    #[error(
        "the certificate of {identity} expired {days} days ago, and can be renewed for {} days only: join the machine again with a token",
        LATE_MAX.as_secs() / (24 * 3600)
    )]
    TooLate {
        /// Whose.
        identity: Identity,
        /// How long ago.
        days: u64,
    },
    /// It is of no authority of this cluster.
    #[error("the certificate of {identity} was not issued by an authority of this cluster: {why}")]
    Authority {
        /// Whose.
        identity: Identity,
        /// The library's words.
        why: String,
    },
    /// The proof is none.
    #[error("the proof is not signed by the key of the certificate: {0}")]
    Proof(&'static str),
}

/// An expired certificate whose key was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// Its identity.
    pub identity: Identity,
    /// When its validity began.
    pub not_before: SystemTime,
    /// The digest of its public key.
    pub key: KeyDigest,
}

/// The name that a proof has: the digest of what is proven.
fn proven(nonce: &[u8], request: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(PURPOSE);
    digest.update((nonce.len() as u64).to_be_bytes());
    digest.update(nonce);
    digest.update(request.as_bytes());
    data_encoding::HEXLOWER.encode(&digest.finalize())
}

/// The proof that the caller holds the key in `key` (PEM), for a new request and a coordinator's
/// nonce; a certificate request in PEM that the key signs.
///
/// # Errors
/// [`AuthorityError`] when it is no key.
pub fn proof(key: &str, nonce: &[u8], request: &str) -> Result<String, AuthorityError> {
    let failed = |what| move |source| AuthorityError::Certificate { what, source };
    let key = KeyPair::from_pem(key).map_err(failed("the key cannot be read"))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, proven(nonce, request));
    let signed = params.serialize_request(&key);
    let signed = signed.and_then(|signed| signed.pem());
    signed.map_err(failed("the proof cannot be made"))
}

/// Checks an expired certificate (PEM, with those between it and an authority), and the proof of its
/// key. Whether the identity is revoked is for the caller.
///
/// # Errors
/// [`LateError`] in words.
pub fn verify(
    authorities: &str,
    certificate: &str,
    nonce: &[u8],
    (request, proof): (&str, &str),
    now: SystemTime,
) -> Result<Late, LateError> {
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
    let chain = chain.map_err(|_| LeafError::Unreadable)?;
    let (leaf, between) = chain.split_first().ok_or(LeafError::Unreadable)?;
    let leaf::Proven {
        identity,
        validity,
        key,
    } = leaf::proven(leaf)?;
    let ago = now.duration_since(validity.not_after).unwrap_or_default();
    if ago > LATE_MAX {
        let days = ago.as_secs() / (24 * 3600);
        return Err(LateError::TooLate { identity, days });
    }
    let roots = Arc::new(roots_of(authorities)?);
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
    let refused = |why: String| LateError::Authority {
        identity: identity.clone(),
        why,
    };
    let verifier = verifier.map_err(|error| refused(error.to_string()))?;
    // As it was at its end: that it is over is known.
    let at = now.min(validity.not_after);
    let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).unwrap_or_default());
    verifier
        .verify_client_cert(leaf, between, at)
        .map_err(|error| refused(error.to_string()))?;
    let whole_key = leaf::public_key(leaf).ok_or(LeafError::Unreadable)?;
    check_proof(&whole_key, nonce, request, proof)?;
    Ok(Late {
        identity,
        not_before: validity.not_before,
        key,
    })
}

fn check_proof(key: &[u8], nonce: &[u8], request: &str, proof: &str) -> Result<(), LateError> {
    if nonce.len() < NONCE_BYTES_MIN {
        return Err(LateError::Proof("the nonce is too short"));
    }
    // This checks the signature by the key in the proof itself.
    if CertificateSigningRequestParams::from_pem(proof).is_err() {
        return Err(LateError::Proof(
            "its signature does not fit, or it is no request",
        ));
    }
    let unreadable = LateError::Proof("it is no request");
    let Ok(der) = CertificateSigningRequestDer::from_pem_slice(proof.as_bytes()) else {
        return Err(unreadable);
    };
    let Ok((_, parsed)) = X509CertificationRequest::from_der(der.as_ref()) else {
        return Err(unreadable);
    };
    let info = &parsed.certification_request_info;
    if !bool::from(info.subject_pki.raw.ct_eq(key)) {
        return Err(LateError::Proof("it is signed by another key"));
    }
    let mut names = info.subject.iter_common_name();
    let named = names.next().and_then(|name| name.as_str().ok());
    match named == Some(proven(nonce, request).as_str()) && names.next().is_none() {
        true => Ok(()),
        false => Err(LateError::Proof("it is for another nonce or request")),
    }
}

#[cfg(test)]
mod tests {
    use paasta_common::id::ClusterName;

    use super::*;
    use crate::authority::{Authority, Request};

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const NONCE: [u8; 16] = [7; 16];

    struct Asleep {
        authority: Authority,
        certificate: String,
        old: Request,
        new: Request,
        now: SystemTime,
    }

    /// A host whose certificate was issued so long ago.
    fn asleep(issued: Duration) -> Asleep {
        let now = SystemTime::now();
        let cluster = ClusterName::new("prod").unwrap();
        let authority = Authority::create(&cluster, now - issued - DAY).unwrap();
        let old = Request::create().unwrap();
        let identity: Identity = "paasta://prod/agent/h".parse().unwrap();
        let certificate = authority.issue(old.pem(), &identity, now - issued).unwrap();
        let new = Request::create().unwrap();
        Asleep {
            authority,
            certificate,
            old,
            new,
            now,
        }
    }

    impl Asleep {
        fn verified(&self, nonce: &[u8], request: &str, proof: &str) -> Result<Late, LateError> {
            let pem = self.authority.pem();
            verify(pem, &self.certificate, nonce, (request, proof), self.now)
        }

        fn proof(&self) -> String {
            proof(&self.old.key_pem(), &NONCE, self.new.pem()).unwrap()
        }
    }

    #[test]
    fn the_holder_of_an_expired_key_is_known_again() {
        let host = asleep(120 * DAY);
        let late = host
            .verified(&NONCE, host.new.pem(), &host.proof())
            .unwrap();
        assert_eq!(late.identity.short(), "agent/h");
    }

    #[test]
    fn another_nonce_request_or_key_proves_nothing() {
        let host = asleep(120 * DAY);
        let proof_of = host.proof();
        let words = |result: Result<Late, LateError>| result.unwrap_err().to_string();
        let replayed = host.verified(&[8; 16], host.new.pem(), &proof_of);
        assert!(words(replayed).contains("another nonce or request"));
        let other = Request::create().unwrap();
        let swapped = host.verified(&NONCE, other.pem(), &proof_of);
        assert!(words(swapped).contains("another nonce or request"));
        let foreign = proof(&other.key_pem(), &NONCE, host.new.pem()).unwrap();
        let foreign = host.verified(&NONCE, host.new.pem(), &foreign);
        assert!(words(foreign).contains("another key"));
        for none in ["", "proof", host.new.pem()] {
            assert!(
                host.verified(&NONCE, host.new.pem(), none).is_err(),
                "{none}"
            );
        }
        let short = proof(&host.old.key_pem(), &[7], host.new.pem()).unwrap();
        assert!(words(host.verified(&[7], host.new.pem(), &short)).contains("too short"));
    }

    #[test]
    fn after_ninety_days_and_by_another_authority_there_is_no_way_back() {
        let host = asleep(181 * DAY);
        let error = host
            .verified(&NONCE, host.new.pem(), &host.proof())
            .unwrap_err();
        assert!(error.to_string().contains("expired 91 days ago"), "{error}");
        let (host, other) = (asleep(120 * DAY), asleep(120 * DAY));
        let pem = other.authority.pem();
        let proof = host.proof();
        let foreign = verify(
            pem,
            &host.certificate,
            &NONCE,
            (host.new.pem(), &proof),
            host.now,
        );
        assert!(matches!(foreign, Err(LateError::Authority { .. })));
    }
}
