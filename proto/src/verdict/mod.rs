//! Judgements of answers: whether an instance or a cluster is as it should be. The command line and
//! the dashboard share them. What a state means is decided by the coordinator; here is only which of
//! it is good news and which is bad.

pub mod cluster;
pub mod glance;
pub mod groups;
pub mod instance;
