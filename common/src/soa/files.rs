//! Reading one file of a soa-configs directory, with bounds, and with an error that says what is
//! in the way. Not here: which files there are ([`super::reader`]).

use std::{
    fs,
    io::{ErrorKind, Read},
    path::Path,
};

use super::{
    node::{Mark, Node, Value},
    yaml,
};
use crate::problem::Problem;

/// The largest configuration file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The text of `root/name`; `None` when there is no such file.
///
/// # Errors
/// What is in the way: a directory, a broken link, no permission, too many bytes, not UTF-8.
pub fn read(root: &Path, name: &str) -> Result<Option<String>, Problem> {
    read_up_to(root, name, FILE_BYTES_MAX)
}

/// [`read`] with another bound on the size, in bytes.
///
/// # Errors
/// As [`read`].
pub fn read_up_to(root: &Path, name: &str, limit: u64) -> Result<Option<String>, Problem> {
    let path = root.join(name);
    let at = Mark::file(name);
    let refuse = |message: String| Err(at.error("", message));
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return match fs::read_link(&path) {
                Ok(target) => refuse(format!(
                    "is a symbolic link to {}, which does not exist",
                    target.display()
                )),
                Err(_) => Ok(None),
            };
        }
        Err(error) => return refuse(format!("cannot be read: {error}")),
    };
    // Asked before opening: a pipe would keep the reader for ever.
    if metadata.is_dir() {
        return refuse("is a directory; expected a file".to_owned());
    }
    if !metadata.is_file() {
        return refuse("is not an ordinary file".to_owned());
    }
    let mut bytes = Vec::new();
    let outcome =
        fs::File::open(&path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    if let Err(error) = outcome {
        return refuse(format!("cannot be read: {error}"));
    }
    if bytes.len() as u64 > limit {
        return refuse(format!("is larger than {limit} bytes"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..good]
                .iter()
                .filter(|b| **b == b'\n')
                .count();
            let mark = Mark {
                line: u32::try_from(line).unwrap_or(u32::MAX),
                ..at.clone()
            };
            Err(mark.error("", format!("is not UTF-8: byte {good} cannot be decoded")))
        }
    }
}

/// The tree of `root/name`; an empty map when there is no such file.
///
/// # Errors
/// As [`read`], and when the text is not YAML or not a map.
pub fn parse(root: &Path, name: &str) -> Result<Node, Problem> {
    let Some(text) = read(root, name)? else {
        return Ok(Node::empty_map(name));
    };
    let node = yaml::parse(name, &text)?;
    match node.value {
        Value::Map(_) => Ok(node),
        _ => {
            let message = format!("expected a map at the top, found {}", node.describe());
            Err(node.mark.error("", message))
        }
    }
}
