//! The id of a store. A member's number stays the same when its data directory is lost; the id of
//! its store does not, and that is what the other members go by.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Hexadecimal digits of an id.
const DIGITS: usize = 32;

/// What tells one store from every other: drawn at random when the store is made, and never
/// changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(u128);

/// Text that is no store's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a store has {DIGITS} hexadecimal digits in lower case")]
pub struct BadStoreId;

impl StoreId {
    /// The id of these bits; the caller draws them at random.
    pub fn from_bits(bits: u128) -> Self {
        Self(bits)
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for StoreId {
    type Err = BadStoreId;
    fn from_str(text: &str) -> Result<Self, BadStoreId> {
        let digits = text.bytes();
        let sound = digits.len() == DIGITS
            && digits
                .into_iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !sound {
            return Err(BadStoreId);
        }
        let bits = u128::from_str_radix(text, 16);
        bits.map(Self).map_err(|_| BadStoreId)
    }
}

impl Serialize for StoreId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StoreId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_and_nothing_else_is_one() {
        for bits in [0, 1, u128::MAX] {
            let id = StoreId::from_bits(bits);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        let long = "0".repeat(33);
        for bad in [
            "",
            "1",
            &long,
            "+0000000000000000000000000000001",
            "A0000000000000000000000000000000",
        ] {
            assert_eq!(bad.parse::<StoreId>(), Err(BadStoreId), "{bad}");
        }
    }
}
