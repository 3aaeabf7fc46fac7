//! What is said to the program `hollow`, and its answers: a line of JSON each way.

use serde::{Deserialize, Serialize};

use super::tally::Spans;

/// Requests to the program, one line each on its standard input. It ends with the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Start every agent.
    Start,
    /// Forget the times of replicas so far.
    Mark,
    /// Report, with times since this moment (Unix, milliseconds).
    Report(u64),
}

/// What it answers, one line each on its standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Every certificate is signed: the first line.
    Ready,
    /// It is done.
    Done,
    /// The report.
    Report(Report),
}

/// How a fleet is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Hosts.
    pub hosts: usize,
    /// Hosts with a session.
    pub connected: usize,
    /// Replicas that hosts are to run, or run.
    pub assigned: usize,
    /// Replicas that pass their health checks.
    pub healthy: usize,
    /// To when replicas were assigned.
    pub assigned_after: Spans,
    /// To when replicas were healthy first.
    pub healthy_after: Spans,
    /// Containers that were made since the start.
    pub created: u64,
    /// Containers that were removed since the start.
    pub removed: u64,
}
