//! Text to tree: the one file that names the YAML library.
//!
//! The tree is built from the parser's events, so that every value keeps its line and column,
//! merge keys are resolved the way PaaSTA's parser does, and a file costs no more than its budget
//! however its anchors refer to each other. Not here: what the values mean.

use std::{collections::BTreeMap, sync::Arc};

use serde_saphyr::granit_parser::{Event, Marker, Options, Parser, ScalarStyle, Tag};

use super::node::{Entry, Fault, Map, Mark, Node, Value};
use super::scalar;
use crate::{
    problem::{Problem, QUOTED_MAX, Rule, quoted},
    text::shortened,
};

/// How many values a file may hold once its aliases are written out; long texts count as several.
pub const NODES_MAX: usize = 200_000;
/// How many bytes of a text count as one more value.
const TEXT_BYTES_PER_NODE: usize = 64;
/// How deep values may be nested.
pub const DEPTH_MAX: usize = 64;

/// Parses one YAML document. `file` is how problems name it. An empty text is an empty map.
///
/// Faults that concern one map only (a key given twice) are kept in that map; see
/// [`Node::faults`].
///
/// # Errors
/// The problem that makes the text as a whole unreadable, with its line and column.
pub fn parse(file: &str, text: &str) -> Result<Node, Problem> {
    tree(file, text).map_err(|problem| problem.by(Rule::Syntax))
}

fn tree(file: &str, text: &str) -> Result<Node, Problem> {
    let mut options = Options::default();
    options.emit_comments = false;
    let mut builder = Builder::new(file);
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let mark = builder.mark(error.marker());
            mark.error("", format!("malformed YAML: {}", error.info()))
        })?;
        let mark = builder.mark(&span.start);
        builder.event(event, mark)?;
    }
    let empty = || Node::empty_map(file);
    Ok(match builder.root {
        Some(node) if node.value == Value::Null => empty(),
        Some(node) => node,
        None => empty(),
    })
}

struct Builder {
    file: Arc<str>,
    open: Vec<Open>,
    /// Finished anchored values and how many values each counts for.
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
    root: Option<Node>,
}

/// A list or map whose end has not been seen.
struct Open {
    mark: Mark,
    anchor: usize,
    /// How many values had been counted before it.
    before: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map {
        map: Map,
        /// The key whose value comes next.
        key: Option<Key>,
        merges: Vec<Node>,
    },
}

enum Key {
    Text(String, Mark),
    Merge,
    /// Not a key at all; its value is dropped, the fault is noted.
    Bad,
}

impl Builder {
    fn new(file: &str) -> Self {
        Self {
            file: file.into(),
            open: Vec::new(),
            anchors: BTreeMap::new(),
            nodes: 0,
            root: None,
        }
    }

    fn mark(&self, at: &Marker) -> Mark {
        Mark {
            file: self.file.clone(),
            line: u32::try_from(at.line()).unwrap_or(u32::MAX),
            // The library counts columns from 0.
            column: u32::try_from(at.col() + 1).unwrap_or(u32::MAX),
        }
    }

    fn event(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let size = 1 + text.len() / TEXT_BYTES_PER_NODE;
                self.count(size, &mark)?;
                if self.take_key(&text, style, &mark) {
                    if anchor > 0 {
                        let value = Value::Text(text.into_owned());
                        self.anchors.insert(anchor, (Node { mark, value }, size));
                    }
                    return Ok(());
                }
                let value = scalar_value(&text, style, tag.as_deref());
                self.finish(Node { mark, value }, anchor, size)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(mark, anchor, Kind::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => {
                let (map, merges) = (Map::default(), Vec::new());
                let key = None;
                self.begin(mark, anchor, Kind::Map { map, key, merges })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, mark),
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(mark.error("", "a second document begins here; a file holds one"))
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, more: usize, mark: &Mark) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(more);
        match self.nodes > NODES_MAX {
            false => Ok(()),
            true => Err(mark.error(
                "",
                format!("the file holds more than {NODES_MAX} values, its aliases written out; split it, and do not nest aliases"),
            )),
        }
    }

    fn begin(&mut self, mark: Mark, anchor: usize, kind: Kind) -> Result<(), Problem> {
        let before = self.nodes;
        self.count(1, &mark)?;
        if self.open.len() >= DEPTH_MAX {
            return Err(mark.error("", format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.open.push(Open {
            mark,
            anchor,
            before,
            kind,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Problem> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let size = self.nodes - open.before;
        let value = match open.kind {
            Kind::List(items) => Value::List(items),
            Kind::Map {
                mut map, merges, ..
            } => {
                for source in merges.into_iter().rev() {
                    merge(&mut map, source);
                }
                Value::Map(map)
            }
        };
        let mark = open.mark;
        self.finish(Node { mark, value }, open.anchor, size)
    }

    fn alias(&mut self, anchor: usize, mark: Mark) -> Result<(), Problem> {
        // An anchor that is still open is an ancestor of its own alias.
        let Some((_, size)) = self.anchors.get(&anchor) else {
            return Err(mark.error("", "the alias refers to a value that contains it"));
        };
        // Counted before it is copied: a laugh too many costs nothing.
        self.count(*size, &mark)?;
        let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
            return Ok(());
        };
        if let Value::Text(text) = &node.value
            && self.take_key(text, ScalarStyle::DoubleQuoted, &mark)
        {
            return Ok(());
        }
        self.finish(node, 0, size)
    }

    /// Takes the scalar as a key when a map waits for one.
    fn take_key(&mut self, text: &str, style: ScalarStyle, mark: &Mark) -> bool {
        let Some(Open {
            kind: Kind::Map { map, key, .. },
            ..
        }) = self.open.last_mut()
        else {
            return false;
        };
        if key.is_some() {
            return false;
        }
        *key = Some(match (text, style) {
            ("<<", ScalarStyle::Plain) => Key::Merge,
            _ => match map.entries.get(text) {
                None => Key::Text(text.to_owned(), mark.clone()),
                Some(first) => {
                    map.faults.push(Fault {
                        mark: mark.clone(),
                        key: text.to_owned(),
                        message: format!(
                            "given twice: first at line {}, again at line {}",
                            first.key.line, mark.line
                        ),
                        rule: Rule::Duplicate,
                    });
                    Key::Bad
                }
            },
        });
        true
    }

    /// Hands a finished value to the part that waits for it.
    fn finish(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), Problem> {
        if anchor > 0 {
            // The anchored copy is a copy: it counts, or anchors within anchors would multiply.
            self.count(size, &node.mark)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open {
                kind: Kind::List(items),
                ..
            }) => items.push(node),
            Some(Open {
                kind: Kind::Map { map, key, merges },
                ..
            }) => match key.take() {
                Some(Key::Text(text, mark)) => {
                    map.entries.insert(text, Entry { key: mark, node });
                }
                Some(Key::Merge) => merges.push(node),
                Some(Key::Bad) => {}
                None => {
                    map.faults.push(Fault {
                        mark: node.mark.clone(),
                        key: String::new(),
                        message: format!("a key must be text, found {}", node.describe()),
                        rule: Rule::Type,
                    });
                    *key = Some(Key::Bad);
                }
            },
        }
        Ok(())
    }
}

/// Lays `source` under what `map` already holds: its own keys and earlier merges win.
fn merge(map: &mut Map, source: Node) {
    match source.value {
        Value::Map(below) => {
            map.faults.extend(below.faults);
            for (key, entry) in below.entries {
                map.entries.entry(key).or_insert(entry);
            }
        }
        Value::List(items) => items.into_iter().for_each(|item| match item.value {
            Value::Map(_) => merge(map, item),
            _ => refuse_merge(map, &item),
        }),
        _ => refuse_merge(map, &source),
    }
}

fn refuse_merge(map: &mut Map, source: &Node) {
    map.faults.push(Fault {
        mark: source.mark.clone(),
        key: "<<".to_owned(),
        message: format!(
            "expected a map or a list of maps to merge, found {}",
            source.describe()
        ),
        rule: Rule::Type,
    });
}

fn scalar_value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let Some(tag) = tag else {
        return match style {
            ScalarStyle::Plain => scalar::resolve(text),
            _ => Value::Text(text.to_owned()),
        };
    };
    let plain = scalar::resolve(text);
    let written = || format!("{} is not a value of its tag", quoted(text));
    match (tag.core_suffix(), plain) {
        (Some("str"), _) => Value::Text(text.to_owned()),
        (Some("null"), Value::Null) => Value::Null,
        (Some("bool"), value @ Value::Bool(_)) => value,
        (Some("int"), value @ Value::Int(_)) => value,
        (Some("float"), Value::Int(value)) => Value::Float(value as f64),
        (Some("float"), value @ Value::Float(_)) => value,
        (Some("null" | "bool" | "int" | "float"), _) => Value::Invalid(written()),
        _ => Value::Invalid(format!(
            "tag {} is not supported",
            shortened(&format!("{}{}", tag.handle(), tag.suffix()), QUOTED_MAX)
        )),
    }
}

#[cfg(test)]
mod tests;
