//! The words of paasta: the types that coordinators, agents and the CLI all speak.
//!
//! Nothing here runs anything: no tokio, no clock, no randomness. The one kind of I/O is reading a
//! yelpsoa-configs directory ([`soa`]), which every binary does the same way.

pub mod app;
pub mod app_id;
pub mod assignment;
pub mod backoff;
pub mod changes;
pub mod config;
pub mod container;
pub mod deployments;
pub mod disk;
pub mod host;
pub mod id;
pub mod identity;
pub mod image;
pub mod joining;
pub mod overcommit;
pub mod problem;
pub mod report;
pub mod soa;
pub mod spec;
pub mod text;
pub mod time;
pub mod typo;
pub mod unrecognized;
pub mod url;
