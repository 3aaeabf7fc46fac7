//! yelpsoa-configs: what service authors declare, read from files and resolved into what the
//! cluster should run.
//!
//! The order of reading: text → tree ([`yaml`], [`node`]) → held against its [`table`], typed
//! fields ([`marathon`], [`smartstack`], ...) → the instances of a service ([`reader`]) → with the
//! deployed version and the cluster's settings, the desired app ([`resolve`](mod@resolve)).

pub mod dependencies;
pub mod deploy;
pub mod files;
mod general;
pub mod kinds;
pub mod marathon;
pub mod monitoring;
pub mod node;
pub mod reader;
pub mod resolve;
pub mod scalar;
pub mod secrets;
pub mod service;
pub mod smartstack;
pub mod table;
pub mod targets;
pub mod validate;
pub mod within;
pub mod yaml;

pub use kinds::InstanceType;
pub use marathon::InstanceConfig;
pub use reader::{ServiceLoad, SoaDir, SoaError};
pub use resolve::resolve;
pub use targets::Targets;
pub use validate::validate;
