//! Wire to word and back, one file per message family. Conversion from the wire checks
//! everything that a word cannot hold and names the field that is wrong; whether a value is
//! wise (a period of 3 µs, a port below 1024) is for those who act on it.

mod app;
mod assignment;
mod fence;
mod host;
mod joining;
mod report;
mod run;
mod words;

pub use app::{app_from_wire, app_to_wire};
pub use assignment::{apply_wire, assignment_to_wire, delta_to_wire};
pub use fence::{fence_from_wire, fence_to_wire};
pub use host::{host_from_wire, host_to_wire, resources_from_wire, resources_to_wire};
pub use joining::{joiner_from_wire, joiner_to_wire};
pub use report::{
    disk_limits_to_wire, host_part_to_wire, image_to_wire, replica_report_from_wire,
    replica_report_to_wire, report_from_wire, report_to_wire, run_end_from_wire, run_end_to_wire,
};
pub use run::{run_from_wire, run_to_wire};
pub use words::{health_to_wire, phase_to_wire, want_from_wire, want_to_wire};

use std::fmt::Display;

/// A message that cannot be turned into words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct WireError {
    /// The path of the field, `replicas[3].app`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl WireError {
    fn new(field: impl Into<String>, problem: impl Display) -> Self {
        Self {
            field: field.into(),
            problem: problem.to_string(),
        }
    }

    /// The same error, told from one level further out.
    fn within(self, outer: impl Display) -> Self {
        Self {
            field: format!("{outer}.{}", self.field),
            problem: self.problem,
        }
    }
}

/// A message field that proto3 calls optional and the protocol does not.
fn required<T>(value: Option<T>, field: &str) -> Result<T, WireError> {
    value.ok_or_else(|| WireError::new(field, "is missing"))
}

fn parsed<T>(text: &str, field: &str) -> Result<T, WireError>
where
    T: std::str::FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error| WireError::new(field, error))
}

fn port(number: u32, field: &str) -> Result<u16, WireError> {
    u16::try_from(number)
        .map_err(|_| WireError::new(field, format!("{number} is not a port, 0 to 65535")))
}

#[cfg(test)]
mod newer_tests;
#[cfg(test)]
mod older_tests;
#[cfg(test)]
mod tests;
