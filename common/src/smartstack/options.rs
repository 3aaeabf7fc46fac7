//! What smartstack.yaml says of one namespace, as far as proxies and endpoints need it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    ENTRIES_MAX, HeaderName, HeaderValue, LOCATION_DEFAULT, Location, LocationName, LocationType,
    MS_MAX, Path, RETRIES_MAX, texts,
};

/// What a namespace speaks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP inside TLS: the proxy passes bytes on and does not read them.
    Https,
    /// HTTP/2 from the first byte: the proxy passes bytes on and does not read them.
    Http2,
    /// Any other protocol over TCP.
    Tcp,
}

/// How a proxy chooses a server.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// The one with the fewest connections.
    #[default]
    LeastConn,
    /// One after the other.
    RoundRobin,
    /// Any, by chance.
    Random,
}

/// How requests fail on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChaosFail {
    /// The connection ends.
    Drop,
    /// The answer is 503.
    Error503,
}

/// A fault that clients of one location get on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chaos {
    /// How requests fail.
    #[serde(default)]
    pub fail: Option<ChaosFail>,
    /// How long each connection waits first, in milliseconds.
    #[serde(default)]
    pub delay_ms: u32,
}

/// What smartstack.yaml says of one namespace. Every text is bounded by its type; the sizes of
/// the collections and the numbers by [`NamespaceOptions::check`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceOptions {
    /// The port of the load balancers; without one the namespace is not load balanced.
    pub proxy_port: Option<u16>,
    /// What it speaks.
    pub mode: Mode,
    /// How a server is chosen.
    pub balance: Balance,
    /// Milliseconds to connect to a server.
    pub timeout_connect_ms: u32,
    /// Milliseconds of silence of a client; 0 is [`MS_MAX`].
    pub timeout_client_ms: u32,
    /// Milliseconds of silence of a server; 0 is [`MS_MAX`].
    pub timeout_server_ms: u32,
    /// Times that a connection to a server is tried again.
    pub retries: u8,
    /// Whether every retry goes to another server.
    pub allredisp: bool,
    /// Whether a request that a server did not answer is sent to another one: only for services
    /// whose requests may arrive twice. A key of ours.
    pub retry_requests: bool,
    /// Whether connections serve more than one request.
    pub keepalive: bool,
    /// Headers that every request gets.
    pub extra_headers: BTreeMap<HeaderName, HeaderValue>,
    /// Milliseconds of silence of a server, by the beginning of the path.
    pub endpoint_timeouts: BTreeMap<Path, u32>,
    /// The namespace of a proxy that requests go through.
    pub proxied_through: Option<texts::Namespace>,
    /// Faults on purpose, by the location of the client.
    pub chaos: BTreeMap<LocationType, BTreeMap<LocationName, Chaos>>,
    /// The location types in which replicas are announced.
    pub advertise: BTreeSet<LocationType>,
    /// The location type in which clients look.
    pub discover: LocationType,
    /// Further locations in which the replicas of a location are announced.
    pub extra_advertise: BTreeMap<Location, BTreeSet<Location>>,
}

/// A collection or a number that is beyond its bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}, expected at most {max}")]
pub struct OptionsError {
    /// The field of smartstack.yaml.
    pub field: &'static str,
    /// What it holds: a number, or how many entries.
    pub found: u64,
    /// The bound.
    pub max: u64,
}

impl Mode {
    /// Whether the proxy reads the requests.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Http)
    }

    /// The word of smartstack.yaml.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Http2 => "http2",
            Self::Tcp => "tcp",
        }
    }
}

impl std::default::Default for NamespaceOptions {
    fn default() -> Self {
        let region = region();
        Self {
            proxy_port: None,
            mode: Mode::Http,
            balance: Balance::LeastConn,
            timeout_connect_ms: 200,
            timeout_client_ms: 1_000,
            timeout_server_ms: 1_000,
            retries: 1,
            allredisp: false,
            retry_requests: false,
            keepalive: true,
            extra_headers: BTreeMap::new(),
            endpoint_timeouts: BTreeMap::new(),
            proxied_through: None,
            chaos: BTreeMap::new(),
            advertise: BTreeSet::from([region.clone()]),
            discover: region,
            extra_advertise: BTreeMap::new(),
        }
    }
}

impl NamespaceOptions {
    /// Holds the sizes and numbers to their bounds.
    ///
    /// # Errors
    /// [`OptionsError`] names the first field that is beyond its bound.
    pub fn check(&self) -> Result<(), OptionsError> {
        let entries = |field, found: usize| at_most(field, found as u64, ENTRIES_MAX as u64);
        let ms = |field, found: u32| at_most(field, u64::from(found), u64::from(MS_MAX));
        ms("timeout_connect_ms", self.timeout_connect_ms)?;
        ms("timeout_client_ms", self.timeout_client_ms)?;
        ms("timeout_server_ms", self.timeout_server_ms)?;
        at_most("retries", self.retries.into(), RETRIES_MAX.into())?;
        entries("extra_headers", self.extra_headers.len())?;
        entries("endpoint_timeouts", self.endpoint_timeouts.len())?;
        for timeout in self.endpoint_timeouts.values() {
            ms("endpoint_timeouts", *timeout)?;
        }
        entries("chaos", self.chaos.len())?;
        for group in self.chaos.values() {
            entries("chaos", group.len())?;
            for chaos in group.values() {
                ms("chaos", chaos.delay_ms)?;
            }
        }
        entries("advertise", self.advertise.len())?;
        entries("extra_advertise", self.extra_advertise.len())?;
        for more in self.extra_advertise.values() {
            entries("extra_advertise", more.len())?;
        }
        Ok(())
    }

    /// The fault on purpose for a client whose location of each type this tells.
    pub fn chaos_at(&self, location: impl Fn(&LocationType) -> Option<String>) -> Option<Chaos> {
        self.chaos.iter().find_map(|(kind, group)| {
            let here = location(kind)?;
            let found = group.iter().find(|(name, _)| name.as_str() == here)?;
            Some(*found.1)
        })
    }
}

fn at_most(field: &'static str, found: u64, max: u64) -> Result<(), OptionsError> {
    match found > max {
        true => Err(OptionsError { field, found, max }),
        false => Ok(()),
    }
}

/// The location type that counts when none is named.
fn region() -> LocationType {
    LocationType::constant(LOCATION_DEFAULT)
}
