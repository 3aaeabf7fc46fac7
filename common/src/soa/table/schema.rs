//! Tables as JSON schemas (draft-07), for editors and other programs. What a schema cannot say,
//! rules about several fields or files, `paasta validate` says.

use serde_json::{Map as Object, Value as Json, json};

use super::{Default, Entries, Field, Kind, Range, Table, Unknown};
use crate::{config::SYSTEM, id::NAME_BYTES_MAX, soa::kinds::FileKind};

/// Every schema that is published, by its name.
pub fn published() -> Vec<(&'static str, String)> {
    let of = |(kind, name): (FileKind, &'static str)| (name, document(&kind.kind(), name));
    let mut all: Vec<_> = FileKind::ALL.into_iter().map(of).collect();
    all.push(("paasta", document(&SYSTEM, "system configuration")));
    all.sort();
    all
}

/// The schema of a kind of file, as it is published.
pub fn document(kind: &Kind, name: &str) -> String {
    let mut schema = Object::new();
    schema.insert(
        "$schema".to_owned(),
        "http://json-schema.org/draft-07/schema#".into(),
    );
    schema.insert("title".to_owned(), format!("paasta: {name}").into());
    if let Json::Object(body) = of(kind) {
        schema.extend(body);
    }
    let mut text = format!("{:#}", Json::Object(schema));
    text.push('\n');
    text
}

/// The schema of a kind of value.
fn of(kind: &Kind) -> Json {
    match kind {
        Kind::Any => json!({}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Number(range) => number("number", *range),
        Kind::Whole(range) => number("integer", *range),
        Kind::Text => json!({"type": "string"}),
        Kind::Pattern(pattern) => json!({"type": "string", "pattern": pattern.regex}),
        Kind::Choice(allowed) => json!({"enum": allowed}),
        Kind::List(item) => json!({"type": "array", "items": of(item)}),
        Kind::Set(item) => json!({"type": "array", "uniqueItems": true, "items": of(item)}),
        Kind::Map(table) | Kind::Layer(table) => map(table),
        Kind::Entries(entries) => names(entries),
        // A test reads every one of them.
        Kind::Shape(shape) => serde_json::from_str(shape.schema).unwrap_or_default(),
    }
}

fn number(kind: &str, range: Range) -> Json {
    let (low, open, high) = range.bounds();
    let lowest = if open { "exclusiveMinimum" } else { "minimum" };
    json!({"type": kind, lowest: plain(low), "maximum": plain(high)})
}

/// Whole numbers without `.0`, as people write them.
fn plain(value: f64) -> Json {
    match value.fract() == 0.0 && value.abs() < 9.0e15 {
        true => json!(value as i64),
        false => json!(value),
    }
}

fn map(table: &Table) -> Json {
    let beside = table.beside.iter().flat_map(|table| table.fields());
    let mut properties = Object::new();
    for field in beside.chain(table.fields()) {
        properties.insert(field.key.to_owned(), self::field(field));
    }
    let required = table.fields().filter(|field| field.required);
    let required: Vec<&str> = required.map(|field| field.key).collect();
    let mut schema = json!({
        "type": "object",
        "description": table.about,
        "properties": properties,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    match table.unknown {
        Unknown::Refused | Unknown::Warned => schema["additionalProperties"] = json!(false),
        Unknown::Left | Unknown::Judged => {}
    }
    if table.filled {
        schema["minProperties"] = json!(1);
    }
    schema
}

fn field(field: &Field) -> Json {
    let mut schema = of(&field.kind);
    if field.nullable {
        schema = json!({"anyOf": [schema, {"type": "null"}]});
    }
    let (default, said) = match field.default {
        Default::None => (None, None),
        Default::Bool(value) => (Some(json!(value)), None),
        Default::Number(value) => (Some(plain(value)), None),
        Default::Whole(value) => (Some(json!(value)), None),
        Default::Text(text) => (Some(json!(text)), None),
        Default::Texts(text) => (Some(json!([text])), None),
        Default::Said(words) => (None, Some(words)),
    };
    let mut about = field.about.to_owned();
    if let Some(words) = said {
        about.push_str(&format!(" Default: {words}."));
    }
    schema["description"] = json!(about);
    if let Some(default) = default {
        schema["default"] = default;
    }
    schema
}

fn names(entries: &Entries) -> Json {
    let mut schema = json!({"type": "object", "description": entries.about});
    let value = of(&entries.kind);
    match (entries.names, entries.templates) {
        (None, false) => schema["additionalProperties"] = value,
        (None, true) => {
            schema["patternProperties"] = json!({"^_": {"type": "object"}, "^[^_]": value});
        }
        (Some(names), templates) => {
            let mut properties = Object::new();
            properties.insert(names.regex.to_owned(), value);
            if templates {
                properties.insert("^_".to_owned(), json!({"type": "object"}));
                schema["propertyNames"] = json!({"maxLength": NAME_BYTES_MAX});
            }
            schema["patternProperties"] = Json::Object(properties);
            schema["additionalProperties"] = json!(false);
        }
    }
    if entries.filled {
        schema["minProperties"] = json!(1);
    }
    schema
}
