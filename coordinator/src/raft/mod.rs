//! Consensus between coordinators: one replicated log, one leader, and the state that all of them
//! compute from it.
//!
//! [`Consensus`] is the whole of it for the rest of the coordinator; [`Machine`] is what the rest
//! gives in return. Only this room knows openraft, an alpha whose types must not spread.
//!
//! # The cluster's identity
//! A cluster id is chosen once, at [`Consensus::init`]. Every consensus message carries it. A node
//! without one learns it from the first message it gets and writes it to its high-water file
//! before it answers; from then on it refuses any other, and so does its store. With the id goes an
//! epoch, which a recovery ([`seed()`]) raises: members of before and after it refuse each other.
//!
//! # The members' stores
//! A member is a number and the random id of its store, both in the members' configuration. Every
//! message names the store it comes from and the one it is for; any other is refused, in both
//! directions, with the words that lead to a mend. [`Consensus::init`] and
//! [`Consensus::add_learner`] ask each coordinator for its store before it becomes a member;
//! members of a cluster that an older version made are asked by their leader (`enrol`).
//!
//! Not here: what commands mean (`paasta-coordinator-core`), who may propose them (`rpc`), and
//! anything that only the leader does (`leader`).

mod builds;
mod clock;
mod codec;
mod dial;
mod ended;
mod enrol;
mod entry;
mod error;
mod follow;
mod handover;
mod heard;
mod identity;
mod introduce;
mod lease;
mod links;
mod log_store;
mod machine;
mod measure;
mod members;
mod network;
mod node;
mod options;
mod pace;
mod peer;
mod propose;
mod receive;
mod replicate;
mod roster;
mod runtime;
mod seed;
mod send;
mod service;
mod state_machine;
mod status;
mod survey;
mod terms;
mod types;

pub use builds::{Builds, SnapshotTrouble};
pub use clock::ClusterClock;
pub use dial::{Dial, DialError, Keepalive, PlainDial, TlsDial};
pub use error::{InitOutcome, MemberError, ProposeError, RaftError};
pub use links::{Link, Speed};
pub use log_store::LogStore;
pub use machine::{Machine, SnapshotWriter};
pub use node::{Consensus, RaftServer};
pub use options::{MAX_COMMAND_BYTES, RaftOptions};
pub use pace::PACE_MAX;
pub use pace::Pace;
pub use roster::Membership;
pub use runtime::{Runtime, fix_randomness};
pub use seed::{Seed, seed};
pub use state_machine::{SnapshotBuilder, StateMachine};
pub use status::{Peer, RaftStatus, Role};
pub use survey::{Survey, survey};
pub use terms::UNSEEN_ELECTIONS;
pub use types::{Command, Node, Outcome, TypeConfig};
