//! What a host must run: complete, or as a change to what it holds already.

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::{
    app::AppSpec,
    assignment::{AssignedReplica, Assignment, Tried},
    id::{AppId, ReplicaId},
    spec::RunSettings,
};

use super::{
    WireError, app_from_wire, app_to_wire, fence_from_wire, fence_to_wire, parsed, required,
    run_from_wire, run_to_wire, want_from_wire, want_to_wire,
};
use crate::v1;

/// The assignment for the wire. `complete`: it replaces whatever the host holds; otherwise its
/// replicas are added to the generation that the assignment itself names, which suits a message
/// that only moves the fence.
pub fn assignment_to_wire(assignment: &Assignment, complete: bool) -> v1::Assignment {
    let mut wire = v1::Assignment {
        fence: Some(fence_to_wire(&assignment.fence)),
        host: assignment.host.to_string(),
        complete,
        applies_to: match complete {
            true => 0,
            false => assignment.fence.generation,
        },
        ..v1::Assignment::default()
    };
    for (id, replica) in &assignment.replicas {
        put(&mut wire, *id, replica);
    }
    wire
}

/// What turns `old` into `new` on a host that holds `old`. Both are of the same host.
pub fn delta_to_wire(old: &Assignment, new: &Assignment) -> v1::Assignment {
    let mut wire = v1::Assignment {
        fence: Some(fence_to_wire(&new.fence)),
        host: new.host.to_string(),
        complete: false,
        applies_to: old.fence.generation,
        ..v1::Assignment::default()
    };
    for (id, replica) in &new.replicas {
        if old.replicas.get(id) != Some(replica) {
            put(&mut wire, *id, replica);
        }
    }
    let gone = old
        .replicas
        .keys()
        .filter(|id| !new.replicas.contains_key(id));
    wire.removed = gone.map(|id| id.0).collect();
    wire
}

/// The assignment that a host holds after this message. Whether its fence may be accepted at all
/// is for the caller (`Fence::admits`).
///
/// # Errors
/// [`WireError`] names the field. `applies_to` means that the increment belongs to another
/// generation, or that there is nothing to apply it to: ask for a complete one by a new session.
pub fn apply_wire(
    current: Option<&Assignment>,
    wire: v1::Assignment,
) -> Result<Assignment, WireError> {
    let fence = required(wire.fence, "fence")?;
    let fence = fence_from_wire(fence).map_err(|error| error.within("fence"))?;
    let host = parsed(&wire.host, "host")?;
    let mut replicas = match wire.complete {
        true => BTreeMap::new(),
        false => {
            let held = current
                .ok_or_else(|| WireError::new("applies_to", "there is no assignment to change"))?;
            check_base(held, &fence, &host, wire.applies_to)?;
            held.replicas.clone()
        }
    };
    let mut known = Known::of(current);
    for (id, spec) in wire.apps {
        let field = format!("apps[{id}]");
        let app = parsed::<AppId>(&id, &field)?;
        known.learn(app, app_from_wire(spec).map_err(|e| e.within(&field))?);
    }
    for id in wire.removed {
        replicas.remove(&ReplicaId(id));
    }
    for (at, replica) in wire.replicas.into_iter().enumerate() {
        let id = ReplicaId(replica.id);
        let replica = replica_from_wire(replica, &mut known)
            .map_err(|error| error.within(format!("replicas[{at}]")))?;
        replicas.insert(id, replica);
    }
    Ok(Assignment {
        fence,
        host,
        replicas,
    })
}

fn check_base(
    held: &Assignment,
    fence: &paasta_common::assignment::Fence,
    host: &paasta_common::id::HostId,
    applies_to: u64,
) -> Result<(), WireError> {
    let ours = &held.fence;
    let problem = if ours.cluster_id != fence.cluster_id || ours.epoch != fence.epoch {
        format!(
            "the increment is of cluster {} epoch {}, the host holds cluster {} epoch {}",
            fence.cluster_id, fence.epoch, ours.cluster_id, ours.epoch
        )
    } else if ours.generation != applies_to {
        format!(
            "the increment applies to generation {applies_to}, the host holds {}",
            ours.generation
        )
    } else if held.host != *host {
        format!("the increment is for host {host}, this is {}", held.host)
    } else {
        return Ok(());
    };
    Err(WireError::new("applies_to", problem))
}

/// Specs seen so far, so that equal ones are held once however many replicas share them.
struct Known {
    apps: BTreeMap<AppId, Arc<AppSpec>>,
    runs: BTreeMap<AppId, Arc<RunSettings>>,
}

impl Known {
    fn of(current: Option<&Assignment>) -> Self {
        let mut known = Self {
            apps: BTreeMap::new(),
            runs: BTreeMap::new(),
        };
        for replica in current.iter().flat_map(|held| held.replicas.values()) {
            let app = &replica.app;
            known.apps.insert(app.clone(), Arc::clone(&replica.spec));
            known.runs.insert(app.clone(), Arc::clone(&replica.run));
        }
        known
    }

    fn learn(&mut self, id: AppId, spec: AppSpec) {
        if self.apps.get(&id).is_none_or(|held| **held != spec) {
            self.apps.insert(id, Arc::new(spec));
        }
    }

    fn run(&mut self, app: &AppId, run: RunSettings) -> Arc<RunSettings> {
        match self.runs.get(app) {
            Some(held) if **held == run => Arc::clone(held),
            _ => {
                let run = Arc::new(run);
                self.runs.insert(app.clone(), Arc::clone(&run));
                run
            }
        }
    }
}

fn replica_from_wire(
    wire: v1::AssignedReplica,
    known: &mut Known,
) -> Result<AssignedReplica, WireError> {
    let app: AppId = parsed(&wire.app, "app")?;
    let spec = known.apps.get(&app).cloned();
    let spec = spec.ok_or_else(|| WireError::new("app", format!("{app} is not in apps")))?;
    let run = run_from_wire(required(wire.run, "run")?).map_err(|error| error.within("run"))?;
    Ok(AssignedReplica {
        instance: parsed(&wire.instance, "instance")?,
        spec,
        run: known.run(&app, run),
        want: want_from_wire(wire.want, &wire.want_word)?,
        tried: Tried {
            failures: wire.tried_failures,
            reset: wire.backoff_reset,
        },
        app,
    })
}

fn put(wire: &mut v1::Assignment, id: ReplicaId, replica: &AssignedReplica) {
    wire.apps
        .entry(replica.app.to_string())
        .or_insert_with(|| app_to_wire(&replica.spec));
    wire.replicas.push(v1::AssignedReplica {
        id: id.0,
        instance: replica.instance.to_string(),
        app: replica.app.to_string(),
        want: want_to_wire(replica.want).into(),
        want_word: String::new(),
        run: Some(run_to_wire(&replica.run)),
        tried_failures: replica.tried.failures,
        backoff_reset: replica.tried.reset,
    });
}
