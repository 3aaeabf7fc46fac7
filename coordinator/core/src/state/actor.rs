//! The author of a change: a part of the cluster, an identity that a certificate proves, or a name
//! that its caller typed. The three are never mixed up, in the state and in what users read.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Begins the text of a proven identity. No name that a caller types has it: control characters are
/// refused where requests enter, in every version.
const PROVEN: char = '\u{1}';
/// Begins the text of a part of the cluster.
const SYSTEM: char = '\u{2}';

/// The author of a change. Its text in the log is one string, so that earlier versions read it; a
/// string of an earlier version is a claim, whatever it says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// A part of the cluster: `coordinator 1`, `git`, `config`.
    System(String),
    /// An identity that is proven by a certificate, or by the kernel on a local socket.
    Proven {
        /// `ROLE/NAME`, as in the certificate.
        identity: String,
        /// The name that the caller gave besides, `user@host`; proves nothing.
        claim: String,
    },
    /// A name that the caller typed; empty where no name is known.
    Claimed(String),
}

impl Actor {
    /// A part of the cluster.
    pub fn system(name: &str) -> Self {
        Self::System(plain(name))
    }

    /// An identity that is proven, with the name that its caller typed besides.
    pub fn proven(identity: &str, claim: &str) -> Self {
        Self::Proven {
            identity: plain(identity),
            claim: plain(claim),
        }
    }

    /// A name that the caller typed.
    pub fn claimed(name: &str) -> Self {
        Self::Claimed(plain(name))
    }

    /// Whether no name is known.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Claimed(name) if name.is_empty())
    }

    /// The proven identity, `ROLE/NAME`; none for what is claimed only.
    pub fn identity(&self) -> Option<&str> {
        match self {
            Self::Proven { identity, .. } => Some(identity),
            Self::System(_) | Self::Claimed(_) => None,
        }
    }

    /// The name that the caller typed; empty where none did.
    pub fn claim(&self) -> &str {
        match self {
            Self::Proven { claim, .. } => claim,
            Self::Claimed(name) => name,
            Self::System(_) => "",
        }
    }
}

impl Default for Actor {
    fn default() -> Self {
        Self::Claimed(String::new())
    }
}

/// As users read it: `admin/alice` is proven, `"bob@desk" (claimed)` was typed.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(name) => f.write_str(name),
            Self::Proven { identity, .. } => f.write_str(identity),
            Self::Claimed(name) if name.is_empty() => Ok(()),
            Self::Claimed(name) => write!(f, "{name:?} (claimed)"),
        }
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::System(name) => serializer.collect_str(&format_args!("{SYSTEM}{name}")),
            Self::Proven { identity, claim } => {
                serializer.collect_str(&format_args!("{PROVEN}{identity}{PROVEN}{claim}"))
            }
            Self::Claimed(name) => serializer.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(if let Some(rest) = text.strip_prefix(PROVEN) {
            let (identity, claim) = rest.split_once(PROVEN).unwrap_or((rest, ""));
            Self::proven(identity, claim)
        } else if let Some(name) = text.strip_prefix(SYSTEM) {
            Self::system(name)
        } else {
            Self::claimed(&text)
        })
    }
}

/// Without the characters that separate the parts of the text.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_name_is_never_read_as_proven() {
        for typed in [
            "admin/alice",
            "coordinator 1",
            "\u{1}admin/alice",
            "\u{2}git",
            "\u{1}admin/alice\u{1}",
            "admin/alice\" (claimed)",
            "",
        ] {
            let claimed = Actor::claimed(typed);
            let text = serde_json::to_string(&claimed).unwrap();
            let read: Actor = serde_json::from_str(&text).unwrap();
            assert_eq!(read, claimed);
            assert_eq!(read.identity(), None, "{typed:?}");
            let shown = read.to_string();
            assert!(
                shown.is_empty() || shown.ends_with("\" (claimed)"),
                "{shown}"
            );
            assert!(shown.is_empty() || shown.starts_with('"'), "{shown}");
        }
    }

    #[test]
    fn every_author_is_read_as_it_was_written() {
        for (actor, shown) in [
            (Actor::system("coordinator 1"), "coordinator 1"),
            (Actor::proven("admin/alice", "root@desk"), "admin/alice"),
            (Actor::proven("deployer/ci", ""), "deployer/ci"),
            (Actor::claimed("bob@desk"), "\"bob@desk\" (claimed)"),
            (Actor::default(), ""),
        ] {
            let text = serde_json::to_string(&actor).unwrap();
            assert_eq!(serde_json::from_str::<Actor>(&text).unwrap(), actor);
            assert_eq!(actor.to_string(), shown);
        }
        // A log of an earlier version.
        let old: Actor = serde_json::from_str("\"coordinator 1\"").unwrap();
        assert_eq!(old, Actor::claimed("coordinator 1"));
    }
}
