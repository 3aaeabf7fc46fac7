//! The exit code of `paasta status`.

use paasta_proto::v1::InstanceStatus;
pub use paasta_proto::verdict::instance::{Health, Standing, classes, health, is_error, standing};

use crate::exit::Exit;

/// Whether the instance is as wanted, as an exit code.
pub fn exit(status: &InstanceStatus) -> Exit {
    match standing(status) {
        Standing::AsWanted => Exit::Ok,
        Standing::NotDeployed => Exit::Failed,
        Standing::NotAsWanted => Exit::Unwell,
    }
}
