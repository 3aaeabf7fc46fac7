//! SmartStack's words: namespaces, and the options of smartstack.yaml that proxies and endpoints
//! need, typed. Every text here has a closed set of characters, so that no value of a service
//! author can become a directive of a proxy's configuration. Not here: reading the file
//! ([`crate::soa::smartstack`]).

mod options;
mod texts;

pub use options::{Balance, Chaos, ChaosFail, Mode, NamespaceOptions, OptionsError};
pub use texts::{HeaderName, HeaderValue, Location, LocationName, LocationType, Namespace, Path};

/// Entries of each map or list of a namespace's options, at most.
pub const ENTRIES_MAX: usize = 64;
/// The longest timeout or delay, in milliseconds: 24 hours.
pub const MS_MAX: u32 = 86_400_000;
/// Retries of a connection, at most.
pub const RETRIES_MAX: u8 = 100;
/// The location type over which backends are spread and discovered when none is named.
pub const LOCATION_DEFAULT: &str = "region";

#[cfg(test)]
mod tests;
