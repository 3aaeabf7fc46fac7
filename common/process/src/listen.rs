//! The addresses on which a program may speak plain text: those of its own machine.

use std::net::SocketAddr;

/// An address on which plain text may not be spoken: it is no loopback address, so a process of
/// another machine or of a container could read and change everything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refusing to listen on {address} in plain text: it is not a loopback address, and other machines and containers reach it"
)]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
}

/// Checks that `address` may be listened on in plain text. The wildcard address may not: it is every
/// network that the machine has.
///
/// # Errors
/// [`ListenError`] for every address but those of loopback. It does not say what to do: that depends
/// on the program.
pub fn check_listen(address: SocketAddr) -> Result<(), ListenError> {
    match address.ip().to_canonical().is_loopback() {
        true => Ok(()),
        false => Err(ListenError { address }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_may_be_listened_on() {
        for (address, allowed) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("10.77.0.11:1", false),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("[fd00::1]:1", false),
            ("[::ffff:10.77.0.11]:1", false),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            let checked = check_listen(address);
            assert_eq!(checked.is_ok(), allowed, "{address}");
            if let Err(error) = checked {
                assert!(error.to_string().contains(&address.to_string()), "{error}");
            }
        }
    }
}
