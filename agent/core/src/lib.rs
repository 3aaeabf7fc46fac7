//! Decides for one host: what becomes of each replica, from values only.
//!
//! [`step::step`] looks at what was accepted ([`state::LocalState`]) and at what is seen
//! ([`observed::Observed`]) and says what to do now ([`actions::Actions`]) and when to look
//! again. It is level-triggered: what was done and shows in the next observation is not asked for
//! again. [`compose`](compose::compose) is the one place where a container's flags come from.
//!
//! Not here: Docker, disks, sockets, clocks, chance. The shell (`paasta-agent`) has those.

pub mod actions;
pub mod collect;
pub mod compose;
pub mod disk;
pub mod docker_run;
pub mod drain;
mod env;
pub mod hacheck;
pub mod health;
pub mod images;
pub mod labels;
pub mod observed;
pub mod ports;
mod probing;
pub mod proxy;
pub mod reap;
pub mod report;
pub mod runtime;
mod scatter;
pub mod settings;
pub mod state;
pub mod step;
