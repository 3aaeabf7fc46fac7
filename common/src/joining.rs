//! How programs and persons join a cluster: the kinds of join tokens, the names of tokens, and the
//! digests by which secrets and keys are known. A token's text with its secret is no value here: it
//! is read and made by `paasta_identity::token`.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::id::TokenId;
use crate::identity::Role;

/// What a token lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Joiner {
    /// A coordinator.
    Coordinator,
    /// An agent.
    Agent,
    /// A person, or a program that acts for persons.
    Person,
}

/// The SHA-256 digest of a token's secret: what a cluster stores of it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretDigest(pub [u8; 32]);

/// The SHA-256 digest of a public key (its `SubjectPublicKeyInfo`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyDigest(pub [u8; 32]);

impl Joiner {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Coordinator, Self::Agent, Self::Person];

    /// The word in commands and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Agent => "agent",
            Self::Person => "person",
        }
    }

    /// The role that a program of this kind gets; `None` for persons, whose token names it.
    #[must_use]
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Coordinator => Some(Role::Coordinator),
            Self::Agent => Some(Role::Agent),
            Self::Person => None,
        }
    }
}

impl fmt::Display for Joiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(..)")
    }
}

impl fmt::Display for KeyDigest {
    /// Its first eight bytes: enough for a person to compare two keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDigest({self})")
    }
}
