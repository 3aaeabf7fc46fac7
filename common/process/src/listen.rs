//! Which addresses a program may listen on before its connections are secured: the machine's own,
//! and those of a test network that the operator names.

use std::{net::IpAddr, net::SocketAddr, str::FromStr};

/// A network, `ADDRESS/BITS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

/// Text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a network; expected ADDRESS/BITS, for example 10.77.0.0/24")]
pub struct CidrError {
    text: String,
}

/// An address that may not be listened on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Anyone who reaches it could command the cluster.
    #[error(
        "refusing to listen on {address} without transport security: name certificates in `tls` (docs/operate/tls.md), use a loopback address, or, in a closed test network only, --insecure-test-network CIDR"
    )]
    Insecure {
        /// The address.
        address: SocketAddr,
    },
    /// Outside of the network that was named.
    #[error(
        "refusing to listen on {address}: it is not within the --insecure-test-network that was given"
    )]
    Outside {
        /// The address.
        address: SocketAddr,
    },
}

/// Checks that `address` may be listened on without transport security. The wildcard address is
/// never within a test network: it is every network the machine has.
///
/// # Errors
/// [`ListenError`] says what to do instead.
pub fn check_listen(
    address: SocketAddr,
    insecure_test_network: Option<Cidr>,
) -> Result<(), ListenError> {
    let ip = address.ip().to_canonical();
    match insecure_test_network {
        _ if ip.is_loopback() => Ok(()),
        None => Err(ListenError::Insecure { address }),
        Some(network) if !ip.is_unspecified() && network.contains(ip) => Ok(()),
        Some(_) => Err(ListenError::Outside { address }),
    }
}

impl Cidr {
    /// Whether the address is of this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits);
                let cut = |bits: u32| bits.checked_shr(shift).unwrap_or(0);
                cut(network.to_bits()) == cut(address.to_bits())
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.bits);
                let cut = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
                cut(network.to_bits()) == cut(address.to_bits())
            }
            _ => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let parse = || {
            let (address, bits) = text.split_once('/')?;
            let address: IpAddr = address.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits: u8 = bits.parse().ok()?;
            (bits <= most).then_some(Self { address, bits })
        };
        parse().ok_or_else(|| CidrError {
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_the_named_network_may_be_listened_on() {
        let network: Cidr = "10.77.0.0/24".parse().unwrap();
        for (address, without, within) in [
            ("127.0.0.1:1", true, true),
            ("127.9.9.9:1", true, true),
            ("[::1]:1", true, true),
            ("[::ffff:127.0.0.1]:1", true, true),
            ("10.77.0.11:1", false, true),
            ("10.77.1.11:1", false, false),
            ("0.0.0.0:1", false, false),
            ("[::]:1", false, false),
            ("[fd00::1]:1", false, false),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(check_listen(address, None).is_ok(), without, "{address}");
            assert_eq!(
                check_listen(address, Some(network)).is_ok(),
                within,
                "{address}"
            );
        }
        let all: Cidr = "0.0.0.0/0".parse().unwrap();
        assert!(check_listen("0.0.0.0:1".parse().unwrap(), Some(all)).is_err());
        assert!(check_listen("8.8.8.8:1".parse().unwrap(), Some(all)).is_ok());
        let error = check_listen("10.0.0.1:1".parse().unwrap(), None).unwrap_err();
        assert!(error.to_string().contains("--insecure-test-network CIDR"));
    }

    #[test]
    fn a_network_is_an_address_and_bits() {
        for bad in [
            "10.0.0.0",
            "10.0.0.0/33",
            "x/8",
            "10.0.0.0/",
            "/8",
            "::/129",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
        let six: Cidr = "fd00::/8".parse().unwrap();
        assert!(six.contains("fd12::1".parse().unwrap()));
        assert!(!six.contains("fe80::1".parse().unwrap()));
    }
}
