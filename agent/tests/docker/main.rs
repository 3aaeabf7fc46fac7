//! The agent on a real dockerd. Every container made here carries a host id of its own, by which
//! it is removed again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
mod flags;
mod image;
mod killed;
mod life;
mod links;
mod names;
mod networks;
mod output;
mod restarted;
mod room;
mod truth;
mod world;
