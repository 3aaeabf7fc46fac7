//! What tests are made of: harnesses of real hosts, registries and repositories, and the rules of
//! the tree. The tests themselves are in `tests/tests`.

pub mod browser;
pub mod calls;
pub mod checkers;
pub mod cluster;
pub mod disk;
pub mod git;
pub mod guide;
pub mod hollow;
pub mod hostile;
pub mod hosts;
pub mod http;
pub mod image;
pub mod intruder;
pub mod linked;
pub mod loopback;
pub mod pki;
pub mod proxy;
pub mod registry;
pub mod run;
pub mod scale;
pub mod sim;
pub mod tidy;
pub mod traces;
