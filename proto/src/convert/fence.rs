//! The order among assignments.

use paasta_common::assignment::Fence;

use super::WireError;
use crate::v1;

/// The fence as a word.
///
/// # Errors
/// [`WireError`] when the cluster is not named.
pub fn fence_from_wire(wire: v1::Fence) -> Result<Fence, WireError> {
    if wire.cluster_id.is_empty() {
        return Err(WireError::new("cluster_id", "is empty"));
    }
    Ok(Fence {
        cluster_id: wire.cluster_id,
        epoch: wire.epoch,
        term: wire.term,
        generation: wire.generation,
    })
}

/// The fence for the wire.
pub fn fence_to_wire(fence: &Fence) -> v1::Fence {
    v1::Fence {
        cluster_id: fence.cluster_id.clone(),
        epoch: fence.epoch,
        term: fence.term,
        generation: fence.generation,
    }
}
