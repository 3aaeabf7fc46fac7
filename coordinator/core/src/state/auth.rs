//! Who may be in the cluster, as it is replicated: the authorities' certificates, the join tokens,
//! and which key holds which name. No private key and no secret is ever here: of a secret there is
//! its digest.

use std::collections::BTreeMap;

use paasta_common::{
    id::TokenId,
    identity::Identity,
    joining::{Joiner, KeyDigest, SecretDigest},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::ClusterState;

/// Of how many tokens something is remembered, at most.
pub const TOKENS_MAX: usize = 1_000;
/// How many names are held by keys, at most.
pub const NODES_MAX: usize = 20_000;
/// How many authorities are trusted at a time, at most: two, while one replaces the other.
pub const AUTHORITIES_MAX: usize = 4;
/// The longest certificate of an authority, in bytes of PEM.
pub const AUTHORITY_BYTES_MAX: usize = 8 << 10;
/// The longest note of a token, in characters.
pub const NOTE_CHARS_MAX: usize = 200;

/// A join token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// What it lets in.
    pub joiner: Joiner,
    /// The digest of its secret.
    pub digest: SecretDigest,
    /// How often it may still be used.
    pub uses_left: u32,
    /// From when on it is refused.
    pub expires: Timestamp,
    /// The identity that a person gets; `None` for coordinators and agents.
    #[serde(default)]
    pub principal: Option<Identity>,
    /// Whether a name that another key holds may be taken over.
    #[serde(default)]
    pub replace: bool,
    /// The operator's note.
    #[serde(default)]
    pub note: String,
    /// The name of its maker, as events have it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    #[serde(default)]
    pub revoked: Option<Timestamp>,
    /// The digest of the key that used it last: a person's names are held by no key, and a lost
    /// answer is asked for again all the same.
    #[serde(default)]
    pub last_key: Option<KeyDigest>,
}

/// Whether a token can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usable {
    /// It can.
    Yes,
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
    /// No use is left.
    UsedUp,
}

/// The key that holds a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The digest of its public key.
    pub key: KeyDigest,
    /// When a certificate was issued to it last.
    pub issued_at: Timestamp,
    /// The token by which the key got the name; `None` for what `init` made.
    #[serde(default)]
    pub token: Option<TokenId>,
}

/// The authorities of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorities {
    /// Their certificates in PEM; the first one's key signs.
    pub certificates: Vec<String>,
    /// Since when.
    pub since: Timestamp,
}

impl JoinToken {
    /// Whether it can be used at `now`.
    #[must_use]
    pub fn usable(&self, now: Timestamp) -> Usable {
        if self.revoked.is_some() {
            Usable::Revoked
        } else if self.uses_left == 0 {
            Usable::UsedUp
        } else if self.expires <= now {
            Usable::Expired
        } else {
            Usable::Yes
        }
    }
}

impl ClusterState {
    /// The join tokens that are remembered, by id.
    pub fn tokens(&self) -> &BTreeMap<TokenId, JoinToken> {
        &self.tables.tokens
    }

    /// The key that holds a name of this cluster.
    pub fn node(&self, identity: &Identity) -> Option<&Node> {
        self.tables.nodes.get(identity)
    }

    /// The keys that hold names, by name.
    pub fn nodes(&self) -> &BTreeMap<Identity, Node> {
        &self.tables.nodes
    }

    /// The authorities; none in a cluster whose certificates its operators make.
    pub fn authorities(&self) -> Option<&Authorities> {
        self.tables.authority.as_ref()
    }
}
