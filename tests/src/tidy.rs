//! The rules of the tree that no compiler checks: which crate may know which, how long a file or
//! a function may be, which words stand only in which room. Each rule is a function from a source
//! to the violations it finds, so that a test can show it finding one.
//!
//! Not here: the list of files to look at and the exceptions, which `tests/tests/tidy.rs` owns.

use std::{fmt, path::Path};

pub mod commits;
pub mod graph;
pub mod licence;
pub mod links;
pub mod rules;
pub mod source;
pub mod words;

/// One broken rule, at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The file, relative to the root of the tree, or the crate.
    pub place: String,
    /// The line, from 1; 0 when the whole file or crate is meant.
    pub line: usize,
    /// What is wrong and what to do instead.
    pub message: String,
}

impl Violation {
    /// Joins the parts.
    pub fn new(place: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            place: place.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.place, self.message),
            line => write!(f, "{}:{line}: {}", self.place, self.message),
        }
    }
}

/// The root of the tree that this package was built from.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package tests is a directory of the tree")
}
