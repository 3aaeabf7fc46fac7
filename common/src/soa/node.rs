//! A configuration as a tree in which every value knows the file, line and column it was written
//! at. Not here: how text becomes such a tree ([`super::yaml`]) or what it must hold
//! ([`super::table`]).

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    problem::{FIELD_MAX, MESSAGE_MAX, Problem, Rule, Severity, quoted},
    text::shortened,
};

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The file, as problems name it.
    pub file: Arc<str>,
    /// The line, from 1; 0 where lines are not known.
    pub line: u32,
    /// The column, from 1; 0 where columns are not known.
    pub column: u32,
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub mark: Mark,
    /// What it is.
    pub value: Value,
}

/// The kinds of value that a configuration file can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing: `null`, `~` or no text at all.
    Null,
    /// A boolean; `yes` and `on` are booleans too, as PaaSTA's parser reads them.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map.
    Map(Map),
    /// A value that the parser could read but not make sense of, and why.
    Invalid(String),
}

/// A map with text keys.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map {
    /// The entries, merge keys resolved.
    pub entries: BTreeMap<String, Entry>,
    /// What is wrong with the map itself: a key given twice, a bad merge. Kept here, and not in a
    /// list for the whole file, so that only those who use this map are hurt by it.
    pub faults: Vec<Fault>,
}

/// One entry of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key was written.
    pub key: Mark,
    /// The value.
    pub node: Node,
}

/// A fault of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Where it was found.
    pub mark: Mark,
    /// The key it concerns.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// The rule it breaks.
    pub rule: Rule,
}

impl Mark {
    /// A place in a file whose lines are not known.
    pub fn file(file: &str) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
        }
    }

    /// A problem here that keeps the configuration from being accepted.
    pub fn error(&self, field: impl Into<String>, message: impl Into<String>) -> Problem {
        self.problem(Severity::Error, field.into(), message.into())
    }

    /// A problem here that is probably a mistake, yet accepted.
    pub fn warning(&self, field: impl Into<String>, message: impl Into<String>) -> Problem {
        self.problem(Severity::Warning, field.into(), message.into())
    }

    fn problem(&self, severity: Severity, field: String, message: String) -> Problem {
        Problem {
            file: self.file.to_string(),
            line: (self.line > 0).then_some(self.line),
            column: (self.column > 0).then_some(self.column),
            field: shortened(&field, FIELD_MAX),
            message: shortened(&message, MESSAGE_MAX),
            severity,
            rule: Rule::Other,
        }
    }
}

impl Node {
    /// An empty map at the beginning of `file`.
    pub fn empty_map(file: &str) -> Self {
        Self {
            mark: Mark::file(file),
            value: Value::Map(Map::default()),
        }
    }

    /// The map, when it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The text, when it is text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, when it is a finite one.
    pub fn number(&self) -> Option<f64> {
        match self.value {
            Value::Int(value) => Some(value as f64),
            Value::Float(value) if value.is_finite() => Some(value),
            _ => None,
        }
    }

    /// What it is, in the words of an error message.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("the boolean {value}"),
            Value::Int(value) => format!("the number {value}"),
            Value::Float(value) => format!("the number {value}"),
            Value::Text(text) => format!("the text {}", quoted(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Invalid(_) => "a value that cannot be read".to_owned(),
        }
    }

    /// Every fault in this value, depth first, as errors with `path` before the field.
    pub fn faults(&self, path: &str, problems: &mut Vec<Problem>) {
        match &self.value {
            Value::Invalid(message) => {
                problems.push(self.mark.error(path, message).by(Rule::Type));
            }
            Value::List(items) => {
                for (n, item) in items.iter().enumerate() {
                    item.faults(&format!("{path}[{n}]"), problems);
                }
            }
            Value::Map(map) => {
                for fault in &map.faults {
                    problems.push(fault.problem(path));
                }
                for (key, entry) in &map.entries {
                    entry.node.faults(&join(path, key), problems);
                }
            }
            _ => {}
        }
    }

    /// `over` laid on this value: maps merge key by key and all the way down, anything else is
    /// replaced, as PaaSTA merges its dictionaries.
    #[must_use]
    pub fn overlaid(&self, over: &Self) -> Self {
        let (Value::Map(below), Value::Map(above)) = (&self.value, &over.value) else {
            return over.clone();
        };
        let mut merged = below.clone();
        merged.faults.extend(above.faults.iter().cloned());
        for (key, entry) in &above.entries {
            let node = match below.entries.get(key) {
                Some(lower) => lower.node.overlaid(&entry.node),
                None => entry.node.clone(),
            };
            let key_mark = entry.key.clone();
            merged.entries.insert(
                key.clone(),
                Entry {
                    key: key_mark,
                    node,
                },
            );
        }
        Self {
            mark: over.mark.clone(),
            value: Value::Map(merged),
        }
    }

    /// The same value as JSON, without the places.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null | Value::Invalid(_) => Json::Null,
            Value::Bool(value) => Json::from(*value),
            Value::Int(value) => Json::from(*value),
            Value::Float(value) => Json::from(*value),
            Value::Text(text) => Json::from(text.as_str()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(map) => map
                .entries
                .iter()
                .map(|(key, entry)| (key.clone(), entry.node.to_json()))
                .collect(),
        }
    }
}

impl Fault {
    /// The fault of a map that stands at `path`.
    pub fn problem(&self, path: &str) -> Problem {
        let problem = self.mark.error(join(path, &self.key), &self.message);
        problem.by(self.rule)
    }
}

impl Map {
    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|entry| &entry.node)
    }
}

/// `path.key`; the one of them that is there when the other is empty.
pub fn join(path: &str, key: &str) -> String {
    match (path, key) {
        ("", one) | (one, "") => one.to_owned(),
        _ => format!("{path}.{key}"),
    }
}
