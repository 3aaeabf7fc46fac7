//! The judgements behind the exit codes: is this instance, is this cluster as it should be? Those
//! that the dashboard shows as well are in `paasta_proto::verdict`.

pub use paasta_proto::verdict::{glance, groups};

pub mod cluster;
pub mod deploy;
pub mod instance;
pub mod plan;
