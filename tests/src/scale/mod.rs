//! How far one leader goes: three real coordinator processes with their stores on this disk, hollow
//! hosts in one process beside them, and what is measured of both.
//!
//! - `stage`: the processes;
//! - `fleet`: the process of the hollow hosts;
//! - `client`: an operator's calls, over TLS;
//! - `usage`: processor time and memory of a process;
//! - `steps`: registration, rest, a deploy, the death of the leader;
//! - `row`: the figures of one size of fleet, as a table and as JSON.

pub mod client;
pub mod fleet;
pub mod row;
pub mod stage;
pub mod steps;
pub mod usage;

use std::time::Duration;

use anyhow::Result;

use row::Row;
use stage::Stage;

/// What is measured, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many hosts.
    pub hosts: u32,
    /// How many replicas are deployed.
    pub replicas: u32,
    /// For how long the cluster is watched at rest.
    pub rest: Duration,
    /// Whether everything speaks TLS.
    pub tls: bool,
    /// The most that any step may take.
    pub patience: Duration,
}

/// Measures one size of fleet, in clusters of its own.
///
/// # Errors
/// When a step does not come to its end within the patience of the plan.
pub fn measure(plan: Plan) -> Result<Row> {
    let mut row = Row::of(plan);
    let mut stage = Stage::up(plan)?;
    steps::register(&mut stage, &mut row)?;
    steps::rest(&mut stage, &mut row)?;
    steps::deploy(&mut stage, &mut row)?;
    steps::rest_with_replicas(&mut stage, &mut row)?;
    steps::kill_leader(&mut stage, &mut row)?;
    Ok(row)
}
