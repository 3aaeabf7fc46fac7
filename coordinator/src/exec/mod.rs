//! Commands that people run inside containers, by way of the sessions of the hosts: which callers may
//! ([`permit`]), where ([`choose`]), and the way there and back ([`broker`], [`pump`]).

pub mod broker;
pub mod choose;
pub mod permit;
pub mod pump;
