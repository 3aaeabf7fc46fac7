//! What the exit code tells a script. The table in [`HELP`] is the contract; `docs/reference/exit-codes.md` has it too.

use std::process::ExitCode;

use crate::client::CallError;

/// The exit codes, for `--help`.
pub const HELP: &str = "\
Exit codes:
  0  all that was asked for is as wanted
  1  nothing matched, never deployed, refused, or a mistake in the command line
  2  something is not as wanted: an instance that is unhealthy, still being
     deployed or has a broken configuration; a cluster in trouble, or
     coordinators that have no leader
  3  no coordinator could be reached";

/// An exit code. Ordered: of several, the worst is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All is as wanted.
    Ok,
    /// The command could not be done, or nothing matched.
    Failed,
    /// The answer is there, and it is bad news.
    Unwell,
    /// No coordinator answered.
    Unreachable,
    /// The exit code of a program that was run for the user, 1 to 255.
    Of(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Ok => Self::from(0),
            Exit::Failed => Self::from(1),
            Exit::Unwell => Self::from(2),
            Exit::Unreachable => Self::from(3),
            Exit::Of(code) => Self::from(code),
        }
    }
}

/// The exit code of a command that failed.
pub fn of(error: &anyhow::Error) -> Exit {
    match error.downcast_ref::<CallError>() {
        Some(CallError::Unreachable { .. }) => Exit::Unreachable,
        Some(CallError::Refused { .. }) | None => Exit::Failed,
    }
}
