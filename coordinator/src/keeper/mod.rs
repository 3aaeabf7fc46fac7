//! The keeper of the authority's private key on this coordinator. It signs certificates for
//! identities that were decided elsewhere. The key is in a file of this coordinator's identity
//! directory, and comes to another one by [`fetch`] only: it is no part of the replicated state.

pub mod fetch;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use paasta_common::{id::ClusterName, time::Timestamp};
use paasta_identity::{
    Identity, IdentityDir,
    authority::{Authority, AuthorityError, Term},
    directory::DirectoryError,
    pin::Pin,
};

/// Why nothing is signed, or no key is kept.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// This coordinator has no key.
    #[error(
        "this coordinator does not have the key of the cluster's authority: a coordinator gets it from another one when it has a vote"
    )]
    NoKey,
    /// The authority refused.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The files.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// The keeper. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Keeper {
    authority: Arc<ArcSwapOption<Authority>>,
    /// Where the key is kept; `None` where the operators make certificates themselves.
    dir: Option<IdentityDir>,
    /// What it signs is valid for so long at most.
    longest: Option<Duration>,
}

impl Keeper {
    /// A keeper without a key, which never gets one: the operators make certificates themselves.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The keeper of the key in an identity directory, if there is one there.
    ///
    /// # Errors
    /// [`KeeperError`] when the files are there and cannot be used.
    pub fn open(dir: &IdentityDir, cluster: &ClusterName) -> Result<Self, KeeperError> {
        let (certificate, key) = (dir.authority(), dir.authority_key());
        let authority = match key.exists() {
            true => Some(Arc::new(Authority::read(cluster, &certificate, &key)?)),
            false => None,
        };
        Ok(Self {
            authority: Arc::new(ArcSwapOption::new(authority)),
            dir: Some(dir.clone()),
            longest: None,
        })
    }

    /// The same, signing for shorter times: a role's certificates are never valid for longer than
    /// without this.
    #[must_use]
    pub fn at_most(self, longest: Option<Duration>) -> Self {
        Self { longest, ..self }
    }

    /// Whether certificates are made by the cluster itself, here or on another coordinator.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.dir.is_some()
    }

    /// Whether this coordinator can sign.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.authority.load().is_some()
    }

    /// The authority's certificate in PEM, where its key is kept here.
    #[must_use]
    pub fn certificate(&self) -> Option<String> {
        Some(self.authority.load().as_ref()?.pem().to_owned())
    }

    /// The pin of the authority's public key, where its key is kept here.
    #[must_use]
    pub fn pin(&self) -> Option<Pin> {
        self.authority.load().as_ref()?.pin()
    }

    /// Signs a certificate for an identity and the public key of a request, both in PEM, as the
    /// authority does ([`Authority::issue`]). Whether the identity may have it was decided before.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn sign(
        &self,
        identity: &Identity,
        request: &str,
        now: Timestamp,
    ) -> Result<String, KeeperError> {
        self.sign_after(identity, request, now, None)
    }

    /// As [`Keeper::sign`], for a certificate that is not valid before a moment at which older ones
    /// of the identity were revoked.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn sign_after(
        &self,
        identity: &Identity,
        request: &str,
        now: Timestamp,
        revoked: Option<Timestamp>,
    ) -> Result<String, KeeperError> {
        let authority = self.authority.load_full().ok_or(KeeperError::NoKey)?;
        let term = Term {
            longest: self.longest,
            // A certificate says whole seconds.
            not_before: revoked.map(|at| SystemTime::from(at) + Duration::from_secs(1)),
        };
        Ok(authority.issue_within(request, identity, now.into(), term)?)
    }

    /// The private key in PEM, for another coordinator that signs.
    pub(crate) fn key(&self) -> Option<String> {
        Some(self.authority.load().as_ref()?.key_pem())
    }

    /// Keeps a key from now on, in the file as well. It must be that of the certificate.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn keep(
        &self,
        cluster: &ClusterName,
        certificate: &str,
        key: &str,
    ) -> Result<(), KeeperError> {
        let authority = Authority::from_pem(cluster, certificate, key)?;
        if let Some(dir) = &self.dir {
            // A certificate without its key is no authority: the key comes last.
            dir.write(&dir.authority(), certificate)?;
            dir.write(&dir.authority_key(), key)?;
        }
        self.authority.store(Some(Arc::new(authority)));
        Ok(())
    }
}
