//! Why an instance's desired state is another one, for its history: which tags git has, or which
//! fields of the configuration differ. Only told, never decided upon.

use paasta_common::{
    changes::changed_fields,
    id::InstanceId,
    spec::{DesiredState, InstanceSpec},
};

use super::Reading;
use crate::state::{ClusterState, actor::Actor, history::Cause, versions::Source};

/// The author of what git says without a name.
const GIT: &str = "git";
/// The author of what yelpsoa-configs say.
const CONFIG: &str = "config";

/// What makes `after` differ from what the state has.
pub(super) fn cause(
    state: &ClusterState,
    reading: &Reading,
    id: &InstanceId,
    after: &InstanceSpec,
) -> Cause {
    let before = state.instance(id).filter(|known| known.declared);
    let before = before.map(|known| &known.spec);
    let mut kinds = Vec::new();
    let sha = before.is_none_or(|before| before.app.git_sha != after.app.git_sha);
    let control = before.map_or(after.force_bounce.is_some(), |before| {
        (before.desired_state, &before.force_bounce) != (after.desired_state, &after.force_bounce)
    });
    if before.is_none() {
        kinds.push("declared");
    } else if sha {
        kinds.push("deploy");
    }
    if control {
        kinds.push(
            match (
                before.map(|before| before.desired_state),
                after.desired_state,
            ) {
                (_, DesiredState::Stop) => "stop",
                (Some(DesiredState::Start), DesiredState::Start) if !sha => "restart",
                _ => "start",
            },
        );
    }
    // A deploy forgets a stop: that is no start of its own.
    kinds.retain(|kind| !(sha && *kind == "start"));
    let fields = before.map_or_else(Vec::new, |before| changed_fields(before, after));
    if fields.iter().any(|field| field == "instances") {
        kinds.push("scale");
    }
    if fields.iter().any(|field| field != "instances") {
        kinds.push("config");
    }
    let group = reading.deploy_groups.get(id).filter(|_| sha);
    let sources: Vec<&Source> = [group.cloned(), own(state, id).filter(|_| control)]
        .into_iter()
        .flatten()
        .filter_map(|key| state.versions(&id.service)?.sources.get(&key))
        .collect();
    let named = sources.iter().find(|source| !source.by.is_unknown());
    let by = match named {
        Some(source) => source.by.clone(),
        None if sha || control => Actor::system(GIT),
        None => Actor::system(CONFIG),
    };
    Cause {
        by,
        kinds: kinds.into_iter().map(str::to_owned).collect(),
        tags: sources.iter().map(|source| source.tag.clone()).collect(),
        fields,
    }
}

/// The key of a start or stop.
fn own(state: &ClusterState, id: &InstanceId) -> Option<String> {
    let cluster = state.cluster()?;
    Some(format!("control:{}.{}", cluster.name, id.instance))
}
