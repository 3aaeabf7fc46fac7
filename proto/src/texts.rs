//! Closed sets of words that were text before they were enums. A field `NAME` of an enum may have a
//! text `NAME_word` beside it: what is sent has both, and of what is read the text counts where the
//! enum is not given. So programs of this version and of the one before exchange messages. The codec
//! does this for every message; all else sees enums only.
//!
//! A text that is no word of the enum stays where it is, for the one that reads the field: an order
//! with it is refused, and a report with it is kept ([`crate::convert`]).

use std::{collections::BTreeMap, marker::PhantomData};

use crate::{
    v1,
    words::{self, Words},
};

/// A message with texts beside enums, or without.
pub trait Texts {
    /// Writes the text of each enum, for a program of the version before.
    fn write_texts(&mut self);

    /// Reads each enum that is not given from its text. Texts that say no more than the enum are
    /// left out.
    fn read_texts(&mut self);
}

include!(concat!(env!("OUT_DIR"), "/paasta.v1.texts.rs"));

impl<T: Texts> Texts for Option<T> {
    fn write_texts(&mut self) {
        self.iter_mut().for_each(Texts::write_texts);
    }

    fn read_texts(&mut self) {
        self.iter_mut().for_each(Texts::read_texts);
    }
}

impl<T: Texts> Texts for Vec<T> {
    fn write_texts(&mut self) {
        self.iter_mut().for_each(Texts::write_texts);
    }

    fn read_texts(&mut self) {
        self.iter_mut().for_each(Texts::read_texts);
    }
}

impl<K, T: Texts> Texts for BTreeMap<K, T> {
    fn write_texts(&mut self) {
        self.values_mut().for_each(Texts::write_texts);
    }

    fn read_texts(&mut self) {
        self.values_mut().for_each(Texts::read_texts);
    }
}

/// A field of one value.
struct One<T>(PhantomData<T>);

impl<T: Words> One<T> {
    fn write(value: &i32, text: &mut String) {
        if let Some(word) = words::known::<T>(*value) {
            word.clone_into(text);
        }
    }

    fn read(value: &mut i32, text: &mut String) {
        if *value == 0 {
            *value = words::value::<T>(text).unwrap_or_default();
        }
        if words::known::<T>(*value).is_some() {
            text.clear();
        }
    }
}

/// A field of several values.
struct List<T>(PhantomData<T>);

impl<T: Words> List<T> {
    fn write(values: &[i32], texts: &mut Vec<String>) {
        if !values.is_empty() {
            let words = values
                .iter()
                .map(|value| words::word::<T>(*value).into_owned());
            *texts = words.collect();
        }
    }

    fn read(values: &mut Vec<i32>, texts: &mut Vec<String>) {
        match values.is_empty() {
            true => texts.retain(|text| {
                let value = words::value::<T>(text).filter(|value| *value != 0);
                values.extend(value);
                value.is_none()
            }),
            false => texts.clear(),
        }
    }
}

/// The network of a container.
struct Net;

impl Net {
    fn write(network: &Option<v1::Network>, text: &mut String) {
        if let Some(network) = network {
            *text = words::network::text(network);
        }
    }

    fn read(network: &mut Option<v1::Network>, text: &mut String) {
        if network.is_none() {
            *network = words::network::parse(text);
        }
        if network.is_some() {
            text.clear();
        }
    }
}

#[cfg(test)]
mod tests;
