//! The fields of files as tables, from their published schemas.

use serde_json::{Map, Value};

/// What the description of a key that only PaaSTA uses is.
const FOREIGN: &str = "Of PaaSTA; does nothing here.";
/// Longer regular expressions are in the schema only.
const PATTERN_MAX: usize = 40;

/// The name of the file that a schema is of.
pub(crate) fn file_of(schema: &str) -> String {
    match schema {
        "adhoc" | "marathon" => format!("{schema}-CLUSTER.yaml"),
        "secret" => "secrets/NAME.json".to_owned(),
        other => format!("{other}.yaml"),
    }
}

/// A section for the file and one for each map in it.
pub(crate) fn page(file: &str, schema: &str) -> String {
    let schema: Value = serde_json::from_str(schema).expect("a schema is JSON");
    let mut text = String::new();
    section(&mut text, file, "", &schema);
    text
}

/// The schema without the alternative `null`.
fn bare(schema: &Value) -> &Value {
    let alternatives = schema["anyOf"].as_array().map_or(&[][..], Vec::as_slice);
    let not_null = |one: &&Value| one["type"] != "null";
    let mut others = alternatives.iter().filter(not_null);
    match (others.next(), others.next()) {
        (Some(one), None) => one,
        _ => schema,
    }
}

fn section(text: &mut String, file: &str, path: &str, schema: &Value) {
    let depth = if path.is_empty() { "##" } else { "###" };
    let title = if path.is_empty() {
        file.to_owned()
    } else {
        format!("{file}: {path}")
    };
    text.push_str(&format!("\n{depth} {title}\n\n"));
    if let Some(about) = schema["description"].as_str() {
        let about = about.split(" Default: ").next().unwrap_or_default();
        text.push_str(&format!("{}.\n\n", capital(about.trim_end_matches('.'))));
    }
    let none = Map::new();
    let fields = schema["properties"].as_object().unwrap_or(&none);
    let foreign = |field: &Value| field["description"] == FOREIGN;
    let required: Vec<&str> = schema["required"].as_array().map_or_else(Vec::new, |all| {
        all.iter().filter_map(Value::as_str).collect()
    });
    let mut below: Vec<(String, &Value)> = Vec::new();
    if fields.values().any(|field| !foreign(field)) {
        text.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
    }
    for (key, field) in fields.iter().filter(|(_, field)| !foreign(field)) {
        let default = match field.get("default") {
            Some(default) => format!("`{default}`"),
            None if required.contains(&key.as_str()) => "required".to_owned(),
            None => String::new(),
        };
        let about = field["description"].as_str().unwrap_or_default();
        let (about, default) = match about.split_once(" Default: ") {
            Some((about, words)) => (about, words.trim_end_matches('.').to_owned()),
            None => (about, default),
        };
        let (value, about) = (cell(&kind(field)), cell(about));
        text.push_str(&format!(
            "| `{key}` | {value} | {} | {about} |\n",
            cell(&default)
        ));
        below.extend(maps(&join(path, key), field));
    }
    let unused: Vec<String> = fields
        .iter()
        .filter(|(_, field)| foreign(field))
        .map(|(key, _)| format!("`{key}`"))
        .collect();
    if !unused.is_empty() {
        let unused = unused.join(", ");
        text.push_str(&format!(
            "\nKeys of PaaSTA that do nothing here: {unused}.\n"
        ));
    }
    below.extend(entries(path, schema));
    for (path, schema) in below {
        section(text, file, &path, schema);
    }
}

/// The maps with fields that a value consists of, with their paths.
fn maps<'a>(path: &str, field: &'a Value) -> Vec<(String, &'a Value)> {
    let schema = bare(field);
    if schema["properties"].is_object() {
        return vec![(path.to_owned(), schema)];
    }
    if schema["items"].is_object() {
        return maps(&format!("{path}[]"), &schema["items"]);
    }
    if let Some(alternatives) = schema["anyOf"].as_array() {
        return alternatives
            .iter()
            .flat_map(|one| maps(path, one))
            .collect();
    }
    entries(path, schema)
}

/// The maps with fields that stand under names.
fn entries<'a>(path: &str, schema: &'a Value) -> Vec<(String, &'a Value)> {
    let by_pattern = schema["patternProperties"]
        .as_object()
        .into_iter()
        .flatten();
    let by_pattern = by_pattern.filter(|(pattern, _)| *pattern != "^_");
    let values = by_pattern.map(|(_, value)| value);
    let any = Some(&schema["additionalProperties"]).filter(|value| value.is_object());
    let values = values.chain(any);
    values
        .flat_map(|value| maps(&join(path, "NAME"), value))
        .collect()
}

fn join(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

/// What a value may be, in words.
fn kind(schema: &Value) -> String {
    if let Some(alternatives) = schema["anyOf"].as_array() {
        let mut words: Vec<String> = Vec::new();
        for one in alternatives {
            let word = match one["format"].as_str() {
                Some(format) => format.to_owned(),
                None => kind(one),
            };
            if !words.contains(&word) {
                words.push(word);
            }
        }
        return words.join(" or ");
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(said).collect();
        return values.join(", ");
    }
    if let Some(value) = schema.get("const") {
        return said(value);
    }
    match schema["type"].as_str() {
        Some("boolean") => "true or false".to_owned(),
        Some("integer") => format!("whole number{}", range(schema)),
        Some("number") => format!("number{}", range(schema)),
        Some("string") => match schema["pattern"].as_str() {
            Some(pattern) if pattern.len() <= PATTERN_MAX => {
                format!("text of the form `{pattern}`")
            }
            Some(_) => "text (form: see the schema)".to_owned(),
            None => "text".to_owned(),
        },
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("object") => "map".to_owned(),
        Some("null") => "`null`".to_owned(),
        _ => "any".to_owned(),
    }
}

fn said(value: &Value) -> String {
    match value.as_str() {
        Some(text) => format!("`{text}`"),
        None => format!("`{value}`"),
    }
}

fn range(schema: &Value) -> String {
    let high = schema["maximum"].as_f64().filter(|high| *high < 9.0e15);
    let high = high.map(|_| format!("up to {}", schema["maximum"]));
    let low = match (&schema["minimum"], &schema["exclusiveMinimum"]) {
        (Value::Null, Value::Null) => None,
        (Value::Null, above) => Some(format!("more than {above}")),
        (least, _) => Some(format!("from {least}")),
    };
    let parts: Vec<String> = low.into_iter().chain(high).collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!(", {}", parts.join(" ")),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(chars).collect()
}

/// Text as it may stand in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "\\<")
}
