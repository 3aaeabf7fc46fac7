//! The agent: does for one host what `paasta-agent-core` decides.
//!
//! [`agent::Agent`] owns the host's state and is the only one to change it; everything else
//! reports to it over one bounded channel: [`lanes`] (containers), [`images`],
//! [`probes`], [`watch`] (what the engine shows) and [`session`] (the
//! coordinators). With no coordinator in reach it goes on with what its [`ledger`] holds.

pub mod agent;
pub mod capacity;
pub mod command;
pub mod endpoints;
pub mod engine;
pub mod exec;
pub mod hacheck;
pub mod http;
pub mod images;
pub mod inbox;
pub mod lanes;
pub mod ledger;
pub mod logs;
pub mod machine;
pub mod metrics;
pub mod mounts;
pub mod options;
pub mod ports;
pub mod probes;
pub mod proxy;
pub mod sandbox;
pub mod session;
pub mod usage;
pub mod view;
pub mod watch;
