//! Finding the operator's files, `/etc/paasta/*.{yaml,json}`, and merging them into one
//! configuration. What the keys mean is [`SystemConfig`]'s business.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use paasta_common::{
    config::SystemConfig,
    problem::{Problem, Rule, Severity},
    soa::{
        files::FILE_BYTES_MAX,
        node::{Entry, Map, Mark, Node, Value},
        yaml,
    },
};

/// The environment variable that names another directory.
pub const DIRECTORY_VARIABLE: &str = "PAASTA_SYSTEM_CONFIG_DIR";
/// The directory when neither the caller nor the environment names one.
pub const DIRECTORY_DEFAULT: &str = "/etc/paasta";
/// The most files that are merged.
const FILES_MAX: usize = 1_000;
/// How deep directories may be nested; a loop of links ends here.
const DEPTH_MAX: usize = 8;

/// What a warning does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// It is returned for the log.
    Warn,
    /// It is an error: `--check-config`.
    Strict,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The directory is not there.
    #[error(
        "cannot read the configuration directory {}; create it, or name another by {DIRECTORY_VARIABLE}",
        path.display()
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Something in the files is wrong.
    #[error("{0}")]
    Problems(Problems),
}

/// Everything that is wrong with the files, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// The directory to read: the one given, the environment's, or the default.
pub fn directory(given: Option<&Path>) -> PathBuf {
    match given {
        Some(path) => path.to_owned(),
        None => std::env::var_os(DIRECTORY_VARIABLE)
            .filter(|path| !path.is_empty())
            .map_or_else(|| PathBuf::from(DIRECTORY_DEFAULT), PathBuf::from),
    }
}

/// Reads every `.yaml` and `.json` file below the directory, in the order of their names, merges
/// them key by key and all the way down, the later winning, and returns the configuration with
/// the warnings.
///
/// # Errors
/// [`ConfigError`] when the directory is missing, a file is unreadable or malformed, or a value
/// is wrong; with [`Strictness::Strict`] also when a key is unknown.
pub fn load(
    given: Option<&Path>,
    strictness: Strictness,
) -> Result<(SystemConfig, Vec<Problem>), ConfigError> {
    let (merged, mut problems) = merged(given)?;
    let (config, mut found) = SystemConfig::decode(&merged);
    problems.append(&mut found);
    let fatal =
        |problem: &Problem| strictness == Strictness::Strict || problem.severity == Severity::Error;
    match problems.iter().any(fatal) {
        true => Err(ConfigError::Problems(Problems(problems))),
        false => Ok((config, problems)),
    }
}

/// What the files say together, each value with its place, and what is wrong with the files. What
/// the values mean is not looked at.
///
/// # Errors
/// [`ConfigError::Directory`] when the directory cannot be read.
pub fn merged(given: Option<&Path>) -> Result<(Node, Vec<Problem>), ConfigError> {
    let directory = directory(given);
    let mut files = Vec::new();
    find(&directory, 0, &mut files).map_err(|source| ConfigError::Directory {
        path: directory.clone(),
        source,
    })?;
    files.sort();
    let mut merged = Node::empty_map(&directory.to_string_lossy());
    let mut problems = Vec::new();
    for file in files {
        match parse(&file) {
            Ok(node) => {
                problems.extend(another_cluster(&merged, &node));
                merged = merged.overlaid(&node);
            }
            Err(problem) => problems.push(problem),
        }
    }
    Ok((merged, problems))
}

/// A machine belongs to one cluster: a second file that says which is one too many, even if the
/// later one counts as for every key.
fn another_cluster(before: &Node, file: &Node) -> Option<Problem> {
    let entry = |node: &Node| node.as_map()?.entries.get("cluster").cloned();
    let (first, second) = (entry(before)?, entry(file)?);
    let message = format!(
        "is given twice: {} in {}:{}, and {} here, which counts; keep one of them",
        first.node.describe(),
        first.key.file,
        first.key.line,
        second.node.describe()
    );
    let problem = second.key.warning("cluster", message);
    Some(problem.by(Rule::Duplicate))
}

/// The configuration files below `directory`; hidden names are editors' and packagers' business.
fn find(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes()[0] == b'.');
        if hidden {
            continue;
        }
        if path.is_dir() {
            if depth + 1 >= DEPTH_MAX {
                return Err(io::Error::other(format!(
                    "directories are nested deeper than {DEPTH_MAX} at {}",
                    path.display()
                )));
            }
            find(&path, depth + 1, files)?;
        } else if path
            .extension()
            .is_some_and(|kind| kind == "yaml" || kind == "json")
        {
            if files.len() >= FILES_MAX {
                return Err(io::Error::other(format!("more than {FILES_MAX} files")));
            }
            files.push(path);
        }
    }
    Ok(())
}

fn parse(path: &Path) -> Result<Node, Problem> {
    let name = path.to_string_lossy().into_owned();
    let text = paasta_common::soa::files::read_own(&name, FILE_BYTES_MAX)?;
    let text = text.ok_or_else(|| Mark::file(&name).error("", "has vanished while being read"))?;
    let node = match path.extension().is_some_and(|kind| kind == "json") {
        true => json(&name, &text)?,
        false => yaml::parse(&name, &text)?,
    };
    match node.value {
        Value::Map(_) => Ok(node),
        _ => {
            let message = format!("expected a map at the top, found {}", node.describe());
            Err(node.mark.error("", message))
        }
    }
}

/// JSON is almost YAML: read as YAML it has its lines. Where the two differ, the JSON counts and
/// the lines are lost.
fn json(name: &str, text: &str) -> Result<Node, Problem> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        let place = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mark = Mark {
            file: name.into(),
            line: place(error.line()),
            column: place(error.column()),
        };
        mark.error("", format!("malformed JSON: {error}"))
    })?;
    match yaml::parse(name, text) {
        Ok(node) if node.to_json() == value => Ok(node),
        _ => Ok(from_json(&Mark::file(name), value)),
    }
}

fn from_json(mark: &Mark, value: serde_json::Value) -> Node {
    use serde_json::Value as Json;
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Value::Int(value),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Text(text),
        Json::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| from_json(mark, item))
                .collect(),
        ),
        Json::Object(map) => {
            let entries = map.into_iter().map(|(key, item)| {
                let (node, place) = (from_json(mark, item), mark.clone());
                (key, Entry { key: place, node })
            });
            Value::Map(Map {
                entries: entries.collect(),
                faults: Vec::new(),
            })
        }
    };
    Node {
        mark: mark.clone(),
        value,
    }
}

#[cfg(test)]
mod tests;
