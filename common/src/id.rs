//! Names and ids. Each is a type of its own, parsed once at the door and compared whole: nothing
//! in paasta matches an id by its prefix.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::text;

/// The longest name accepted, in bytes: a name must fit a DNS label with room for a suffix.
pub const NAME_BYTES_MAX: usize = 63;

/// How much of a text that is refused is repeated, in characters.
pub const ECHO_CHARS_MAX: usize = 100;

/// The beginning of a text, at most [`ECHO_CHARS_MAX`] characters: what an error repeats of it.
pub fn cut(text: &str) -> &str {
    text::beginning(text, ECHO_CHARS_MAX)
}

/// A name or id that was refused, with the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {:?} is not valid: {rule}", cut(value))]
pub struct IdError {
    /// What was being parsed, in words.
    pub kind: &'static str,
    /// The text that was refused.
    pub value: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses and checks the text.
            ///
            /// # Errors
            /// [`IdError`] names the rule that the text breaks.
            pub fn new(text: &str) -> Result<Self, IdError> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.into())),
                    Err(rule) => Err(IdError { kind: $kind, value: text.to_owned(), rule }),
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name!(
    /// A service: the name of its directory in yelpsoa-configs.
    ServiceName, "service name", service_rule
);
name!(
    /// An instance of a service, by PaaSTA's schema rule: lower-case letters, digits, `_` and `-`.
    InstanceName, "instance name", instance_rule
);
name!(
    /// A cluster: the `CLUSTER` of `marathon-CLUSTER.yaml`.
    ClusterName, "cluster name", service_rule
);
name!(
    /// A host that runs an agent.
    HostId, "host id", host_rule
);
name!(
    /// The id of a machine: drawn at random by its agent, once, and kept in its state directory. A
    /// host id is a name that two machines may be given by mistake; this is not.
    MachineId, "machine id", machine_rule
);
name!(
    /// The name of a join token; no secret.
    TokenId, "token id", token_rule
);
name!(
    /// The id of one version of an instance, `S.I.gitXXXXXXXX.configXXXXXXXX`, every `_` of the
    /// names written `--` (PaaSTA's rule).
    AppId, "app id", app_rule
);

/// `service.instance`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId {
    /// The service.
    pub service: ServiceName,
    /// The instance.
    pub instance: InstanceName,
}

/// One placement of an app on one host. Never reused, never moved to another host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaId(pub u64);

impl InstanceId {
    /// Joins the two names.
    pub fn new(service: ServiceName, instance: InstanceName) -> Self {
        Self { service, instance }
    }
}

impl AppId {
    /// Composes the id of an app of `instance` from the eight hex digits of its git sha and of its
    /// configuration hash.
    ///
    /// # Errors
    /// [`IdError`] when either part is not eight lower-case hexadecimal digits.
    pub fn compose(instance: &InstanceId, git: &str, config: &str) -> Result<Self, IdError> {
        let service = instance.service.as_str().replace('_', "--");
        let name = instance.instance.as_str().replace('_', "--");
        Self::new(&format!("{service}.{name}.git{git}.config{config}"))
    }

    /// The instance this is a version of.
    pub fn instance(&self) -> InstanceId {
        let mut parts = self.0.split('.').map(|part| part.replace("--", "_"));
        let service = ServiceName(parts.next().unwrap_or_default().into());
        let instance = InstanceName(parts.next().unwrap_or_default().into());
        InstanceId { service, instance }
    }

    /// The first eight digits of the git sha.
    pub fn git(&self) -> &str {
        self.0
            .split('.')
            .nth(2)
            .map_or("", |part| &part["git".len()..])
    }

    /// The eight digits of the configuration hash.
    pub fn config(&self) -> &str {
        self.0
            .split('.')
            .nth(3)
            .map_or("", |part| &part["config".len()..])
    }
}

impl TokenId {
    /// The name that the lowest 35 bits make: how a new one is drawn.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        let letter = |at: u32| match u8::try_from(bits >> (5 * at) & 31).unwrap_or(0) {
            low @ 0..26 => char::from(b'a' + low),
            high => char::from(b'2' + (high - 26)),
        };
        Self((0..7).map(letter).collect::<String>().into())
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.service, self.instance)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl FromStr for InstanceId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let rule = "expected SERVICE.INSTANCE, with exactly one dot";
        let refuse = || IdError {
            kind: "instance id",
            value: text.to_owned(),
            rule,
        };
        let (service, instance) = text.split_once('.').ok_or_else(refuse)?;
        Ok(Self::new(service.parse()?, instance.parse()?))
    }
}

impl TryFrom<String> for InstanceId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> String {
        id.to_string()
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ReplicaId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix('r')
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or_else(|| IdError {
                kind: "replica id",
                value: text.to_owned(),
                rule: "expected r<number>",
            })
    }
}

fn bounded(text: &str, max: usize) -> Result<(), &'static str> {
    match text.len() {
        0 => Err("it is empty"),
        n if n > max => Err("it is longer than 63 bytes (253 for a host)"),
        _ => Ok(()),
    }
}

fn service_rule(text: &str) -> Result<(), &'static str> {
    bounded(text, NAME_BYTES_MAX)?;
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(inner) {
        return Err("use letters, digits, '_' and '-', and begin with a letter or digit");
    }
    no_double_dash(text)
}

fn instance_rule(text: &str) -> Result<(), &'static str> {
    bounded(text, NAME_BYTES_MAX)?;
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inner = |c: char| edge(c) || c == '_' || c == '-';
    if !text.starts_with(edge) || !text.ends_with(edge) || !text.chars().all(inner) {
        return Err(
            "use lower-case letters, digits, '_' and '-', with a letter or digit at both ends",
        );
    }
    no_double_dash(text)
}

/// App ids write `_` as `--`: a name with `--` in it, or with `_` beside `-`, would share the id of
/// another name.
fn no_double_dash(text: &str) -> Result<(), &'static str> {
    match ["--", "-_", "_-"].iter().any(|pair| text.contains(pair)) {
        true => Err("'--', '-_' and '_-' are reserved: app ids write '_' as '--'"),
        false => Ok(()),
    }
}

fn machine_rule(text: &str) -> Result<(), &'static str> {
    let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match text.len() == 32 && text.bytes().all(digits) {
        true => Ok(()),
        false => Err("it has 32 hexadecimal digits in lower case"),
    }
}

fn token_rule(text: &str) -> Result<(), &'static str> {
    let base32 = |byte: u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
    match text.len() == 7 && text.bytes().all(base32) {
        true => Ok(()),
        false => Err("it has 7 characters of a to z and 2 to 7"),
    }
}

fn host_rule(text: &str) -> Result<(), &'static str> {
    bounded(text, 253)?;
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(inner) {
        true => Ok(()),
        false => Err("use letters, digits, '.', '_' and '-', and begin with a letter or digit"),
    }
}

fn app_rule(text: &str) -> Result<(), &'static str> {
    let rule = "expected SERVICE.INSTANCE.git<8 hex>.config<8 hex>";
    let hex8 =
        |text: &str| text.len() == 8 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    let parts: Vec<&str> = text.split('.').collect();
    let [service, instance, git, config] = parts[..] else {
        return Err(rule);
    };
    service_rule(&service.replace("--", "_"))?;
    instance_rule(&instance.replace("--", "_"))?;
    match (git.strip_prefix("git"), config.strip_prefix("config")) {
        (Some(git), Some(config)) if hex8(git) && hex8(config) => Ok(()),
        _ => Err(rule),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_id_is_composed_and_taken_apart_again() {
        let instance: InstanceId = "my_service.web_1".parse().unwrap();
        let id = AppId::compose(&instance, "3f2a9c0d", "94232c5b").unwrap();
        assert_eq!(id.as_str(), "my--service.web--1.git3f2a9c0d.config94232c5b");
        assert_eq!(
            (id.instance(), id.git(), id.config()),
            (instance, "3f2a9c0d", "94232c5b")
        );
    }

    #[test]
    fn names_that_could_be_confused_are_refused() {
        for text in [
            "",
            "a/b",
            "a b",
            "ä",
            "-a",
            "a.b",
            "a--b",
            "../x",
            &"x".repeat(64),
        ] {
            assert!(ServiceName::new(text).is_err(), "{text}");
        }
        for text in ["_template", "Main", "main-", "a.b", "", "a-_b", "a_-b"] {
            assert!(InstanceName::new(text).is_err(), "{text}");
        }
        for text in ["a", "a.b.c", ".b", "a."] {
            assert!(text.parse::<InstanceId>().is_err(), "{text}");
        }
        for text in [
            "a.b.git3f2a9c0.config94232c5b",
            "a.b.git3f2a9c0d",
            "a.b.git3F2a9c0d.config94232c5b",
        ] {
            assert!(AppId::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ids_survive_text() {
        assert_eq!("r17".parse::<ReplicaId>().unwrap().to_string(), "r17");
        assert!("17".parse::<ReplicaId>().is_err());
        let id: InstanceId = serde_json::from_str("\"hello.main\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"hello.main\"");
    }
}
