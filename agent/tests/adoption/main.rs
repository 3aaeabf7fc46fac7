//! An agent that dies at any moment, or whose ledger is lost, takes over what runs: nothing is
//! doubled, nothing is left behind, and no container changes. On a virtual clock, with the real
//! ledger and a container engine in memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cut;
mod engine;
mod lost;
mod strangers;
mod world;
