//! Renewing a program's own certificate: when, and how the new files take the place of the old ones.
//! Who signs is asked by the caller. The new key is beside the old one (`KEY.next`) before anything is
//! asked: a request whose answer was lost is made again for the same key, as coordinators know it by
//! then, and a crash between two steps leaves a pair that fits.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use paasta_process::{
    atomic_file::{self, WriteError},
    chain::chain,
    metrics::{Level, Meters},
};
use tokio::time::sleep;

use crate::{
    authority::{AuthorityError, Request},
    credentials::{Credentials, CredentialsError, Files},
    key,
    leaf::Validity,
    tls::{Tls, TlsError},
};

/// Between two looks at the certificate in use, at most: files may be replaced by hand.
const LOOK: Duration = Duration::from_secs(30);
/// After a try that failed, at least, and at most: a part of the certificate's life between them.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// The part of a certificate's life that is waited after a try that failed.
const RETRY_PART: u32 = 256;
/// The mode of certificates.
const PUBLIC: u32 = 0o644;
/// The mode of a key.
const PRIVATE: u32 = 0o600;

/// What a coordinator answers: a new certificate, and the authorities to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// The certificate, and those between it and its authority, in PEM.
    pub certificate: String,
    /// The authorities of the cluster, in PEM; empty: as before.
    pub authorities: String,
}

/// Why no coordinator gave a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The cluster signs no certificates: those that there are came from elsewhere.
    #[error("this cluster signs no certificates")]
    NoAuthority,
    /// None answered, or one refused.
    #[error("{0}")]
    Refused(String),
}

/// Why a certificate was not renewed; the old one is in use.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The request could not be made.
    #[error(transparent)]
    Request(#[from] AuthorityError),
    /// No coordinator gave one.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The answer is no certificate of this program.
    #[error("the certificate that was issued cannot be used")]
    Credentials(#[from] CredentialsError),
    /// TLS refuses it.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// How a program's renewal is doing.
#[derive(Debug, Clone)]
pub struct Overdue(Level);

impl Overdue {
    /// Sets it in `meters`; once for a daemon that has a certificate.
    pub fn new(meters: &Meters) -> Self {
        let overdue = Self(meters.level(
            "paasta_tls_renewal_overdue_seconds",
            "For how long the certificate of this program was to be renewed and could not be; 0 while all is well, absent without TLS.",
        ));
        overdue.0.set(0.0);
        overdue
    }
}

/// When a certificate is renewed: at a moment between a third and a half of its life, by `chance`
/// from 0 to 1, so that the programs of a cluster do not come at once.
#[must_use]
pub fn due(validity: Validity, chance: f64) -> SystemTime {
    let life = life(validity);
    let part = 1.0 / 3.0 + chance.clamp(0.0, 1.0) * (1.0 / 2.0 - 1.0 / 3.0);
    validity.not_before + life.mul_f64(part)
}

/// How long to wait after a try that failed.
fn retry(validity: Validity, chance: f64) -> Duration {
    let part = life(validity) / RETRY_PART;
    part.clamp(RETRY.0, RETRY.1)
        .mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

fn life(validity: Validity) -> Duration {
    let life = validity.not_after.duration_since(validity.not_before);
    life.unwrap_or_default()
}

/// Where the key of a certificate is that is about to be laid.
pub(crate) fn next_key(key: &Path) -> PathBuf {
    let mut name = OsString::from(key);
    name.push(".next");
    PathBuf::from(name)
}

/// The request that is under way, or a new one, whose key is on the disk.
///
/// # Errors
/// [`RenewError`] when the key cannot be made or written.
fn pending(files: &Files) -> Result<Request, RenewError> {
    let next = next_key(&files.key);
    if let Ok(key) = key::read_key(&next)
        && let Ok(key) = String::from_utf8(key)
        && let Ok(request) = Request::of_key(&key)
    {
        return Ok(request);
    }
    let request = Request::create()?;
    atomic_file::write(&next, request.key_pem().as_bytes(), PRIVATE)?;
    Ok(request)
}

/// Finishes a replacement that was cut short: the certificate is the new one, its key is still
/// beside the old one.
///
/// # Errors
/// [`CredentialsError`] of the files as they are, when the key beside does not fit either.
pub(crate) fn finish(
    files: &Files,
    error: CredentialsError,
) -> Result<Credentials, CredentialsError> {
    let next = next_key(&files.key);
    if !matches!(error, CredentialsError::Key { .. }) || !next.exists() {
        return Err(error);
    }
    let beside = Files {
        key: next.clone(),
        ..files.clone()
    };
    if Credentials::read_as_they_are(&beside).is_err()
        || std::fs::rename(&next, &files.key).is_err()
    {
        return Err(error);
    }
    Credentials::read_as_they_are(files)
}

/// Lays a new certificate, its key and the authorities over the old files.
///
/// # Errors
/// [`RenewError`] names the file; what is there then fits together.
fn lay(files: &Files, request: &Request, renewed: &Renewed) -> Result<(), RenewError> {
    let next = next_key(&files.key);
    // Trusted first: the new certificate may be of a new authority.
    if !renewed.authorities.is_empty() {
        atomic_file::write(&files.ca, renewed.authorities.as_bytes(), PUBLIC)?;
    }
    atomic_file::write(&files.certificate, renewed.certificate.as_bytes(), PUBLIC)?;
    // From here on reading finishes what is cut short.
    atomic_file::write(&files.key, request.key_pem().as_bytes(), PRIVATE)?;
    // The same key twice is no harm.
    let _ = std::fs::remove_file(&next);
    Ok(())
}

impl Tls {
    /// Renews the certificate once: `ask` has a coordinator sign the request. The new one is in the
    /// files, and in use, when this returns.
    ///
    /// # Errors
    /// [`RenewError`]; the old one stays in use.
    pub async fn renew_once<F, A>(&self, files: &Files, ask: F) -> Result<(), RenewError>
    where
        F: FnOnce(String) -> A,
        A: Future<Output = Result<Renewed, AskError>>,
    {
        let request = pending(files)?;
        let renewed = ask(request.pem().to_owned()).await?;
        // Beside the files first: an answer that is of no use replaces nothing.
        self.try_out(&request, &renewed)?;
        lay(files, &request, &renewed)?;
        self.renew(Credentials::read(files)?)?;
        Ok(())
    }

    /// Checks an answer before anything is replaced by it.
    fn try_out(&self, request: &Request, renewed: &Renewed) -> Result<(), RenewError> {
        let old = self.credentials();
        let new = old.with(
            &renewed.certificate,
            &request.key_pem(),
            &renewed.authorities,
        )?;
        if new.identity() != old.identity() {
            return Err(TlsError::OtherIdentity {
                found: Box::new(new.identity().clone()),
                own: Box::new(old.identity().clone()),
            }
            .into());
        }
        new.check(SystemTime::now()).map_err(TlsError::from)?;
        Ok(())
    }

    /// Renews the certificate whenever it is due, and tries again until it is done. Never ends.
    pub async fn keep_renewing<F, A>(&self, files: Files, overdue: Overdue, ask: F)
    where
        F: Fn(String) -> A,
        A: Future<Output = Result<Renewed, AskError>>,
    {
        let mut of = self.credentials().validity();
        let mut at = due(of, rand::random());
        let mut said = String::new();
        loop {
            let now = SystemTime::now();
            let held = self.credentials().validity();
            if held != of {
                // Renewed, or replaced by hand.
                (of, at) = (held, due(held, rand::random()));
            }
            if let Ok(left) = at.duration_since(now)
                && left > Duration::ZERO
            {
                overdue.0.set(0.0);
                sleep(left.min(LOOK)).await;
                continue;
            }
            match self.renew_once(&files, &ask).await {
                Ok(()) => {
                    said.clear();
                    overdue.0.set(0.0);
                    tracing::info!(identity = %self.identity(), "the certificate was renewed");
                }
                Err(error) => {
                    let quiet = matches!(error, RenewError::Ask(AskError::NoAuthority));
                    let late = now.duration_since(at).unwrap_or_default();
                    overdue.0.set(if quiet { 0.0 } else { late.as_secs_f64() });
                    let words = chain(&error);
                    if words != said && !quiet {
                        tracing::warn!(error = %words, "the certificate could not be renewed; trying again");
                    }
                    said = words;
                    sleep(retry(of, rand::random())).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn validity() -> Validity {
        let not_before = SystemTime::UNIX_EPOCH + DAY * 20_000;
        Validity {
            not_before,
            not_after: not_before + DAY * 90,
        }
    }

    #[test]
    fn a_certificate_is_renewed_between_a_third_and_a_half_of_its_life() {
        let validity = validity();
        let after = |chance| {
            due(validity, chance)
                .duration_since(validity.not_before)
                .unwrap()
        };
        assert_eq!(after(0.0).as_secs(), (DAY * 30).as_secs());
        assert_eq!(after(1.0).as_secs(), (DAY * 45).as_secs());
        assert!(after(0.5) > after(0.4));
        assert_eq!(after(-3.0), after(0.0));
    }

    #[test]
    fn a_try_that_failed_is_made_again_within_ten_minutes() {
        assert!(retry(validity(), 1.0) <= RETRY.1);
        assert!(retry(validity(), 0.0) >= RETRY.1 / 2);
        let short = Validity {
            not_after: validity().not_before + Duration::from_secs(60),
            ..validity()
        };
        assert!(retry(short, 1.0) <= RETRY.0);
    }
}
