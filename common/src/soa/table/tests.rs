//! Tables are sorted, and the spellings of each form agree: the one that checks and the one that
//! is published.

use std::collections::BTreeSet;

use regex::Regex;

use super::*;
use crate::{
    config::SYSTEM,
    soa::{kinds::FileKind, node::Value, yaml},
};

/// Everything below a kind, tables by their addresses.
fn walk(kind: &Kind, seen: &mut BTreeSet<usize>, visit: &mut dyn FnMut(&Kind)) {
    visit(kind);
    match kind {
        Kind::List(item) | Kind::Set(item) => walk(item, seen, visit),
        Kind::Entries(entries) => walk(&entries.kind, seen, visit),
        Kind::Map(table) | Kind::Layer(table) => {
            let table: &'static Table = table;
            if seen.insert(std::ptr::from_ref(table).addr()) {
                for field in table.fields() {
                    walk(&field.kind, seen, visit);
                }
            }
        }
        _ => {}
    }
}

fn everything(visit: &mut dyn FnMut(&Kind)) {
    let mut seen = BTreeSet::new();
    for (kind, _) in FileKind::ALL {
        walk(&kind.kind(), &mut seen, visit);
    }
    walk(&SYSTEM, &mut seen, visit);
    assert!(seen.len() > 25, "{} tables", seen.len());
}

#[test]
fn tables_are_sorted_and_say_what_their_fields_mean() {
    everything(&mut |kind| {
        let (Kind::Map(table) | Kind::Layer(table)) = kind else {
            return;
        };
        let sorted = table.fields.is_sorted_by(|a, b| a.key < b.key);
        assert!(sorted, "{}", table.about);
        let only = table.only.unwrap_or_default();
        assert!(only.is_sorted() && only.iter().all(|key| table.get(key).is_some()));
        for field in table.fields() {
            assert!(field.about.len() > 3, "{}.{}", table.about, field.key);
        }
    });
}

#[test]
fn defaults_are_values_of_their_fields() {
    everything(&mut |kind| {
        let (Kind::Map(table) | Kind::Layer(table)) = kind else {
            return;
        };
        for field in table.fields() {
            let value = match field.default {
                Default::None | Default::Said(_) => continue,
                Default::Bool(value) => Value::Bool(value),
                Default::Number(value) => Value::Float(value),
                Default::Whole(value) => Value::Int(value),
                Default::Text(text) => Value::Text(text.to_owned()),
                Default::Texts(text) => Value::List(vec![yaml::parse("d", text).unwrap()]),
            };
            let mut node = Node::empty_map("d");
            node.value = value;
            assert!(check::fits(&field.kind, &node), "{}", field.key);
        }
    });
}

const TEXTS: [&str; 48] = [
    "",
    "a",
    "A",
    "a-b",
    "a_b",
    "a__b",
    "a-_b",
    "a--b",
    "-a",
    "a-",
    "1a",
    "_a",
    "a b",
    "a.b",
    "web.main",
    "a.b.c",
    ".main",
    "web.",
    "/",
    "/a",
    "/a/b/",
    "//a",
    "/a/../b",
    "/..",
    "/.",
    "/./a",
    "/.a",
    "/..a",
    "/a.b",
    "/a:b",
    "/a,b",
    "/a\\b",
    "/a b",
    "status",
    "/st\u{7}",
    "host",
    "http://a/b",
    "http:///b",
    "https://a",
    "http://a b",
    "container:x",
    "10.0.0.0/8",
    "::1",
    "30s",
    "2m ",
    "1.5m",
    "9",
    "x\0y",
];

#[test]
fn patterns_say_the_same_twice() {
    everything(&mut |kind| {
        let pattern = match kind {
            Kind::Pattern(pattern) => *pattern,
            Kind::Entries(Entries {
                names: Some(names), ..
            }) => *names,
            _ => return,
        };
        // An address is more than its characters.
        if pattern.rule.contains("CIDR") {
            return;
        }
        let regex = pattern
            .regex
            .replace("\\u", "\\x")
            .replace("\\x00", "\\x{00");
        let regex = Regex::new(r"\\x\{00(..)")
            .unwrap()
            .replace_all(&regex, r"\x{00$1}");
        let regex = Regex::new(&regex).unwrap_or_else(|error| panic!("{regex}: {error}"));
        for text in TEXTS {
            let (fits, matches) = ((pattern.fits)(text), regex.is_match(text));
            assert_eq!(fits, matches, "{:?} by {}", text, pattern.regex);
        }
    });
}

#[test]
fn shapes_are_json_schemas() {
    let mut shapes = 0;
    everything(&mut |kind| {
        if let Kind::Shape(shape) = kind {
            let schema: serde_json::Value = serde_json::from_str(shape.schema).unwrap();
            assert!(schema.is_object(), "{}", shape.expected);
            shapes += 1;
        }
    });
    assert!(shapes > 7);
}
