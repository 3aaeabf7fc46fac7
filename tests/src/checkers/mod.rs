//! A checker for each invariant of the system, by its name in ARCHITECTURE.md. They are told what
//! happened and say what must not have; none of them shares code with what it checks. They know
//! nothing of how a simulation runs, so that other harnesses can use them as well.

pub mod clock;
pub mod disk;
pub mod i10_config;
pub mod i12_replay;
pub mod i13_routed;
pub mod i14_reasons;
pub mod i1_acked;
pub mod i2_placed;
pub mod i3_fenced;
pub mod i4_floor;
pub mod i5_orphans;
pub mod i6_outage;
pub mod i7_brake;
pub mod i8_waiting;
pub mod i9_bounded;
pub mod links;
pub mod members;

mod seen;

use std::fmt;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant, `I4`, or what else was hoped for.
    pub invariant: &'static str,
    /// What was found.
    pub what: String,
}

impl Violation {
    /// Of this invariant.
    pub fn new(invariant: &'static str, what: impl Into<String>) -> Self {
        Self {
            invariant,
            what: what.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}
