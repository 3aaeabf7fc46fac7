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

/// The address that `value` of the key says, checked as that of gRPC is; none for `off`.
///
/// # Errors
/// [`HttpAddressError`] names the key and what was expected.
pub fn http_address(
    key: &'static str,
    value: &str,
    insecure_test_network: Option<Cidr>,
) -> Result<Option<SocketAddr>, HttpAddressError> {
    if value == "off" {
        return Ok(None);
    }
    let address = value.parse().map_err(|_| HttpAddressError::Text {
        key,
        value: value.to_owned(),
    })?;
    check_listen(address, insecure_test_network)
        .map_err(|source| HttpAddressError::Refused { key, source })?;
    Ok(Some(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_loopback_or_of_the_test_network_or_off() {
        let test = |value| http_address("agent.http_listen", value, None);
        assert_eq!(test("off"), Ok(None));
        assert_eq!(test("127.0.0.1:0"), Ok(Some(([127, 0, 0, 1], 0).into())));
        let odd = test("localhost").unwrap_err().to_string();
        assert!(
            odd.contains("agent.http_listen") && odd.contains("IP:PORT"),
            "{odd}"
        );
        let open = test("0.0.0.0:80").unwrap_err().to_string();
        assert!(open.contains("--insecure-test-network"), "{open}");
        let network = "10.0.0.0/24".parse().ok();
        assert!(http_address("k", "10.0.0.1:80", network).is_ok());
        assert!(http_address("k", "10.0.1.1:80", network).is_err());
    }
}
