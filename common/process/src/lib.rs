//! What every paasta binary needs around its work: configuration, logs, signals, the clock, files
//! that are whole or not there, git. No decision is made here.

pub mod accept;
pub mod atomic_file;
pub mod backoff;
pub mod chain;
pub mod checkup;
pub mod child;
pub mod clock;
pub mod config;
pub mod deployments;
pub mod docker_login;
pub mod git;
pub mod held;
pub mod help;
pub mod http;
pub mod https;
pub mod listen;
pub mod metrics;
pub mod private;
pub mod reference;
pub mod registry;
pub mod saved;
pub mod shutdown;
pub mod simulated;
pub mod space;
pub mod telemetry;
pub mod throttle;
