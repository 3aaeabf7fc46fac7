//! The join token: a secret for one role that also pins the cluster's authority.
//!
//! `PAASTA1-R-PIN-ID-SECRETx`: R is a letter for what joins, PIN the digest of the authority's
//! public key, ID the token's name, SECRET its secret, x a checksum of everything before it. All in
//! lower-case base32; `-` is a separator only.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD_NOCASE;
pub use paasta_common::joining::{Joiner, SecretDigest, TokenId};
use sha2::{Digest as _, Sha256};

use crate::pin::{PIN_BYTES, Pin};

const PREFIX: &str = "PAASTA1";
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Bytes of a secret.
pub const SECRET_BYTES: usize = 16;

/// The secret of a token. Never printed by `Debug`.
#[derive(Clone)]
pub struct Secret([u8; SECRET_BYTES]);

/// A token. `Display` prints it with its secret.
#[derive(Debug, Clone)]
pub struct Token {
    /// What it lets in.
    pub joiner: Joiner,
    /// The authority whose coordinators the joiner believes.
    pub pin: Pin,
    /// Its name.
    pub id: TokenId,
    /// Its secret.
    pub secret: Secret,
}

/// Text that is no token. It never holds the text, which is a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is cut off, or something else.
    #[error(
        "this is not a whole join token: {0}; copy all of it, from {PREFIX}- to its last character"
    )]
    Form(&'static str),
    /// A character is wrong.
    #[error(
        "the join token has a typing error: its checksum does not fit; copy it instead of typing it"
    )]
    Checksum,
}

fn letter(joiner: Joiner) -> char {
    match joiner {
        Joiner::Coordinator => 'c',
        Joiner::Agent => 'a',
        Joiner::Person => 'p',
    }
}

impl Token {
    /// A new token with a random name and a random secret.
    #[must_use]
    pub fn random(joiner: Joiner, pin: Pin) -> Self {
        Self {
            joiner,
            pin,
            id: TokenId::from_bits(rand::random()),
            secret: Secret(rand::random()),
        }
    }
}

impl Secret {
    /// A secret of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for the coordinator that it is sent to.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SECRET_BYTES] {
        self.0
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> SecretDigest {
        SecretDigest(Sha256::digest(self.0).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letter, pin) = (letter(self.joiner), base32(&self.pin.to_bytes()));
        let (id, secret) = (&self.id, base32(&self.secret.0));
        let sum = checksum(&format!("{letter}{pin}{id}{secret}"));
        let sum = char::from(ALPHABET[usize::from(sum)]);
        write!(f, "{PREFIX}-{letter}-{pin}-{id}-{secret}{sum}")
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let parts: Vec<&str> = text.split('-').collect();
        let [prefix, letter, pin, id, secret] = parts[..] else {
            return Err(TokenError::Form("it does not have five parts"));
        };
        if prefix != PREFIX {
            return Err(TokenError::Form("it does not begin with PAASTA1"));
        }
        let joined = format!("{letter}{pin}{id}{secret}");
        if !joined.bytes().all(|byte| ALPHABET.contains(&byte)) {
            return Err(TokenError::Form(
                "it has characters other than a to z and 2 to 7",
            ));
        }
        let lengths = [letter.len(), pin.len(), id.len(), secret.len()];
        if lengths != [1, 32, 7, 27] {
            return Err(TokenError::Form(
                "one of its parts is too short or too long",
            ));
        }
        let (secret, _) = secret.split_at(secret.len() - 1);
        let (summed, sum) = joined.split_at(joined.len() - 1);
        if value(sum.as_bytes()[0]) != checksum(summed) {
            return Err(TokenError::Checksum);
        }
        let joiner = Joiner::ALL
            .into_iter()
            .find(|joiner| letter.starts_with(self::letter(*joiner)));
        Ok(Self {
            joiner: joiner.ok_or(TokenError::Form("its second part is not c, a or p"))?,
            pin: Pin::from_bytes(bytes::<PIN_BYTES>(pin)?),
            id: TokenId::new(id).map_err(|error| TokenError::Form(error.rule))?,
            secret: Secret(bytes(secret)?),
        })
    }
}

fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD_NOCASE.encode(bytes).to_ascii_lowercase()
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N], TokenError> {
    let decoded = BASE32_NOPAD_NOCASE.decode(text.as_bytes()).ok();
    decoded
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(TokenError::Form("one of its parts is not base32"))
}

fn value(byte: u8) -> u8 {
    let at = ALPHABET.iter().position(|letter| *letter == byte);
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
}

/// A sum over GF(32) with a weight for each place (powers of a generator, x⁵ + x² + 1): it differs
/// when one character is another, and when two neighbours are swapped.
fn checksum(text: &str) -> u8 {
    let doubled = |sum: u8| {
        let sum = sum << 1;
        if sum & 32 == 0 { sum } else { sum ^ 0b10_0101 }
    };
    text.bytes()
        .fold(1, |sum, byte| doubled(sum) ^ doubled(value(byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> Token {
        Token {
            joiner: Joiner::Agent,
            pin: Pin::from_bytes([7; PIN_BYTES]),
            id: TokenId::from_bits(0x1_2345_6789),
            secret: Secret([9; SECRET_BYTES]),
        }
    }

    #[test]
    fn a_token_is_read_as_it_was_printed() {
        for joiner in Joiner::ALL {
            let token = Token { joiner, ..token() };
            let text = token.to_string();
            assert!(text.starts_with("PAASTA1-"), "{text}");
            assert_eq!(text.len(), 8 + 2 + 33 + 8 + 27);
            let read: Token = format!(" {text}\n").parse().unwrap();
            assert_eq!(read.to_string(), text);
            assert_eq!(read.joiner, joiner);
            assert_eq!(read.secret.digest(), token.secret.digest());
        }
        assert!(!format!("{:?}", token()).contains(&base32(&[9; SECRET_BYTES])));
    }

    #[test]
    fn every_wrong_character_and_every_swap_of_neighbours_is_found() {
        let text = token().to_string();
        let mut tried = 0;
        for at in 8..text.len() {
            let here = text.as_bytes()[at];
            for other in ALPHABET.iter().filter(|other| **other != here) {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = *other;
                let wrong = String::from_utf8(bytes).unwrap();
                assert!(wrong.parse::<Token>().is_err(), "{wrong}");
                tried += 1;
            }
            if at + 1 < text.len() && text.as_bytes()[at + 1] != here {
                let mut bytes = text.clone().into_bytes();
                bytes.swap(at, at + 1);
                let wrong = String::from_utf8(bytes).unwrap();
                assert!(wrong.parse::<Token>().is_err(), "{wrong}");
            }
        }
        assert!(tried > 2_000, "{tried}");
        let cut = &text[..text.len() - 1];
        let error = cut.parse::<Token>().unwrap_err().to_string();
        assert!(error.contains("not a whole join token"), "{error}");
        let last = if text.ends_with('a') { "b" } else { "a" };
        let typed = format!("{cut}{last}").parse::<Token>().unwrap_err();
        assert_eq!(typed, TokenError::Checksum);
    }

    #[test]
    fn another_secret_has_another_digest() {
        let digest = token().secret.digest();
        assert_eq!(Secret([9; SECRET_BYTES]).digest(), digest);
        let mut near = [9; SECRET_BYTES];
        near[SECRET_BYTES - 1] = 8;
        assert_ne!(Secret(near).digest(), digest);
        let pin = Pin::from_bytes([0; PIN_BYTES]);
        let (one, two) = (
            Token::random(Joiner::Person, pin),
            Token::random(Joiner::Person, pin),
        );
        assert_ne!(two.secret.digest(), one.secret.digest());
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in ".{0,120}", tail in "[a-z2-7-]{0,80}") {
            let _ = text.parse::<Token>();
            let _ = format!("PAASTA1-{tail}").parse::<Token>();
        }
    }
}
