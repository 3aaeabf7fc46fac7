//! The coordinator: what acts for the cluster. What decides is `paasta-coordinator-core`.
//!
//! A change, from end to end: a file of the soa directory changes, [`desired`] reads it and
//! proposes a command, [`raft`] replicates it and [`store`] keeps it, [`machine`] applies it,
//! [`leader`] plans and proposes placements, [`sessions`] tells the hosts, [`observations`] takes
//! in what they report, and the leader plans again.

pub mod alerts;
pub mod audit;
pub mod broker;
pub mod caller;
pub mod codec;
pub mod dashboard;
pub mod desired;
pub mod exec;
pub mod http;
pub mod keeper;
pub mod leader;
pub mod logs;
pub mod machine;
pub mod metrics;
pub mod observations;
pub mod offline;
pub mod options;
pub mod peers;
pub mod propose;
pub mod raft;
pub mod reassigned;
pub mod refusals;
pub mod renewing;
pub mod rpc;
pub mod run;
pub mod sessions;
pub mod shared;
pub mod space;
pub mod store;
pub mod troubles;
pub mod witness;
