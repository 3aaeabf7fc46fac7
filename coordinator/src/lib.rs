//! The coordinator: what acts for the cluster. What decides is `paasta-coordinator-core`.

pub mod raft;
pub mod store;
