//! The other end of a connection, as its certificate proves it.

use std::time::SystemTime;

use paasta_common::joining::KeyDigest;

use crate::{
    leaf::{Proven, Validity},
    name::{Identity, Role},
};

/// The proven identity of the other end; `None` where it sent no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    proven: Option<Proven>,
}

impl Peer {
    pub(crate) fn new(proven: Option<Proven>) -> Self {
        Self { proven }
    }

    /// Its identity, where it proved one.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.proven.as_ref().map(|proven| &proven.identity)
    }

    /// The digest of the public key in its certificate, where it sent one.
    #[must_use]
    pub fn key(&self) -> Option<KeyDigest> {
        self.proven.as_ref().map(|proven| proven.key)
    }

    /// Its role, where it proved one.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.identity().map(Identity::role)
    }

    /// When its certificate may be used, where it showed one.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        self.proven.as_ref().map(|proven| proven.validity)
    }

    /// Whether its certificate has expired by `now`: a connection may outlive it.
    #[must_use]
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.validity()
            .is_some_and(|validity| now > validity.not_after)
    }
}
