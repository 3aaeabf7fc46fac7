//! Deterministic simulation: real coordinators (openraft, tonic, sled) and real agents (with an
//! engine in memory) on one thread, in virtual time, over a simulated network. A seed draws the
//! shape of the cluster and what befalls it; the same seed makes the same run, byte for byte, in
//! every process. What must never happen is in [`crate::checkers`].

mod acts;
mod balancer;
mod clock;
mod converge;
mod disk;
mod engine;
mod eye;
mod files;
mod fleet;
mod forger;
mod hosts;
mod intruders;
mod judge;
mod network;
mod operator;
mod plant;
mod run;
mod shape;
mod storm;
mod tally;
mod trace;
mod user;
mod watch;
mod world;

pub use plant::Plant;
pub use run::{Ended, run};
pub use shape::{Kind, Shape};
pub use tally::Tally;
