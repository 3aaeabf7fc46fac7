//! The load balancer with a real HAProxy: replacements under load, reloads, a worker that is
//! killed, an agent that restarts, and that file and memory are the same.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::print_stdout,
    reason = "figures for those who read a test's output"
)]

mod faults;
mod load;
mod sizes;
mod world;
