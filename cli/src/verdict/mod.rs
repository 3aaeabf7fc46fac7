//! The judgements behind the exit codes: is this instance, is this cluster as it should be? What a
//! state means is the coordinator's business; here is only what is good news and what is bad.

pub mod cluster;
pub mod deploy;
pub mod glance;
pub mod groups;
pub mod instance;
pub mod plan;
