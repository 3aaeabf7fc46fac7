//! The other end of a connection, as its certificate proves it.

use paasta_common::joining::KeyDigest;

use crate::name::{Identity, Role};

/// The proven identity of the other end; `None` where it sent no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    identity: Option<Identity>,
    key: Option<KeyDigest>,
}

impl Peer {
    pub(crate) fn new(proven: Option<(Identity, KeyDigest)>) -> Self {
        let (identity, key) = proven.unzip();
        Self { identity, key }
    }

    /// Its identity, where it proved one.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The digest of the public key in its certificate, where it sent one.
    #[must_use]
    pub fn key(&self) -> Option<KeyDigest> {
        self.key
    }

    /// Its role, where it proved one.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.identity().map(Identity::role)
    }
}
