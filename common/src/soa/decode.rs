//! Takes typed fields out of a tree and notes every fault on the way, so that an author sees all
//! of them at once. Not here: which fields exist.

use std::collections::BTreeSet;

use super::node::{Map, Mark, Node, Value, join};
use crate::{problem::Problem, typo};

/// The bounds of a number and the words for them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    low: f64,
    /// Whether `low` itself is out.
    open: bool,
    high: f64,
}

impl Range {
    /// From `low` to `high`, both allowed.
    pub const fn within(low: f64, high: f64) -> Self {
        Self {
            low,
            open: false,
            high,
        }
    }

    /// More than `low`, up to `high`.
    pub const fn above(low: f64, high: f64) -> Self {
        Self {
            low,
            open: true,
            high,
        }
    }

    /// The rule that `value` breaks.
    pub(super) fn refusal(self, value: f64) -> Option<String> {
        let low_ok = if self.open {
            value > self.low
        } else {
            value >= self.low
        };
        if low_ok && value <= self.high {
            return None;
        }
        let word = if self.open { "more than" } else { "at least" };
        let mut rule = format!("must be {word} {}", self.low);
        if self.high < f64::MAX {
            rule.push_str(&format!(" and at most {}", self.high));
        }
        Some(rule)
    }
}

impl Range {
    /// The lowest value, whether it is itself out, and the highest one.
    pub(super) const fn bounds(self) -> (f64, bool, f64) {
        (self.low, self.open, self.high)
    }
}

/// The fields of one map, being taken.
#[derive(Debug)]
pub struct Fields<'a, 'p> {
    map: &'a Map,
    path: String,
    problems: &'p mut Vec<Problem>,
    asked: BTreeSet<&'static str>,
}

impl<'a, 'p> Fields<'a, 'p> {
    /// Begins taking fields; `path` is where the map stands, dotted.
    pub fn new(map: &'a Map, path: &str, problems: &'p mut Vec<Problem>) -> Self {
        Self {
            map,
            path: path.to_owned(),
            problems,
            asked: BTreeSet::new(),
        }
    }

    /// The value under `key` as written; a `null` counts as absent.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.insert(key);
        let map: &'a Map = self.map;
        map.get(key).filter(|node| node.value != Value::Null)
    }

    /// Whether the key is there, even as `null`.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.asked.insert(key);
        self.map.entries.contains_key(key)
    }

    /// Notes a problem at `node`, under `key`.
    pub fn error(&mut self, key: &str, mark: &Mark, message: impl Into<String>) {
        self.problems
            .push(mark.error(join(&self.path, key), message));
    }

    /// Notes a warning at `node`, under `key`.
    pub fn warn(&mut self, key: &str, mark: &Mark, message: impl Into<String>) {
        self.problems
            .push(mark.warning(join(&self.path, key), message));
    }

    fn expected<T>(&mut self, key: &str, node: &Node, what: &str) -> Option<T> {
        if let Value::Invalid(message) = &node.value {
            self.error(key, &node.mark, message);
            return None;
        }
        let hint = match (&node.value, what) {
            (Value::Bool(_) | Value::Int(_) | Value::Float(_), "text") => ": put it in quotes",
            _ => "",
        };
        let message = format!("expected {what}, found {}{hint}", node.describe());
        self.error(key, &node.mark, message);
        None
    }

    /// A number within `range`.
    pub fn number(&mut self, key: &'static str, range: Range) -> Option<f64> {
        let node = self.node(key)?;
        let value = match node.value {
            Value::Int(value) => value as f64,
            Value::Float(value) if value.is_finite() => value,
            _ => return self.expected(key, node, "a number"),
        };
        self.checked(key, node, value, range)
    }

    /// A whole number within `range`.
    pub fn whole(&mut self, key: &'static str, range: Range) -> Option<u64> {
        let value = self.integer(key, range)?;
        u64::try_from(value).ok()
    }

    /// A whole number within `range`, which lies within what 32 bits hold.
    pub fn whole32(&mut self, key: &'static str, range: Range) -> Option<u32> {
        let value = self.whole(key, range)?;
        u32::try_from(value).ok()
    }

    /// A whole number within `range`, which may be negative.
    pub fn integer(&mut self, key: &'static str, range: Range) -> Option<i64> {
        let node = self.node(key)?;
        let Value::Int(value) = node.value else {
            return self.expected(key, node, "a whole number");
        };
        self.checked(key, node, value as f64, range).map(|_| value)
    }

    /// A TCP port.
    pub fn port(&mut self, key: &'static str, lowest: u16) -> Option<u16> {
        let value = self.whole(key, Range::within(f64::from(lowest), 65535.0))?;
        u16::try_from(value).ok()
    }

    /// Seconds within `range`, as milliseconds.
    pub fn seconds(&mut self, key: &'static str, range: Range) -> Option<u64> {
        // Bounded by the range: every range of seconds here is far below 2^53 milliseconds.
        self.number(key, range)
            .map(|seconds| (seconds * 1000.0).round() as u64)
    }

    fn checked(&mut self, key: &str, node: &Node, value: f64, range: Range) -> Option<f64> {
        match range.refusal(value) {
            None => Some(value),
            Some(rule) => {
                let message = format!("{rule}, found {}", node.describe());
                self.error(key, &node.mark, message);
                None
            }
        }
    }

    /// A boolean.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let node = self.node(key)?;
        match node.value {
            Value::Bool(value) => Some(value),
            _ => self.expected(key, node, "true or false"),
        }
    }

    /// Text; empty only if someone wrote it so.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let node = self.node(key)?;
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            _ => self.expected(key, node, "text"),
        }
    }

    /// One of `allowed`.
    pub fn choice(&mut self, key: &'static str, allowed: &[&'static str]) -> Option<&'static str> {
        let node = self.node(key)?;
        let found = allowed.iter().find(|one| node.as_text() == Some(**one));
        if found.is_none() {
            let list = allowed.join(", ");
            let near = node
                .as_text()
                .map(|text| typo::did_you_mean(text, allowed.iter().copied()))
                .unwrap_or_default();
            let message = format!("expected one of {list}, found {}{near}", node.describe());
            self.error(key, &node.mark, message);
        }
        found.copied()
    }

    /// A list; a wrong type is noted.
    pub fn list(&mut self, key: &'static str) -> Option<&'a [Node]> {
        let node = self.node(key)?;
        match &node.value {
            Value::List(items) => Some(items),
            _ => self.expected(key, node, "a list"),
        }
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let items = self.list(key)?;
        let mut texts = Vec::new();
        for (n, item) in items.iter().enumerate() {
            match item.as_text() {
                Some(text) => texts.push(text.to_owned()),
                None => {
                    self.expected::<()>(&format!("{key}[{n}]"), item, "text");
                }
            }
        }
        Some(texts)
    }

    /// A map, with a way to take its fields.
    pub fn map(&mut self, key: &'static str) -> Option<Fields<'a, '_>> {
        let node = self.node(key)?;
        match &node.value {
            Value::Map(map) => {
                let path = join(&self.path, key);
                Some(Fields {
                    map,
                    path,
                    problems: self.problems,
                    asked: BTreeSet::new(),
                })
            }
            _ => self.expected(key, node, "a map"),
        }
    }

    /// The fields of `map`, which stands under `key` here.
    pub fn nested(&mut self, key: &str, map: &'a Map) -> Fields<'a, '_> {
        let path = join(&self.path, key);
        Fields {
            map,
            path,
            problems: self.problems,
            asked: BTreeSet::new(),
        }
    }

    /// Where problems go.
    pub(crate) fn problems(&mut self) -> &mut Vec<Problem> {
        self.problems
    }

    /// Every key that was asked for so far.
    pub fn asked(&self) -> impl Iterator<Item = &'static str> {
        self.asked.iter().copied()
    }

    /// The map itself.
    pub fn raw(&self) -> &'a Map {
        self.map
    }

    /// Where the map stands, dotted.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Notes every key that nobody asked for as an error, with what was probably meant.
    pub fn refuse_unknown(&mut self) {
        for (key, mark, message) in self.unknown(&[]) {
            self.error(&key, &mark, message);
        }
    }

    /// Notes every key that nobody asked for as a warning; `also` are keys known elsewhere.
    pub fn warn_unknown(&mut self, also: &[&'static str]) {
        for (key, mark, message) in self.unknown(also) {
            self.warn(&key, &mark, message);
        }
    }

    fn unknown(&self, also: &[&'static str]) -> Vec<(String, Mark, String)> {
        let known = || self.asked.iter().copied().chain(also.iter().copied());
        self.map
            .entries
            .iter()
            .filter(|(key, _)| !known().any(|one| one == key.as_str()))
            .map(|(key, entry)| {
                let near = typo::did_you_mean(key, known());
                (
                    key.clone(),
                    entry.key.clone(),
                    format!("unknown field{near}"),
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
