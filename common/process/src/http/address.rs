//! The keys `http_listen`: an address, or `off`.

use std::net::SocketAddr;

use crate::listen::{Cidr, ListenError, check_listen};

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
    /// It may not be listened on.
    #[error("{key}: {source}")]
    Refused {
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
/// address takes TLS, which the program has (`tls`) or not; without it the address is checked as
/// that of gRPC is.
///
/// # Errors
/// [`HttpAddressError`] names the key and what was expected.
pub fn http_address(
    key: &'static str,
    value: &str,
    tls: bool,
    insecure_test_network: Option<Cidr>,
) -> Result<Option<HttpAddress>, HttpAddressError> {
    if value == "off" {
        return Ok(None);
    }
    let address: SocketAddr = value.parse().map_err(|_| HttpAddressError::Text {
        key,
        value: value.to_owned(),
    })?;
    if tls {
        let secure = !address.ip().to_canonical().is_loopback();
        return Ok(Some(HttpAddress { address, secure }));
    }
    check_listen(address, insecure_test_network)
        .map_err(|source| HttpAddressError::Refused { key, source })?;
    let secure = false;
    Ok(Some(HttpAddress { address, secure }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_loopback_or_of_the_test_network_or_off() {
        let test = |value| http_address("agent.http_listen", value, false, None);
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
        let open = test("0.0.0.0:80").unwrap_err().to_string();
        assert!(open.contains("name certificates in `tls`"), "{open}");
        let network = "10.0.0.0/24".parse().ok();
        assert!(http_address("k", "10.0.0.1:80", false, network).is_ok());
        assert!(http_address("k", "10.0.1.1:80", false, network).is_err());
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
            let found = http_address("k", value, true, None).unwrap().unwrap();
            assert_eq!(found.secure, secure, "{value}");
        }
    }
}
