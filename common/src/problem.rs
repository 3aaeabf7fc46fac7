//! What is wrong with a configuration, said so that its author can mend it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One fault in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// The file, relative to the soa directory where it is inside.
    pub file: String,
    /// The line, from 1; absent where the fault has none.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
    /// The field, dotted: `main.mem`.
    pub field: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// Whether it stops the instance's new version from being accepted.
    pub severity: Severity,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The last good desired state stays.
    Error,
    /// Accepted, but probably not what was meant.
    Warning,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}
