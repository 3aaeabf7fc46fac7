//! A word of a closed set that a newer program wrote. A program that does not know it keeps the
//! word, shows it, and passes it on.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

/// The longest word that is kept, bytes; a longer one is cut.
pub const WORD_MAX: usize = 32;
/// What stands before the number of a value of an enum that has no word here.
pub const UNRECOGNIZED: &str = "unrecognized-";

/// A word that this version does not know: at most [`WORD_MAX`] small letters, digits and `-`. Of a
/// value that came as a number it is [`UNRECOGNIZED`] and the number.
/// Another character is kept as `?`. Words are written with `-` on the wire and with `_` in files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnrecognizedWord {
    bytes: [u8; WORD_MAX],
    length: u8,
}

impl UnrecognizedWord {
    /// The word, as far as it can be kept.
    pub fn new(text: &str) -> Self {
        let mut word = Self::default();
        for (at, letter) in word.bytes.iter_mut().zip(text.chars()) {
            *at = match letter {
                '_' | '-' => b'-',
                letter if letter.is_ascii_alphanumeric() => {
                    letter.to_ascii_lowercase().try_into().unwrap_or(b'?')
                }
                _ => b'?',
            };
            word.length += 1;
        }
        word
    }

    /// The word of a value that came as a number.
    pub fn of(number: i32) -> Self {
        Self::new(&format!("{UNRECOGNIZED}{number}"))
    }

    /// The number, of a value that came as one.
    pub fn number(&self) -> Option<i32> {
        self.as_str().strip_prefix(UNRECOGNIZED)?.parse().ok()
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        let kept = self.bytes.get(..usize::from(self.length));
        std::str::from_utf8(kept.unwrap_or_default()).unwrap_or_default()
    }
}

impl fmt::Display for UnrecognizedWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for UnrecognizedWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number() {
            Some(number) => write!(f, "{number}"),
            None => write!(f, "{:?}", self.as_str()),
        }
    }
}

impl Serialize for UnrecognizedWord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.as_str().replace('-', "_"))
    }
}

/// Reads a value of an enum as serde writes it: a word, or a map from the word to its content, which
/// is left out.
struct Tagged;

impl<'de> Visitor<'de> for Tagged {
    type Value = UnrecognizedWord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word, or a map with one word")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(UnrecognizedWord::new(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let first: Option<(String, IgnoredAny)> = map.next_entry()?;
        let (word, _) = first.ok_or_else(|| A::Error::custom("the map is empty"))?;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(UnrecognizedWord::new(&word))
    }
}

impl<'de> Deserialize<'de> for UnrecognizedWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tagged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_kept_as_far_as_it_is_one() {
        let long = "a".repeat(WORD_MAX + 5);
        for (text, kept) in [
            ("frozen", "frozen"),
            ("over_cpu", "over-cpu"),
            ("Re\u{1b}[31m\u{e9}", "re??31m?"),
            ("", ""),
            (&long, &long[..WORD_MAX]),
        ] {
            assert_eq!(UnrecognizedWord::new(text).as_str(), kept);
        }
    }

    #[test]
    fn a_number_is_kept_as_a_word_and_shown_as_a_number() {
        for number in [17, 0, -3, i32::MIN, i32::MAX] {
            let word = UnrecognizedWord::of(number);
            assert_eq!(word.number(), Some(number));
            assert_eq!(format!("{word:?}"), number.to_string());
            let read: UnrecognizedWord =
                serde_json::from_str(&serde_json::to_string(&word).unwrap()).unwrap();
            assert_eq!(read, word);
        }
        assert_eq!(UnrecognizedWord::new("frozen").number(), None);
    }

    #[test]
    fn a_file_has_the_word_of_the_newer_program() {
        let read: UnrecognizedWord = serde_json::from_str(r#"{"over_cpu": {"of": [1]}}"#).unwrap();
        assert_eq!(read, UnrecognizedWord::new("over-cpu"));
        assert_eq!(serde_json::to_string(&read).unwrap(), r#""over_cpu""#);
        serde_json::from_str::<UnrecognizedWord>("{}").unwrap_err();
        serde_json::from_str::<UnrecognizedWord>("7").unwrap_err();
    }
}
