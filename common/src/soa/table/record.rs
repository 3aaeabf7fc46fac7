//! Takes typed values out of a map that is held against its table. What is faulty was noted when
//! the record was opened, and reads as if it were not given. A field with a default in its table
//! therefore always has a value.

use std::collections::BTreeSet;

use super::{Default, Field, Kind, Table, check};
use crate::{
    problem::{Problem, Rule},
    soa::node::{Map, Mark, Node, Value, join},
};

/// A map and its table.
#[derive(Debug)]
pub struct Record<'a, 'p> {
    map: &'a Map,
    table: &'static Table,
    path: String,
    problems: &'p mut Vec<Problem>,
    asked: BTreeSet<&'static str>,
}

impl<'a, 'p> Record<'a, 'p> {
    /// Checks the map, which stands at `path`, dotted, and is named at `mark`.
    pub fn open(
        map: &'a Map,
        table: &'static Table,
        path: &str,
        mark: &Mark,
        problems: &'p mut Vec<Problem>,
    ) -> Self {
        check::table(map, table, path, mark, problems);
        Self::checked(map, table, path.to_owned(), problems)
    }

    fn checked(
        map: &'a Map,
        table: &'static Table,
        path: String,
        problems: &'p mut Vec<Problem>,
    ) -> Self {
        Self {
            map,
            table,
            path,
            problems,
            asked: BTreeSet::new(),
        }
    }

    fn field(&mut self, key: &'static str) -> Option<&'static Field> {
        self.asked.insert(key);
        self.table.get(key)
    }

    /// The value under `key` as written, faulty or not; a `null` counts as absent.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.field(key)?;
        let map: &'a Map = self.map;
        map.get(key).filter(|node| node.value != Value::Null)
    }

    /// The value under `key`, when it is given without a fault.
    pub fn good(&mut self, key: &'static str) -> Option<&'a Node> {
        let field = self.field(key)?;
        let node = self.node(key)?;
        check::fits(&field.kind, node).then_some(node)
    }

    /// Whether the key is there, even as `null`.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.field(key).is_some() && self.map.entries.contains_key(key)
    }

    /// A field that is known and not allowed in this table has its default all the same.
    fn default(&mut self, key: &'static str) -> Default {
        self.asked.insert(key);
        let field = self.table.lookup(key);
        field.map_or(Default::None, |field| field.default)
    }

    /// The number, or its default.
    pub fn number(&mut self, key: &'static str) -> Option<f64> {
        match (self.good(key), self.default(key)) {
            (Some(node), _) => node.number(),
            (None, Default::Number(value)) => Some(value),
            (None, Default::Whole(value)) => Some(value as f64),
            (None, _) => None,
        }
    }

    /// The whole number, or its default.
    pub fn integer(&mut self, key: &'static str) -> Option<i64> {
        match (self.good(key).map(|node| &node.value), self.default(key)) {
            (Some(Value::Int(value)), _) => Some(*value),
            (None, Default::Whole(value)) => Some(value),
            _ => None,
        }
    }

    /// The whole number, or its default, where the range allows none below 0.
    pub fn whole(&mut self, key: &'static str) -> Option<u64> {
        u64::try_from(self.integer(key)?).ok()
    }

    /// The whole number, or its default, where 32 bits hold the range.
    pub fn whole32(&mut self, key: &'static str) -> Option<u32> {
        u32::try_from(self.integer(key)?).ok()
    }

    /// The TCP port, or its default.
    pub fn port(&mut self, key: &'static str) -> Option<u16> {
        u16::try_from(self.integer(key)?).ok()
    }

    /// The number of seconds, or its default, as milliseconds.
    pub fn seconds(&mut self, key: &'static str) -> Option<u64> {
        // Bounded by the range: every range of seconds is far below 2^53 milliseconds.
        let seconds = self.number(key)?;
        Some((seconds * 1000.0).round() as u64)
    }

    /// The boolean, or its default.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        match (self.good(key).map(|node| &node.value), self.default(key)) {
            (Some(Value::Bool(value)), _) => Some(*value),
            (None, Default::Bool(value)) => Some(value),
            _ => None,
        }
    }

    /// The text, or its default.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        match (self.good(key), self.default(key)) {
            (Some(node), _) => node.as_text().map(str::to_owned),
            (None, Default::Text(text)) => Some(text.to_owned()),
            (None, _) => None,
        }
    }

    /// The texts of a list that are texts, or its default.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        match (self.list(key), self.default(key)) {
            (Some(items), _) => {
                let texts = items.iter().filter_map(Node::as_text);
                Some(texts.map(str::to_owned).collect())
            }
            (None, Default::Texts(text)) => Some(vec![text.to_owned()]),
            (None, _) => None,
        }
    }

    /// The list; its items may be faulty.
    pub fn list(&mut self, key: &'static str) -> Option<&'a [Node]> {
        match &self.node(key)?.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The items of a list that are maps, with their numbers.
    pub fn maps(&mut self, key: &'static str) -> Vec<(usize, &'a Node, &'a Map)> {
        let items = self.list(key).unwrap_or_default().iter().enumerate();
        items
            .filter_map(|(n, item)| Some((n, item, item.as_map()?)))
            .collect()
    }

    /// The map under `key`, with its fields.
    pub fn map(&mut self, key: &'static str) -> Option<Record<'a, '_>> {
        let Kind::Map(table) = self.field(key)?.kind else {
            return None;
        };
        let map = self.node(key)?.as_map()?;
        Some(Record::checked(
            map,
            table,
            join(&self.path, key),
            self.problems,
        ))
    }

    /// The names under `key`, each with what it stands for, which may be faulty.
    pub fn entries(&mut self, key: &'static str) -> Vec<(&'a str, &'a Node)> {
        let map = self.node(key).and_then(Node::as_map);
        map.into_iter()
            .flat_map(|map| &map.entries)
            .map(|(name, entry)| (name.as_str(), &entry.node))
            .collect()
    }

    /// The fields of `map`, which stands below this one, at `key`, and was checked with it.
    pub fn below(&mut self, key: &str, map: &'a Map, table: &'static Table) -> Record<'a, '_> {
        Record::checked(map, table, join(&self.path, key), self.problems)
    }

    /// Notes an error at `mark`, under `key`.
    pub fn error(&mut self, key: &str, mark: &Mark, rule: Rule, message: impl Into<String>) {
        let problem = mark.error(join(&self.path, key), message);
        self.problems.push(problem.by(rule));
    }

    /// Notes a warning at `mark`, under `key`.
    pub fn warn(&mut self, key: &str, mark: &Mark, rule: Rule, message: impl Into<String>) {
        let problem = mark.warning(join(&self.path, key), message);
        self.problems.push(problem.by(rule));
    }

    /// The map itself.
    pub fn raw(&self) -> &'a Map {
        self.map
    }

    /// Every key that was asked for so far.
    pub fn asked(&self) -> impl Iterator<Item = &'static str> {
        self.asked.iter().copied()
    }
}
