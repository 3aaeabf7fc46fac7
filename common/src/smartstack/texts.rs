//! The texts of smartstack.yaml, each with a closed set of characters and a bound.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::id::{IdError, NAME_BYTES_MAX, name};

/// The longest header value and path, in bytes.
const VALUE_BYTES_MAX: usize = 512;
/// The longest name of a location, in bytes.
const LOCATION_BYTES_MAX: usize = 128;
/// Headers that say where a message ends or what a connection is: an author who sets one makes
/// requests that a proxy and a server read differently.
const FRAMING: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

name!(
    /// `SERVICE.NAMESPACE`: the name under which replicas are announced and found.
    Namespace, "namespace", namespace_rule
);
name!(
    /// The name of an HTTP header: letters, digits and `-`; none that frames messages.
    HeaderName, "header name", header_name_rule
);
name!(
    /// The value of an HTTP header: printable ASCII without quotes, backslash, `#`, `%` and `$`.
    HeaderValue, "header value", header_value_rule
);
name!(
    /// The beginning of a request's path: `/`, then letters, digits and `-_.~/`.
    Path, "path", path_rule
);
name!(
    /// A type of locations, as `region`: letters, digits, `_` and `-`.
    LocationType, "location type", location_type_rule
);
name!(
    /// The name of a location, as `us-west-1`: printable ASCII without blanks.
    LocationName, "location name", location_name_rule
);

/// One location, `TYPE:NAME`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Location {
    /// Its type.
    pub kind: LocationType,
    /// Its name.
    pub name: LocationName,
}

impl Namespace {
    /// The service.
    pub fn service(&self) -> &str {
        self.as_str().split_once('.').map_or("", |(one, _)| one)
    }

    /// The name inside smartstack.yaml of the service.
    pub fn name(&self) -> &str {
        self.as_str().split_once('.').map_or("", |(_, one)| one)
    }
}

impl LocationType {
    /// The type of a text in this program, which is known to be one.
    pub(super) fn constant(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl FromStr for Location {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (kind, name) = text.split_once(':').ok_or_else(|| IdError {
            kind: "location",
            value: text.to_owned(),
            rule: "expected TYPE:NAME",
        })?;
        Ok(Self {
            kind: kind.parse()?,
            name: name.parse()?,
        })
    }
}

impl TryFrom<String> for Location {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Location> for String {
    fn from(location: Location) -> String {
        location.to_string()
    }
}

fn namespace_rule(text: &str) -> Result<(), &'static str> {
    let part = |part: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        part.len() <= NAME_BYTES_MAX
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(inner)
    };
    match text.split_once('.') {
        Some((service, name)) if part(service) && part(name) => Ok(()),
        _ => Err(
            "expected SERVICE.NAMESPACE, each of at most 63 letters, digits, '_' and '-' with a \
             letter or digit first",
        ),
    }
}

fn header_name_rule(text: &str) -> Result<(), &'static str> {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !(1..=NAME_BYTES_MAX).contains(&text.len()) || !text.chars().all(inner) {
        return Err("use 1 to 63 letters, digits and '-'");
    }
    match FRAMING.iter().any(|one| text.eq_ignore_ascii_case(one)) {
        true => Err("it frames messages: the proxy sets it"),
        false => Ok(()),
    }
}

fn header_value_rule(text: &str) -> Result<(), &'static str> {
    let inner = |c: char| {
        (' '..='~').contains(&c) && !matches!(c, '"' | '\'' | '\\' | '#' | '%' | '$' | '`')
    };
    let ends = text.starts_with(' ') || text.ends_with(' ');
    match (1..=VALUE_BYTES_MAX).contains(&text.len()) && text.chars().all(inner) && !ends {
        true => Ok(()),
        false => Err(
            "use 1 to 512 printable ASCII characters other than quotes, '\\', '#', '%' and '$', \
             with no blank at either end",
        ),
    }
}

fn path_rule(text: &str) -> Result<(), &'static str> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
    match text.starts_with('/') && text.len() <= VALUE_BYTES_MAX && text.chars().all(inner) {
        true => Ok(()),
        false => Err("begin with '/', then letters, digits and '-_.~/', 512 at most"),
    }
}

fn location_type_rule(text: &str) -> Result<(), &'static str> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(inner) {
        true => Ok(()),
        false => Err("use 1 to 63 letters, digits, '_' and '-'"),
    }
}

fn location_name_rule(text: &str) -> Result<(), &'static str> {
    let inner = |c: char| ('!'..='~').contains(&c);
    match (1..=LOCATION_BYTES_MAX).contains(&text.len()) && text.chars().all(inner) {
        true => Ok(()),
        false => Err("use 1 to 128 printable ASCII characters without blanks"),
    }
}
