//! What services wrote, read from the agents that have it: questions go to the hosts through their
//! sessions ([`broker`]), the answers are merged by time ([`merge`]) and joined with the cluster's
//! own events ([`events`]) into one stream for the operator ([`reading`]).
//!
//! Nothing of it is kept here. Each part holds a bounded amount and takes no more before that is
//! taken from it, so that the slowest reader slows only what it reads.

pub mod broker;
pub mod events;
pub mod merge;
pub mod reading;
