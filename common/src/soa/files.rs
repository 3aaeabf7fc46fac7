//! Reading one file of a soa-configs directory, with bounds, and with an error that says what is
//! in the way. Not here: which files there are ([`super::reader`]).

use std::{fs, io::Read, os::unix::fs::MetadataExt, path::Path};

use super::{
    node::{Mark, Node, Value},
    within::{self, Found},
    yaml,
};
use crate::{
    problem::{Problem, Rule},
    text::shortened,
};

/// The largest configuration file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How often a file is read that changes meanwhile.
const TRIES: usize = 3;
/// The longest target of a link that is shown, in characters.
const TARGET_MAX: usize = 100;

/// The text of `root/name`; `None` when there is no such file. Symbolic links are followed within
/// `root` only.
///
/// # Errors
/// What is in the way: a directory, a link that is broken or leads out of `root`, no permission,
/// too many bytes, not UTF-8, or somebody who writes it all the time.
pub fn read(root: &Path, name: &str) -> Result<Option<String>, Problem> {
    read_up_to(root, name, FILE_BYTES_MAX)
}

/// [`read`] with another bound on the size, in bytes.
///
/// # Errors
/// As [`read`].
pub fn read_up_to(root: &Path, name: &str, limit: u64) -> Result<Option<String>, Problem> {
    settled(Place::Within(root), name, limit, &mut || {})
}

/// An operator's own file, wherever its links lead; `path` is how problems name it.
///
/// # Errors
/// As [`read`].
pub fn read_own(path: &str, limit: u64) -> Result<Option<String>, Problem> {
    settled(Place::Anywhere, path, limit, &mut || {})
}

/// Where a file may be.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// In this directory, whatever links say.
    Within(&'a Path),
    /// Where its path says.
    Anywhere,
}

/// Reads until the file rests; `meanwhile` is called between reading it and looking at it again.
fn settled(
    place: Place<'_>,
    name: &str,
    limit: u64,
    meanwhile: &mut dyn FnMut(),
) -> Result<Option<String>, Problem> {
    for _ in 0..TRIES {
        match attempt(place, name, limit, meanwhile)? {
            Attempt::Absent => return Ok(None),
            Attempt::Read(bytes) => return text(name, bytes, limit).map(Some),
            Attempt::Changed => {}
        }
    }
    let message = "is being changed while it is read; write a new file beside it and rename that";
    Err(unreadable(name, message.to_owned()))
}

enum Attempt {
    Absent,
    Read(Vec<u8>),
    /// Somebody wrote it meanwhile: what was read may be half of two versions.
    Changed,
}

fn attempt(
    place: Place<'_>,
    name: &str,
    limit: u64,
    meanwhile: &mut dyn FnMut(),
) -> Result<Attempt, Problem> {
    let (file, metadata) = match opened(place, name)? {
        Some(found) => found,
        None => return Ok(Attempt::Absent),
    };
    if metadata.is_dir() {
        let message = "is a directory; expected a file";
        return Err(unreadable(name, message.to_owned()));
    }
    let Some(file) = file else {
        return Err(unreadable(name, "is not an ordinary file".to_owned()));
    };
    let mut bytes = Vec::new();
    let outcome = file.take(limit + 1).read_to_end(&mut bytes);
    meanwhile();
    let after = opened(place, name).ok().flatten();
    match (outcome, after) {
        (Ok(_), Some((_, after))) if stamp(&after) == stamp(&metadata) => Ok(Attempt::Read(bytes)),
        (Ok(_), _) => Ok(Attempt::Changed),
        (Err(error), _) => Err(unreadable(name, format!("cannot be read: {error}"))),
    }
}

/// The file, open when it is an ordinary one: a pipe would keep the reader for ever.
fn opened(
    place: Place<'_>,
    name: &str,
) -> Result<Option<(Option<fs::File>, fs::Metadata)>, Problem> {
    let refuse = |error| unreadable(name, format!("cannot be read: {error}"));
    let path = match place {
        Place::Anywhere => Path::new(name).to_owned(),
        Place::Within(root) => root.join(name),
    };
    let found = match place {
        Place::Anywhere => within::anywhere(&path),
        Place::Within(root) => within::find(root, name),
    };
    let target = || {
        let target = fs::read_link(&path).ok()?;
        Some(shortened(&target.to_string_lossy(), TARGET_MAX))
    };
    match found.map_err(refuse)? {
        Found::Here(handle) => {
            let metadata = handle.metadata().map_err(refuse)?;
            let file = match metadata.is_file() {
                true => Some(handle.open().map_err(refuse)?),
                false => None,
            };
            Ok(Some((file, metadata)))
        }
        Found::Nothing => match target() {
            Some(target) => {
                let message = format!("is a symbolic link to {target}, which does not exist");
                Err(unreadable(name, message))
            }
            None => Ok(None),
        },
        Found::Outside => {
            let message = match target() {
                Some(target) => format!(
                    "is a symbolic link to {target}, which is not in the soa directory; only links \
                     within it are followed"
                ),
                None => "is reached by a symbolic link that leads out of the soa directory; only \
                         links within it are followed"
                    .to_owned(),
            };
            let problem = Mark::file(name).error("", message);
            Err(problem.by(Rule::Forbidden))
        }
    }
}

/// What changes when a file is written or another one takes its name.
fn stamp(metadata: &fs::Metadata) -> (u64, u64, u64, i64, i64) {
    let (device, inode, size) = (metadata.dev(), metadata.ino(), metadata.size());
    (device, inode, size, metadata.mtime(), metadata.mtime_nsec())
}

fn unreadable(name: &str, message: String) -> Problem {
    let problem = Mark::file(name).error("", message);
    problem.by(Rule::Unreadable)
}

fn text(name: &str, bytes: Vec<u8>, limit: u64) -> Result<String, Problem> {
    if bytes.len() as u64 > limit {
        return Err(unreadable(name, format!("is larger than {limit} bytes")));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..good]
                .iter()
                .filter(|b| **b == b'\n')
                .count();
            let mark = Mark {
                line: u32::try_from(line).unwrap_or(u32::MAX),
                ..Mark::file(name)
            };
            let problem = mark.error("", format!("is not UTF-8: byte {good} cannot be decoded"));
            Err(problem.by(Rule::Unreadable))
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
            Err(node.mark.error("", message).by(Rule::Type))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_is_read_again_until_it_rests() {
        let dir = tempfile::tempdir().unwrap();
        let write = |text: &str| fs::write(dir.path().join("f"), text).unwrap();
        write("old");
        let mut once = Some(());
        let found = settled(Place::Within(dir.path()), "f", 100, &mut || {
            if once.take().is_some() {
                write("newer");
            }
        });
        assert_eq!(found, Ok(Some("newer".to_owned())));
        let mut text = String::new();
        let restless = settled(Place::Within(dir.path()), "f", 100, &mut || {
            text.push('x');
            write(&text);
        });
        let problem = restless.unwrap_err();
        assert_eq!((problem.rule, text.len()), (Rule::Unreadable, TRIES));
        assert!(problem.message.contains("being changed while it is read"));
        let gone = settled(Place::Within(dir.path()), "f", 100, &mut || {
            let _ = fs::remove_file(dir.path().join("f"));
        });
        assert_eq!(gone, Ok(None), "what was taken away is not there");
    }

    #[test]
    fn another_file_by_the_same_name_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("f"), "old").unwrap();
        fs::write(path("g"), "new").unwrap();
        let found = settled(Place::Within(dir.path()), "f", 100, &mut || {
            let _ = fs::rename(path("g"), path("f"));
        });
        assert_eq!(found, Ok(Some("new".to_owned())));
    }
}
