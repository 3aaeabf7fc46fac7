//! The address of a coordinator, `HOST:PORT`.

use std::{fmt, str::FromStr};

use crate::text;

/// The longest address, in bytes: a name of 253, brackets, a colon and a port.
const BYTES_MAX: usize = 262;

/// `HOST:PORT`: a name, an IPv4 address or an IPv6 address in brackets, and a port from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(String);

/// An address that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{:?} is not HOST:PORT, as 10.0.0.1:7000 or [::1]:7000", text::beginning(.0, BYTES_MAX))]
pub struct AddressError(String);

impl Address {
    /// The text, `HOST:PORT`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refuse = || AddressError(text.to_owned());
        let text = text.trim();
        let (host, port) = text.rsplit_once(':').ok_or_else(refuse)?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let host_fits = match bare {
            Some(six) => six.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(inner),
        };
        match port.parse::<u16>() {
            Ok(port) if port > 0 && host_fits && text.len() <= BYTES_MAX => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(refuse()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_a_host_and_a_port() {
        for fine in [
            "localhost:7000",
            "10.0.0.1:1",
            "[::1]:7000",
            "a-b.c_d:65535",
            " h:1 ",
        ] {
            assert!(fine.parse::<Address>().is_ok(), "{fine}");
        }
        let long = format!("{}:1", "h".repeat(BYTES_MAX));
        for refused in [
            "",
            "host",
            "host:",
            ":1",
            "host:0",
            "host:65536",
            "::1:7000",
            "h/p:1",
            "[x]:1",
            &long,
        ] {
            let error = refused.parse::<Address>().expect_err(refused);
            assert!(error.to_string().contains("HOST:PORT"), "{error}");
        }
    }
}
