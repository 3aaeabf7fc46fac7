//! What is wrong with a configuration, said so that its author can mend it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::shortened;

/// The longest message, in characters.
pub const MESSAGE_MAX: usize = 1_000;
/// The longest field, in characters: keys are an author's and may be of any length.
pub const FIELD_MAX: usize = 200;
/// How much of a value is quoted, in characters.
pub const QUOTED_MAX: usize = 40;

/// A value in quotes, as much of it as an error shows.
pub fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text, QUOTED_MAX))
}

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
    /// The rule that is broken, for programs.
    #[serde(default)]
    pub rule: Rule,
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

/// The rules that a file can break. Their names are for programs and stay.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The text is not YAML, or not JSON.
    Syntax,
    /// The file cannot be read at all.
    Unreadable,
    /// A key is given twice.
    Duplicate,
    /// A value is of another type.
    Type,
    /// A number is out of its range.
    Range,
    /// A text is not one of the allowed ones.
    Choice,
    /// A text has not the form it needs.
    Format,
    /// No such field exists.
    UnknownField,
    /// A field is missing.
    Required,
    /// A value is empty or null, where PaaSTA's schema wants one. Read as not given.
    Empty,
    /// A name that nothing may have.
    Name,
    /// Fields that exclude each other, or need each other.
    Conflict,
    /// What is referred to does not exist.
    Reference,
    /// Two instances of one name in one cluster.
    Unique,
    /// The operator allows it to nobody, or not to services.
    Forbidden,
    /// It is understood and does nothing here.
    Unsupported,
    /// Nothing is deployed, or no pipeline has a step that deploys it.
    Undeployed,
    /// No such bounce method. PaaSTA says so at deploy time only.
    BounceMethod,
    /// `cmd` beside `args`. PaaSTA says so at deploy time only.
    CmdAndArgs,
    /// A check by command without a command. PaaSTA says so at deploy time only.
    HealthcheckCmd,
    /// `cap_add` asks for more than Docker gives by default. The coordinators refuse it where the
    /// operator does not allow it.
    CapAdd,
    /// Any other, and rules that a newer program knows.
    #[default]
    #[serde(other)]
    Other,
}

impl Rule {
    /// Whether PaaSTA's own `validate` lets it pass and its deployment fails.
    pub fn found_at_deploy(self) -> bool {
        matches!(
            self,
            Self::BounceMethod | Self::CmdAndArgs | Self::HealthcheckCmd
        )
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Problem {
    /// The same problem, by this rule.
    #[must_use]
    pub fn by(mut self, rule: Rule) -> Self {
        self.rule = rule;
        self
    }
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
