//! Decides for the cluster: the replicated state and the planner. Values in, values out: no I/O,
//! no clock, no randomness, no logging; what acts on the decisions is the `paasta-coordinator`
//! crate.
//!
//! The whole surface:
//! - [`state::ClusterState`]: `new()`, `apply(index, &Envelope) -> Outcome` (total and
//!   deterministic), queries (`cluster`, `host`, `hosts`, `instance`, `instances`, `app`,
//!   `replica`, `replicas_on`, `replicas_of`, `problems`, `events`, `last_index`) and
//!   `assignment(host, term)`, the complete set that a host must run.
//! - [`state::command::Command`]: every replicated command, one file each, carried in an
//!   [`state::command::Envelope`] with its time, author and request id.
//! - [`state::invariants::check`]: what must hold of every state.
//! - [`plan::plan`] and [`plan::plan_scope`]: `(&ClusterState, &Observed, now) -> Plan
//!   { commands, report, wake_at }`; the second looks at what changed only.
//! - [`plan::observed`]: what the leader has heard from agents, filled by the shell.
//! - [`access`]: what a principal may see and change.
//! - [`claim::claim`]: which machine may speak for a host id.
//! - [`plan::report`]: what is so and what is waited for, in types that print as words.
//! - [`plan::bounce::decide`] and [`plan::bounce::dry_run`]: the bounce methods as pure functions,
//!   and their JSON face for `paasta bounce plan`.

// The tests inside and outside the crate build their clusters with the same code.
#[cfg(test)]
extern crate self as paasta_coordinator_core;
#[cfg(test)]
#[path = "../tests/world/build.rs"]
mod build;

pub mod access;
pub mod claim;
pub mod desired;
mod fit;
pub mod plan;
pub mod remotes;
pub mod space;
pub mod state;

pub use fit::Unfit;
