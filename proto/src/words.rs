//! The closed sets of words of the wire, as text: for JSON, for people and for labels.

use std::{borrow::Cow, marker::PhantomData};

use paasta_common::unrecognized::{UNRECOGNIZED, UnrecognizedWord};
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

pub mod network;

/// An enum of the wire.
pub trait Words: Copy + Into<i32> {
    /// Every value but the one that is not given, with its word.
    const WORDS: &'static [(i32, &'static str)];

    /// The word of this value; empty for the one that is not given.
    fn word(self) -> &'static str {
        known::<Self>(self.into()).unwrap_or_default()
    }
}

include!(concat!(env!("OUT_DIR"), "/paasta.v1.words.rs"));

/// The word of a value as it came over the wire: empty when it was not given, and
/// `unrecognized-NUMBER` for one that only a newer program knows.
pub fn word<T: Words>(value: i32) -> Cow<'static, str> {
    match known::<T>(value) {
        Some(word) => Cow::Borrowed(word),
        None if value == 0 => Cow::Borrowed(""),
        None => Cow::Owned(format!("{UNRECOGNIZED}{value}")),
    }
}

/// The same for people: `unknown (NUMBER)` for a value that only a newer program knows.
pub fn shown<T: Words>(value: i32) -> Cow<'static, str> {
    match known::<T>(value) {
        Some(word) => Cow::Borrowed(word),
        None if value == 0 => Cow::Borrowed(""),
        None => Cow::Owned(format!("unknown ({value})")),
    }
}

/// The value of a word that this version does not know, or the word itself where it has no value.
pub fn unrecognized<T: Words>(word: UnrecognizedWord) -> (i32, String) {
    match value::<T>(word.as_str()) {
        Some(value) => (value, String::new()),
        None => (0, word.as_str().to_owned()),
    }
}

/// The word of a value that this version does not know, or the text that came without one.
pub fn kept(value: i32, text: &str) -> UnrecognizedWord {
    match value {
        0 => UnrecognizedWord::new(text),
        number => UnrecognizedWord::of(number),
    }
}

pub(crate) fn known<T: Words>(value: i32) -> Option<&'static str> {
    let found = T::WORDS.iter().find(|(number, _)| *number == value);
    found.map(|(_, word)| *word)
}

/// The value of a word; empty is 0, the one that is not given.
pub fn value<T: Words>(word: &str) -> Option<i32> {
    if word.is_empty() {
        return Some(0);
    }
    let found = T::WORDS.iter().find(|(_, known)| *known == word);
    let unrecognized = || word.strip_prefix(UNRECOGNIZED)?.parse().ok();
    found.map(|(number, _)| *number).or_else(unrecognized)
}

/// Writes a field of the enum `T` as its word and reads it, for `#[serde(with)]`.
#[derive(Debug)]
pub struct Word<T>(PhantomData<T>);

impl<T: Words> Word<T> {
    /// The word of the value.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&word::<T>(*value))
    }

    /// The value of the word.
    ///
    /// # Errors
    /// For a word that is none of the enum's, which are named; those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        value::<T>(&text).ok_or_else(|| D::Error::custom(refusal::<T>(&text)))
    }
}

/// Writes a field of several values of the enum `T` as their words and reads it, for
/// `#[serde(with)]`.
#[derive(Debug)]
pub struct List<T>(PhantomData<T>);

impl<T: Words> List<T> {
    /// The words of the values.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(values: &[i32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|value| word::<T>(*value)))
    }

    /// The values of the words.
    ///
    /// # Errors
    /// As [`Word::deserialize`].
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i32>, D::Error> {
        let texts = Vec::<Cow<'de, str>>::deserialize(deserializer)?;
        let values = texts
            .iter()
            .map(|text| value::<T>(text).ok_or_else(|| D::Error::custom(refusal::<T>(text))));
        values.collect()
    }
}

/// What is wrong with a word that is none of the enum's.
pub fn refusal<T: Words>(text: &str) -> String {
    let known: Vec<&str> = T::WORDS.iter().map(|(_, word)| *word).collect();
    format!("{text:?} is not one of {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{BounceStatus, DeadlineAction, ReplicaClass, ReplicaStatus};

    #[test]
    fn a_word_is_the_name_of_its_value() {
        assert_eq!(ReplicaClass::AtRisk.word(), "at-risk");
        assert_eq!(ReplicaClass::Unspecified.word(), "");
        assert_eq!(DeadlineAction::GoOn.word(), "go_on");
        assert_eq!(word::<ReplicaClass>(99), "unrecognized-99");
        assert_eq!(shown::<ReplicaClass>(99), "unknown (99)");
        assert_eq!(shown::<ReplicaClass>(0), "");
        assert_eq!(shown::<ReplicaClass>(1), "happy");
    }

    #[test]
    fn messages_have_words_in_json_and_read_them() {
        for class in [0, ReplicaClass::Unhappy.into(), 99] {
            let replica = ReplicaStatus {
                class,
                ..ReplicaStatus::default()
            };
            let text = serde_json::to_value(&replica).expect("it is JSON");
            assert_eq!(text["class"], *word::<ReplicaClass>(class));
            let read: ReplicaStatus = serde_json::from_value(text).expect("it reads");
            assert_eq!(read, replica);
        }
        let wrong = serde_json::from_str::<BounceStatus>(r#"{"state": "gone"}"#);
        let text = wrong.expect_err("no such word").to_string();
        let said = r#""gone" is not one of going, overdue, held, rolling-back"#;
        assert!(text.starts_with(said), "{text}");
    }
}
