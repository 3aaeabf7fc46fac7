//! Identities that have no rights, whatever certificate they show; and identities of which only the
//! certificates from before a moment have none. Bounded, and forgotten once every certificate that
//! an entry concerns has expired.

use std::{borrow::Borrow, collections::BTreeMap, fmt};

use paasta_common::{text::beginning, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::actor::Actor;

const DAY_MS: u64 = 86_400_000;

/// The most identities that are revoked at a time.
pub const REVOKED_MAX: usize = 1_000;
/// How long an entry is kept: the longest life of a certificate that coordinators accept (400
/// days), and the time after its end in which it can still be renewed (90 days).
pub const REVOKED_FOR_MS: u64 = 500 * DAY_MS;
/// The longest reason that is kept, in bytes.
pub const REVOKED_REASON_BYTES_MAX: usize = 500;
/// The longest `ROLE/NAME`, in bytes.
const HOLDER_BYTES_MAX: usize = 300;

/// The holder of certificates, `ROLE/NAME` as in an identity of this cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Holder(String);

/// Text that is no holder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not ROLE/NAME, as agent/host-1")]
pub struct HolderError(String);

/// Why certificates of an identity have no rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Whether every certificate is void, those that are issued later as well.
    pub whole: bool,
    /// Certificates whose validity begins before this moment are void in any case.
    pub before: Timestamp,
    /// Who asked for it.
    pub by: Actor,
    /// Why, in the operator's words; may be empty.
    pub reason: String,
    /// When the entry is forgotten: every certificate from before has expired then.
    pub ends: Timestamp,
}

impl Holder {
    /// Reads `ROLE/NAME`. Which roles there are is decided where it enters.
    ///
    /// # Errors
    /// [`HolderError`].
    pub fn new(text: &str) -> Result<Self, HolderError> {
        let refused = || HolderError(beginning(text, HOLDER_BYTES_MAX).to_owned());
        let (role, name) = text.split_once('/').ok_or_else(refused)?;
        let fine = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic());
        let fits = text.len() <= HOLDER_BYTES_MAX && fine(role) && fine(name);
        match fits && !name.contains('/') {
            true => Ok(Self(text.to_owned())),
            false => Err(refused()),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the host, where it is an agent.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.0.strip_prefix("agent/")
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Holder {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Holder {
    type Error = HolderError;

    fn try_from(text: String) -> Result<Self, HolderError> {
        Self::new(&text)
    }
}

impl From<Holder> for String {
    fn from(holder: Holder) -> Self {
        holder.0
    }
}

impl Revocation {
    /// Whether a certificate whose validity begins at `not_before` is void.
    #[must_use]
    pub fn voids(&self, not_before: Timestamp) -> bool {
        self.whole || not_before < self.before
    }

    /// The reason as the end of a sentence: `: REASON`, or nothing where none was given.
    #[must_use]
    pub fn why(&self) -> String {
        match self.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        }
    }
}

/// Forgets the entries that have ended.
pub(super) fn forget_ended(revoked: &mut BTreeMap<Holder, Revocation>, now: Timestamp) {
    revoked.retain(|_, one| one.ends > now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_a_role_and_a_name() {
        for fine in ["agent/h1", "coordinator/3", "admin/a.b@c"] {
            assert_eq!(Holder::new(fine).unwrap().as_str(), fine);
        }
        let long = format!("agent/{}", "h".repeat(HOLDER_BYTES_MAX));
        for bad in [
            "",
            "agent",
            "agent/",
            "/h1",
            "agent/h 1",
            "a/b/c",
            "agent/\n",
            &long,
        ] {
            assert!(Holder::new(bad).is_err(), "{bad}");
        }
        assert_eq!(Holder::new("agent/h1").unwrap().host(), Some("h1"));
        assert_eq!(Holder::new("admin/h1").unwrap().host(), None);
    }

    #[test]
    fn a_whole_identity_or_what_was_issued_before() {
        let mut one = Revocation {
            whole: false,
            before: Timestamp(1_000),
            by: Actor::claimed("x"),
            reason: String::new(),
            ends: Timestamp(9_000),
        };
        assert!(one.voids(Timestamp(999)));
        assert!(!one.voids(Timestamp(1_000)));
        one.whole = true;
        assert!(one.voids(Timestamp(1_000)));
    }
}
