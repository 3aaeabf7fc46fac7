//! What a certificate says, read and never believed here: whether it is signed by the right
//! authority is the verifiers' affair.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use paasta_common::joining::KeyDigest;
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::{CertificateError, OtherError, pki_types::CertificateDer};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use crate::name::{Identity, IdentityError};

/// The longest time for which a certificate of a program or a person may be valid: one that is
/// revoked has to be remembered for so long.
pub const LIFE_MAX: Duration = Duration::from_secs(400 * 24 * 3600);

/// Why a certificate names no identity.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LeafError {
    /// It cannot be read.
    #[error("it is not an X.509 certificate")]
    Unreadable,
    /// It has no name of this form, or several.
    #[error("it has {0} names of the form paasta://CLUSTER/ROLE/NAME, expected exactly one")]
    Names(usize),
    /// It is valid for too long.
    #[error("it is valid for {0} days, and at most {most} are accepted: issue it for a shorter time", most = LIFE_MAX.as_secs() / (24 * 3600))]
    Life(u64),
    /// Its name is wrong.
    #[error(transparent)]
    Name(#[from] IdentityError),
}

/// When a certificate may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: SystemTime,
    /// The last moment.
    pub not_after: SystemTime,
}

impl LeafError {
    /// As an error of a handshake.
    pub(crate) fn into_tls(self) -> tokio_rustls::rustls::Error {
        CertificateError::Other(OtherError(Arc::new(self))).into()
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let (rest, certificate) = X509Certificate::from_der(der.as_ref()).ok()?;
    rest.is_empty().then_some(certificate)
}

/// The only `paasta:` name of a certificate. A second one is refused, so that no two readers can
/// take different ones; URIs of other schemes are of no interest.
///
/// # Errors
/// [`LeafError`].
pub(crate) fn identity(der: &CertificateDer<'_>) -> Result<Identity, LeafError> {
    let certificate = parse(der).ok_or(LeafError::Unreadable)?;
    let names = certificate.subject_alternative_name();
    let names = names.map_err(|_| LeafError::Unreadable)?;
    let names = names.map(|names| names.value.general_names.as_slice());
    let uris: Vec<&str> = names
        .unwrap_or_default()
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) if uri.starts_with("paasta:") => Some(*uri),
            _ => None,
        })
        .collect();
    match uris[..] {
        [uri] => Ok(uri.parse()?),
        _ => Err(LeafError::Names(uris.len())),
    }
}

/// What a certificate says of its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proven {
    /// The identity.
    pub(crate) identity: Identity,
    /// When it may be used.
    pub(crate) validity: Validity,
    /// The digest of its public key.
    pub(crate) key: KeyDigest,
}

/// What a certificate says of its holder.
///
/// # Errors
/// [`LeafError`], also when it is valid for longer than [`LIFE_MAX`].
pub(crate) fn proven(der: &CertificateDer<'_>) -> Result<Proven, LeafError> {
    let identity = identity(der)?;
    let validity = validity(der).ok_or(LeafError::Unreadable)?;
    let key = key_digest(der).ok_or(LeafError::Unreadable)?;
    let life = validity.not_after.duration_since(validity.not_before);
    let life = life.unwrap_or_default();
    match life > LIFE_MAX {
        true => Err(LeafError::Life(life.as_secs() / (24 * 3600))),
        false => Ok(Proven {
            identity,
            validity,
            key,
        }),
    }
}

/// When a certificate may be used.
pub(crate) fn validity(der: &CertificateDer<'_>) -> Option<Validity> {
    let certificate = parse(der)?;
    let validity = certificate.validity();
    Some(Validity {
        not_before: moment(validity.not_before.timestamp()),
        not_after: moment(validity.not_after.timestamp()),
    })
}

/// The subject of the authority that signed a certificate.
pub(crate) fn issuer(der: &CertificateDer<'_>) -> Option<String> {
    Some(parse(der)?.issuer().to_string())
}

/// The public key of a certificate with its algorithm (`SubjectPublicKeyInfo`).
pub(crate) fn public_key(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    Some(parse(der)?.public_key().raw.to_vec())
}

/// The digest of the public key of a certificate.
pub(crate) fn key_digest(der: &CertificateDer<'_>) -> Option<KeyDigest> {
    Some(KeyDigest(Sha256::digest(public_key(der)?).into()))
}

fn moment(unix: i64) -> SystemTime {
    match u64::try_from(unix) {
        Ok(after) => UNIX_EPOCH + Duration::from_secs(after),
        Err(_) => UNIX_EPOCH,
    }
}
