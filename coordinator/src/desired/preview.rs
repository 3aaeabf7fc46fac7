//! What a reading under other settings would do to what runs.

use paasta_common::problem::Severity;
use paasta_coordinator_core::{
    desired::{Declared, Reading},
    state::ClusterState,
};
use paasta_proto::v1::{BouncingInstance, RefusedInstance};

/// The instances that would bounce, and those that could not run, by name.
pub(super) fn preview(
    state: &ClusterState,
    reading: &Reading,
) -> (Vec<BouncingInstance>, Vec<RefusedInstance>) {
    let (mut bounces, mut refused) = (Vec::new(), Vec::new());
    for (id, known) in state.instances().filter(|(_, known)| known.declared) {
        match reading.instances.get(id) {
            Some(Declared::Spec(spec)) if spec.app_id != known.spec.app_id => {
                bounces.push(BouncingInstance {
                    instance: id.to_string(),
                    replicas: known.wanted(),
                });
            }
            Some(Declared::Broken { problems }) => {
                let errors = problems.iter();
                let first = errors
                    .into_iter()
                    .find(|one| one.severity == Severity::Error);
                refused.extend(first.map(|first| RefusedInstance {
                    instance: id.to_string(),
                    why: first.to_string(),
                }));
            }
            _ => {}
        }
    }
    (bounces, refused)
}
