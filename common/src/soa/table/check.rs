//! Holds a tree against its table and notes every way in which it differs. Not here: rules about
//! several fields, or about several files.

use super::{Entries, Field, Kind, Table, Unknown};
use crate::{
    problem::{Problem, Rule, Severity, quoted},
    soa::node::{Entry, Map, Mark, Node, Value, join},
    typo,
};

/// How alike a key must be to a field, from 0 to 1, to be called its misspelling where other keys
/// are left alone.
const MISSPELT: f64 = 0.8;

/// Notes what is wrong with `map`, which stands at `path`; `mark` is where the map itself is named.
pub fn table(map: &Map, table: &Table, path: &str, mark: &Mark, problems: &mut Vec<Problem>) {
    for (key, entry) in &map.entries {
        match table.get(key) {
            Some(known) => field(known, &entry.node, path, problems),
            None => unknown(table, key, entry, path, problems),
        }
    }
    for missing in table.fields().filter(|field| field.required) {
        let given = map.get(missing.key);
        if given.is_none_or(|node| node.value == Value::Null) {
            let message = format!("is missing: {}", missing.about);
            problems.push(
                mark.error(join(path, missing.key), message)
                    .by(Rule::Required),
            );
        }
    }
}

/// Notes that a map is empty which must hold something.
fn filled(map: &Map, path: &str, mark: &Mark, problems: &mut Vec<Problem>) {
    if map.entries.is_empty() && map.faults.is_empty() {
        let message = "is empty: every field has its default";
        problems.push(mark.warning(path, message).by(Rule::Empty));
    }
}

/// Notes what is wrong with the value of a field of the map at `path`.
pub fn field(field: &Field, node: &Node, path: &str, problems: &mut Vec<Problem>) {
    let path = join(path, field.key);
    match node.value {
        // A missing field is noted by its table.
        Value::Null if field.nullable || field.required => {}
        Value::Null => {
            let message = "is null, which counts as not given: remove it, or give it a value";
            problems.push(node.mark.warning(path, message).by(Rule::Empty));
        }
        _ => {
            let before = problems.len();
            value(&field.kind, node, &path, problems);
            if field.mild {
                problems[before..].iter_mut().for_each(soften);
            }
        }
    }
}

/// A fault of a value that nothing depends on.
fn soften(problem: &mut Problem) {
    problem.severity = Severity::Warning;
    problem.rule = Rule::Unsupported;
    problem
        .message
        .push_str("; until then it counts as not given");
}

fn unknown(table: &Table, key: &str, entry: &Entry, path: &str, problems: &mut Vec<Problem>) {
    if table.keys().any(|known| known == key) {
        return;
    }
    let near = || format!("unknown field{}", typo::did_you_mean(key, table.keys()));
    let problem = match table.unknown {
        Unknown::Refused => entry.key.error(join(path, key), near()),
        Unknown::Warned => entry.key.warning(join(path, key), near()),
        Unknown::Left => match typo::nearest(key, table.keys(), MISSPELT) {
            Some(near) => {
                let message = format!("is left to others; did you mean {near:?}?");
                entry.key.warning(join(path, key), message)
            }
            None => return,
        },
        Unknown::Judged => return,
    };
    problems.push(problem.by(Rule::UnknownField));
}

/// Notes what is wrong with a value that stands at `path`.
pub fn value(kind: &Kind, node: &Node, path: &str, problems: &mut Vec<Problem>) {
    let mut refuse = |rule: Rule, message: String| {
        problems.push(node.mark.error(path, message).by(rule));
    };
    if let Value::Invalid(message) = &node.value {
        return refuse(Rule::Type, message.clone());
    }
    match (kind, &node.value) {
        (Kind::Any, _) | (Kind::Bool, Value::Bool(_)) | (Kind::Text, Value::Text(_)) => {}
        (Kind::Number(range), Value::Int(_) | Value::Float(_)) => match node.number() {
            Some(number) => {
                if let Some(rule) = range.refusal(number) {
                    refuse(Rule::Range, format!("{rule}, found {}", node.describe()));
                }
            }
            None => refuse(Rule::Type, expected("a number", node)),
        },
        (Kind::Whole(range), Value::Int(number)) => {
            if let Some(rule) = range.refusal(*number as f64) {
                refuse(Rule::Range, format!("{rule}, found {}", node.describe()));
            }
        }
        // More digits than a whole number holds.
        (Kind::Whole(range), Value::Float(number)) if number.is_finite() && number.abs() > 9e18 => {
            let rule = range.refusal(*number).unwrap_or_default();
            refuse(Rule::Range, format!("{rule}, found {}", node.describe()));
        }
        (Kind::Pattern(pattern), Value::Text(text)) => {
            if !(pattern.fits)(text) {
                let message = format!("{}, found {}", pattern.rule, node.describe());
                refuse(Rule::Format, message);
            }
        }
        (Kind::Choice(allowed), _) => {
            if let Err(message) = choice(allowed, node) {
                refuse(Rule::Choice, message);
            }
        }
        (Kind::List(item) | Kind::Set(item), Value::List(items)) => {
            let unique = matches!(kind, Kind::Set(_));
            list(item, unique, items, path, problems);
        }
        (Kind::Map(fields), Value::Map(map)) => {
            table(map, fields, path, &node.mark, problems);
            if fields.filled {
                filled(map, path, &node.mark, problems);
            }
        }
        (Kind::Layer(_), Value::Map(_)) => {}
        (Kind::Entries(shape), Value::Map(map)) => {
            entries(shape, map, path, &node.mark, problems);
        }
        (Kind::Shape(shape), _) => {
            if !(shape.fits)(node) {
                let message = format!("expected {}, found {}", shape.expected, node.describe());
                refuse(Rule::Type, message);
            }
        }
        _ => refuse(Rule::Type, expected(kind.noun(), node)),
    }
}

/// Whether a value is all that its kind asks for.
pub fn fits(kind: &Kind, node: &Node) -> bool {
    let mut problems = Vec::new();
    value(kind, node, "", &mut problems);
    problems.is_empty()
}

fn list(item: &Kind, unique: bool, items: &[Node], path: &str, problems: &mut Vec<Problem>) {
    for (n, node) in items.iter().enumerate() {
        let path = format!("{path}[{n}]");
        value(item, node, &path, problems);
        let same = |other: &&Node| other.to_json() == node.to_json();
        if unique && let Some(first) = items[..n].iter().find(same) {
            let message = format!("is there already, at line {}", first.mark.line);
            problems.push(node.mark.error(path, message).by(Rule::Duplicate));
        }
    }
}

/// Notes what is wrong with a map of names.
pub fn entries(shape: &Entries, map: &Map, path: &str, mark: &Mark, problems: &mut Vec<Problem>) {
    for (name, entry) in &map.entries {
        let path = join(path, name);
        if shape.templates && name.starts_with('_') {
            if entry.node.as_map().is_none() {
                let message = expected("a map, as every template", &entry.node);
                problems.push(entry.node.mark.error(path, message).by(Rule::Type));
            }
            continue;
        }
        if let Some(pattern) = shape.names
            && !(pattern.fits)(name)
        {
            let message = format!("{}, found {}", pattern.rule, quoted(name));
            problems.push(entry.key.error(&path, message).by(Rule::Name));
        }
        match (&entry.node.value, &shape.kind) {
            (Value::Null, Kind::Map(_) | Kind::Entries(_)) => {
                let message = "is null: every field has its default";
                problems.push(entry.key.warning(path, message).by(Rule::Empty));
            }
            // Where the name stands says more than where its first field does.
            (Value::Map(map), Kind::Map(fields)) => {
                table(map, fields, &path, &entry.key, problems);
                if fields.filled {
                    filled(map, &path, &entry.key, problems);
                }
            }
            _ => value(&shape.kind, &entry.node, &path, problems),
        }
    }
    if shape.filled {
        filled(map, path, mark, problems);
    }
}

fn choice(allowed: &[&'static str], node: &Node) -> Result<(), String> {
    if allowed.iter().any(|one| node.as_text() == Some(*one)) {
        return Ok(());
    }
    let near = node.as_text().map_or_else(String::new, |text| {
        typo::did_you_mean(text, allowed.iter().copied())
    });
    let (list, found) = (allowed.join(", "), node.describe());
    Err(format!("expected one of {list}, found {found}{near}"))
}

/// `expected WHAT, found ...`, with what to do about it.
pub(super) fn expected(what: &str, node: &Node) -> String {
    let hint = match (&node.value, what) {
        (Value::Bool(_) | Value::Int(_) | Value::Float(_), "text") => ": put it in quotes",
        _ => "",
    };
    format!("expected {what}, found {}{hint}", node.describe())
}

impl Kind {
    /// What it is called in an error message.
    fn noun(&self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Bool => "true or false",
            Self::Number(_) => "a number",
            Self::Whole(_) => "a whole number",
            Self::Text | Self::Pattern(_) | Self::Choice(_) => "text",
            Self::List(_) | Self::Set(_) => "a list",
            Self::Map(_) | Self::Layer(_) | Self::Entries(_) => "a map",
            Self::Shape(shape) => shape.expected,
        }
    }
}
