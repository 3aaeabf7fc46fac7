//! The keys `http_listen`: an address, or `off`.

use std::net::SocketAddr;

use crate::listen::{ListenError, check_listen};

/// Why HTTP cannot be served where the configuration says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpAddressError {
    /// The text is no address.
    #[error("{key}: {value:?} is not an address; expected IP:PORT, or off")]
    Text {
        /// The key of the configuration.
        key: &'static str,
        /// The text.
        value: String,
    },
    /// It takes a certificate, and the program has none.
    #[error(
        "{key}: {source}. Expected a certificate of this program (`paasta-coordinator init` or `join`, `paasta-agent join`, or files in `tls`: docs/operate/install.md), or 127.0.0.1:PORT, or off"
    )]
    Refused {
        /// The key of the configuration.
        key: &'static str,
        /// Why.
        source: ListenError,
    },
    /// What is served there has no TLS.
    #[error("{key}: {source}. This protocol has no TLS; expected 127.0.0.1:PORT, or off")]
    NeverSecure {
        /// The key of the configuration.
        key: &'static str,
        /// Why.
        source: ListenError,
    },
}

/// Where HTTP is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpAddress {
    /// The address.
    pub address: SocketAddr,
    /// Whether it is served by TLS: everywhere but on loopback.
    pub secure: bool,
}

/// The address that `value` of the key says; none for `off`. Loopback is plain text. Every other
/// address takes TLS, which the program has (`tls`) or not.
///
/// # Errors
/// [`HttpAddressError`] names the key and what was expected.
pub fn http_address(
    key: &'static str,
    value: &str,
    tls: bool,
) -> Result<Option<HttpAddress>, HttpAddressError> {
    let Some(address) = address(key, value)? else {
        return Ok(None);
    };
    let plain = check_listen(address);
    if !tls {
        plain
            .clone()
            .map_err(|source| HttpAddressError::Refused { key, source })?;
    }
    let secure = plain.is_err();
    Ok(Some(HttpAddress { address, secure }))
}

/// The address that `value` of the key says, for a protocol that has no TLS: on loopback; none for
/// `off`.
///
/// # Errors
/// [`HttpAddressError`] names the key and what was expected.
pub fn plain_address(
    key: &'static str,
    value: &str,
) -> Result<Option<SocketAddr>, HttpAddressError> {
    let found = address(key, value)?;
    if let Some(address) = found {
        check_listen(address).map_err(|source| HttpAddressError::NeverSecure { key, source })?;
    }
    Ok(found)
}

fn address(key: &'static str, value: &str) -> Result<Option<SocketAddr>, HttpAddressError> {
    if value == "off" {
        return Ok(None);
    }
    let address = value.parse().map_err(|_| HttpAddressError::Text {
        key,
        value: value.to_owned(),
    })?;
    Ok(Some(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_an_address_is_loopback_or_off() {
        let test = |value| http_address("agent.http_listen", value, false);
        assert_eq!(test("off"), Ok(None));
        let (address, secure) = (([127, 0, 0, 1], 0).into(), false);
        assert_eq!(
            test("127.0.0.1:0"),
            Ok(Some(HttpAddress { address, secure }))
        );
        let odd = test("localhost").unwrap_err().to_string();
        assert!(
            odd.contains("agent.http_listen") && odd.contains("IP:PORT"),
            "{odd}"
        );
        for value in ["0.0.0.0:80", "10.0.0.1:80", "[::]:80"] {
            let open = test(value).unwrap_err().to_string();
            for words in [value, "`paasta-agent join`", "127.0.0.1:PORT"] {
                assert!(open.contains(words), "{open}");
            }
        }
    }

    #[test]
    fn a_protocol_without_tls_stays_on_loopback() {
        let test = |value| plain_address("agent.hacheck_listen", value);
        assert_eq!(test("off"), Ok(None));
        let address = ([127, 0, 0, 1], 6666).into();
        assert_eq!(test("127.0.0.1:6666"), Ok(Some(address)));
        let open = test("10.0.0.1:6666").unwrap_err().to_string();
        assert!(
            open.contains("agent.hacheck_listen") && open.contains("has no TLS"),
            "{open}"
        );
    }

    #[test]
    fn with_tls_every_address_but_loopback_speaks_it() {
        for (value, secure) in [
            ("127.0.0.1:80", false),
            ("[::1]:80", false),
            ("[::ffff:127.0.0.1]:80", false),
            ("10.0.0.1:80", true),
            ("0.0.0.0:80", true),
            ("[::]:80", true),
        ] {
            let found = http_address("k", value, true).unwrap().unwrap();
            assert_eq!(found.secure, secure, "{value}");
        }
    }
}
