//! Every setting with its effective value and the file and line that it is from.

use serde::Serialize;
use serde_json::Value as Json;

use super::table::SETTINGS;
use crate::{
    soa::{
        node::{Entry, Node, join},
        table::{Default, Kind, Table},
    },
    url,
};

/// A setting of the system configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Its key, as `agent.http_listen`.
    pub key: String,
    /// The value that counts: what is given, else the default; null where there is none.
    pub value: Json,
    /// Where it is given; absent where the default counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What the default is, where that is no value but depends on something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<&'static str>,
    /// What the setting is.
    pub about: &'static str,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// Every setting, sorted by key; `merged` is what the files say together. User parts of URLs are left
/// out. Keys that there are not are left out as well: loading names them.
pub fn settings(merged: &Node) -> Vec<Setting> {
    let mut found = Vec::new();
    collect("", &SETTINGS, Some(merged), &mut found);
    found.sort_by(|one, other| one.key.cmp(&other.key));
    found
}

fn collect(path: &str, table: &'static Table, node: Option<&Node>, found: &mut Vec<Setting>) {
    for field in table.fields() {
        let key = join(path, field.key);
        let entry = node.and_then(Node::as_map);
        let entry = entry.and_then(|map| map.entries.get(field.key));
        // A section that is null is one that is not given.
        let below = entry.map(|entry| &entry.node);
        if let Kind::Map(section) = field.kind {
            collect(&key, section, below, found);
            continue;
        }
        let default = match field.default {
            Default::Said(words) if entry.is_none() => Some(words),
            _ => None,
        };
        found.push(Setting {
            key,
            value: entry.map_or_else(|| value(field.default), |entry| shown(&entry.node)),
            origin: entry.map(origin),
            default,
            about: field.about,
        });
    }
}

fn origin(entry: &Entry) -> Origin {
    Origin {
        file: entry.key.file.to_string(),
        line: entry.key.line,
    }
}

fn value(default: Default) -> Json {
    match default {
        Default::None | Default::Said(_) => Json::Null,
        Default::Bool(value) => value.into(),
        Default::Number(value) => value.into(),
        Default::Whole(value) => value.into(),
        Default::Text(value) => value.into(),
        Default::Texts(value) => vec![value].into(),
    }
}

fn shown(node: &Node) -> Json {
    let mut value = node.to_json();
    hide(&mut value);
    value
}

/// Takes the user parts of URLs out of all texts.
fn hide(value: &mut Json) {
    match value {
        Json::String(text) => *text = url::scrub(text),
        Json::Array(values) => values.iter_mut().for_each(hide),
        Json::Object(entries) => entries.values_mut().for_each(hide),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soa::yaml;

    fn setting(text: &str, key: &str) -> Setting {
        let node = yaml::parse("a.yaml", text).expect("YAML");
        let all = settings(&node);
        let found = all.into_iter().find(|one| one.key == key);
        found.expect("a setting")
    }

    #[test]
    fn a_setting_has_the_place_where_it_is_given_or_its_default() {
        let text = "cluster: prod\nagent:\n  pool: blue\n";
        let given = setting(text, "agent.pool");
        let origin = given.origin.expect("an origin");
        assert_eq!((given.value, origin.line), ("blue".into(), 3));
        assert_eq!(origin.file, "a.yaml");
        let default = setting(text, "agent.http_listen");
        assert_eq!(default.value, Json::from("127.0.0.1:7403"));
        assert_eq!(default.origin, None);
        let said = setting(text, "docker_registry");
        assert!(said.value.is_null() && said.default.is_some(), "{said:?}");
        assert_eq!(setting("agent:\n", "agent.pool").origin, None);
    }

    #[test]
    fn no_value_shows_a_login() {
        let text = "alerts: {webhook: \"https://ann:hunter2@host/x\"}\n";
        let node = yaml::parse("a.yaml", text).expect("YAML");
        let shown = serde_json::to_string(&settings(&node)).expect("JSON");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn every_setting_of_the_sections_is_there_once() {
        let all = settings(&Node::empty_map("none"));
        assert!(all.len() > 80, "{}", all.len());
        let keys: std::collections::BTreeSet<&str> =
            all.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(keys.len(), all.len());
    }
}
