//! The network of a container as one word: `bridge`, `host`, `none`, or `named:` and the name.

use std::borrow::Cow;

use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

use super::{value, word};
use crate::v1::{Network, NetworkMode};

/// Between the word of a named network and its name.
const COLON: char = ':';

/// The network as a word.
pub fn text(network: &Network) -> String {
    let mode = word::<NetworkMode>(network.mode);
    match network.name.as_str() {
        "" => mode.into_owned(),
        name => format!("{mode}{COLON}{name}"),
    }
}

/// The network of a word; none of one that is no network's.
pub fn parse(text: &str) -> Option<Network> {
    let (mode, name) = match text.split_once(COLON) {
        Some((mode, name)) => (mode, name),
        None => (text, ""),
    };
    let mode = value::<NetworkMode>(mode).filter(|mode| *mode != 0)?;
    let name = name.to_owned();
    Some(Network { mode, name })
}

/// Writes the network of an app as a word, for `#[serde(with)]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(
    network: &Option<Network>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let text = network.as_ref().map(text).unwrap_or_default();
    serializer.serialize_str(&text)
}

/// Reads it again.
///
/// # Errors
/// For a word that is no network's; those of the deserializer.
pub fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Network>, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    match text.as_ref() {
        "" => Ok(None),
        text => match parse(text) {
            Some(network) => Ok(Some(network)),
            None => Err(D::Error::custom(super::refusal::<NetworkMode>(text))),
        },
    }
}
