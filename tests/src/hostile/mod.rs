//! Three real coordinator processes, hollow hosts and restless clients, for faults that one of the
//! three or the way between them has.
//!
//! A hollow host is a whole agent with its real session, over a container engine in memory. The
//! clients read and write registers all the time; what they saw must be linearizable.

pub mod arena;
pub mod clients;
pub mod history;
pub mod hosts;
pub mod referee;
pub mod report;
