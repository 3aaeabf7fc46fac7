//! What becomes of the host's load balancer, HAProxy: from the wanted servers ([`wanted`]) and what
//! it shows ([`seen`]) to the commands that make it so ([`plan`](mod@plan)), its configuration as
//! text ([`config`]) and what the coordinators hear of it ([`report`](mod@report)).
//!
//! Nothing is remembered of what was sent: each plan compares. A command that did not work shows
//! in the next comparison.

pub mod config;
pub mod plan;
pub mod report;
pub mod seen;
pub mod wanted;
