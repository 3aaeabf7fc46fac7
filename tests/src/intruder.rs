//! What the program `intruder` reports of its attempts.

use serde::{Deserialize, Serialize};

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Attack {
    /// To read HTTP.
    Http,
    /// To read the environment of a service.
    Describe,
    /// To empty a host.
    Drain,
    /// To forge a request for a vote.
    Vote,
    /// To register a host that reports healthy what it is sent.
    Register,
    /// To speak as a host that exists, and take its assignment.
    Impersonate,
}

/// One attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// What was tried.
    pub attack: Attack,
    /// Where.
    pub address: String,
    /// Whether it gained something.
    pub gained: bool,
    /// What it gained, or why nothing.
    pub words: String,
}
