//! What is wrong with a ledger, and what is left of it.

use std::path::PathBuf;

/// A ledger that could not be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong with it.
    pub reason: String,
    /// Where it is now.
    pub set_aside: PathBuf,
    /// What the host remembers all the same.
    pub remains: Remains,
}

/// What is left of a damaged ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    /// The save before: the same assignment, and records that may be one save older.
    SaveBefore,
    /// The newest fence: nothing older is obeyed.
    Fence,
    /// Nothing.
    Nothing,
}
