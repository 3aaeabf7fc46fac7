//! The other end of a connection, as its certificate proves it.

use crate::name::{Identity, Role};

/// The proven identity of the other end; `None` where it sent no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    identity: Option<Identity>,
}

impl Peer {
    pub(crate) fn new(identity: Option<Identity>) -> Self {
        Self { identity }
    }

    /// Its identity, where it proved one.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Its role, where it proved one.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.identity().map(Identity::role)
    }
}
