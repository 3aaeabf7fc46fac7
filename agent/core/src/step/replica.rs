//! One replica's way through its stages. Each part looks at one stage; a replica may pass several
//! in one step.

use paasta_common::{
    app::Probe,
    assignment::{AssignedReplica, Want},
    id::ReplicaId,
    report::{EndCause, over_disk},
    time::Timestamp,
};

use super::{
    adopt,
    world::{Turn, World},
};
use crate::{
    actions::{Action, Lane},
    compose::{RunOf, compose},
    drain::{self, Leaving},
    images,
    labels::identity,
    observed::{ContainerState, Seen},
    ports::{self, NoPort},
    probing::Probed,
    report::PAUSED,
    state::{Draining, MemoryKills, Record, Stage, Then, Topic},
};

/// How often a container is asked for whose creation is never answered.
const ATTEMPTS_MAX: u32 = 3;

pub(super) fn advance(world: &World<'_>, turn: &mut Turn, id: ReplicaId, record: &mut Record) {
    match world.assigned(id) {
        Some(replica) if replica.want != Want::Stop => {
            record.stop_grace_ms = replica.run.stop_grace_ms;
            forget(world, turn, replica, record);
            waiting(world, turn, replica, record);
            pulling(world, turn, (id, replica), record);
            starting(world, turn, (id, replica), record);
            running(world, turn, (id, replica), record);
        }
        _ => leave_for_good(world, record),
    }
    ending(world, turn, id, record);
}

fn leave_for_good(world: &World<'_>, record: &mut Record) {
    match &mut record.stage {
        Stage::Waiting { .. } | Stage::Pulling => record.stage = Stage::Gone,
        Stage::Starting { host_port, .. } | Stage::Running { host_port, .. } => {
            let host_port = *host_port;
            world.end(record, host_port, Then::Gone, EndCause::Stopped);
        }
        Stage::Ending { then, .. } => *then = Then::Gone,
        Stage::Gone => {}
    }
}

fn waiting(world: &World<'_>, turn: &mut Turn, replica: &AssignedReplica, record: &mut Record) {
    let Stage::Waiting { until } = &mut record.stage else {
        return;
    };
    // A replica that is to leave is not started again: what is old is not grown.
    if replica.want != Want::Run {
        return;
    }
    if let Some(until) = until {
        // A clock that was set back must not make the delay longer than the longest one.
        let longest = replica.spec.backoff_max_ms.max(replica.run.backoff_base_ms);
        let longest = longest.max(images::RETRY_MAX_MS);
        *until = (*until).min(world.now.after_ms(longest.max(1_000)));
        if world.now < *until {
            turn.actions.wake(*until);
            return;
        }
    }
    record.stage = Stage::Pulling;
}

fn pulling(
    world: &World<'_>,
    turn: &mut Turn,
    (id, replica): (ReplicaId, &AssignedReplica),
    record: &mut Record,
) {
    if record.stage != Stage::Pulling {
        return;
    }
    if replica.want != Want::Run {
        record.stage = Stage::Waiting { until: None };
        return;
    }
    let image = &replica.spec.image;
    if let Some(image) = turn.ready.get(image) {
        record.digest = Some(image.digest.clone());
        record.image_working_dir.clone_from(&image.working_dir);
        record.succeeded(Topic::Image);
        match ports::draw(&replica.spec, &world.observed.ports, &mut turn.taken) {
            Ok(host_port) => {
                record.run += 1;
                // What was told of the run before says nothing of this one.
                record.live.look = false;
                record.memory_kills = MemoryKills::default();
                record.succeeded(Topic::Port);
                record.stage = Stage::Starting {
                    host_port,
                    attempts: 0,
                };
            }
            Err(NoPort::NotYet) => turn.actions.wake(world.now),
            Err(problem) => {
                world.fail_start(id, record, problem.to_string());
                waiting(world, turn, replica, record);
            }
        }
    } else if let Some(held) = turn.refetches.get(image)
        && world.now < held.until
    {
        // Another replica was told already: the registry is not asked again so soon.
        record.say(Topic::Image, held.failure.say(image));
        record.stage = Stage::Waiting {
            until: Some(held.until),
        };
        turn.actions.wake(held.until);
    } else if !world.observed.degraded
        && !world.observed.pulling.contains(image)
        && turn.pulls.insert(image.clone())
    {
        turn.actions.actions.push(Action::Pull {
            image: image.clone(),
        });
    }
}

fn starting(
    world: &World<'_>,
    turn: &mut Turn,
    (id, replica): (ReplicaId, &AssignedReplica),
    record: &mut Record,
) {
    let Stage::Starting {
        host_port,
        attempts,
    } = &record.stage
    else {
        return;
    };
    let (mut host_port, attempts) = (*host_port, *attempts);
    let Some(assignment) = world.assignment else {
        return;
    };
    if world.observed.degraded || world.observed.busy.contains(&Lane::Replica(id)) {
        return;
    }
    match world.seen(id, record) {
        Some(seen) if seen.state.is_alive() => {
            record.stage = adopt::running(replica, seen);
            record.succeeded(Topic::Start);
            return;
        }
        Some(seen) if seen.state != ContainerState::Created => {
            world.fail_run(id, record, EndCause::Exited, "the container exited at once");
            return;
        }
        // It is made already, with this port: records of an earlier save do not know which.
        Some(seen) => host_port = seen.host_port,
        None => {}
    }
    if attempts > 0 && !world.listing_is_newer_than(record) {
        return;
    }
    if attempts >= ATTEMPTS_MAX {
        let cause = format!("the container could not be started: {}", record.message);
        world.fail_run(id, record, EndCause::NotStarted, cause);
        return;
    }
    record.stage = Stage::Starting {
        host_port,
        attempts: attempts + 1,
    };
    record.live.settled = world.observed.step;
    let number = record.run;
    let run = RunOf {
        number,
        host_port,
        image_working_dir: record.image_working_dir.as_deref(),
    };
    let cluster_id = &assignment.fence.cluster_id;
    let spec = compose(world.settings, cluster_id, id, replica, run);
    turn.actions.actions.push(Action::Run {
        replica: id,
        run: number,
        spec: Box::new(spec),
    });
}

fn running(
    world: &World<'_>,
    turn: &mut Turn,
    (id, replica): (ReplicaId, &AssignedReplica),
    record: &mut Record,
) {
    look(world, turn, id, record);
    let Stage::Running { checks, .. } = &record.stage else {
        return;
    };
    // A runtime that does not work is no reason to evict, and what leaves anyway needs no new run.
    if let Some(check) = &replica.spec.health
        && checks.is_dead(check)
        && replica.want == Want::Run
        && !world.observed.degraded
    {
        let times = checks.failures_in_row;
        let cause = format!("replaced after {times} failures: {}", record.message);
        return world.fail_run(id, record, EndCause::Unhealthy, cause);
    }
    if let Some(used_mb) = record.live.disk.too_much()
        && replica.want == Want::Run
        && !world.observed.degraded
    {
        let limit_mb = replica.spec.resources.disk_mb;
        let cause = EndCause::OverDisk { used_mb, limit_mb };
        return world.fail_run(id, record, cause, over_disk(used_mb, limit_mb));
    }
    forgive(world, turn, record);
    probe(world, turn, (id, replica), record);
    drain(world, turn, (id, replica), record);
}

/// A container that is not listed as running, or of which there was a hint, is looked at: lists
/// may be late, and only what the container itself shows ends a run.
fn look(world: &World<'_>, turn: &mut Turn, id: ReplicaId, record: &mut Record) {
    let Stage::Running { container, .. } = &record.stage else {
        return;
    };
    // What was last seen of it, listed again.
    let expected = match record.live.paused {
        true => ContainerState::Paused,
        false => ContainerState::Running,
    };
    let as_expected = |seen: &Seen| seen.state == expected;
    let doubted =
        world.listing_is_newer_than(record) && !world.seen(id, record).is_some_and(as_expected);
    if !(doubted || record.live.look)
        || world.observed.degraded
        || world.observed.busy.contains(&Lane::Replica(id))
    {
        return;
    }
    record.live.look = false;
    record.live.settled = world.observed.step;
    turn.actions.actions.push(Action::Look {
        replica: id,
        run: record.run,
        container: container.clone(),
    });
}

/// An operator has the failures forgotten: what waits for its next try is tried now.
fn forget(world: &World<'_>, turn: &mut Turn, replica: &AssignedReplica, record: &mut Record) {
    if record.reset == replica.tried.reset {
        return;
    }
    record.reset = replica.tried.reset;
    record.failures = 0;
    turn.refetches.remove(&replica.spec.image);
    record.live.retry_at = None;
    match &mut record.stage {
        Stage::Waiting { until } => *until = None,
        Stage::Ending {
            then: Then::Retry { until },
            ..
        } => *until = world.now,
        _ => {}
    }
}

/// A healthy period clears the failures before it.
fn forgive(world: &World<'_>, turn: &mut Turn, record: &mut Record) {
    let Stage::Running { checks, .. } = &record.stage else {
        return;
    };
    let is_well = record.failures > 0 && !record.live.paused;
    let (Some(since), true) = (checks.well_since, is_well) else {
        return;
    };
    let at = since.after_ms(world.settings.healthy_reset_ms);
    if world.now >= at {
        record.failures = 0;
        record.last_end = None;
        record.say(Topic::Other, "");
    } else {
        turn.actions.wake(at);
    }
}

fn probe(
    world: &World<'_>,
    turn: &mut Turn,
    (id, replica): (ReplicaId, &AssignedReplica),
    record: &mut Record,
) {
    let Stage::Running {
        container,
        host_port,
        started_at,
        checks,
    } = &mut record.stage
    else {
        return;
    };
    let Some(check) = &replica.spec.health else {
        return;
    };
    // A command runs through the engine: while that hangs, nothing is known of the replica.
    if world.observed.degraded && matches!(check.probe, Probe::Cmd { .. }) {
        return;
    }
    let paused = record.live.paused;
    let before = checks.verdict;
    if record.live.probe_due_by.is_some_and(|due| world.now >= due) {
        record.live.probe_due_by = None;
        checks.take(check, *started_at, false, world.now);
    }
    let probed = Probed {
        id,
        run: record.run,
        check,
        checks,
        container,
        host_port: *host_port,
        started_at: *started_at,
    };
    let (action, again) = probed.due(&mut record.live, world.now);
    turn.actions.wake(again);
    if paused && action.is_some() {
        // The kernel accepts connections for it all the same: only the engine can tell.
        record.live.probe_due_by = None;
        checks.take(check, *started_at, false, world.now);
        record.troubles.add_failed_check(before, checks.verdict);
        record.say(Topic::Check, PAUSED);
    } else {
        record.troubles.add_failed_check(before, checks.verdict);
        turn.actions.actions.extend(action);
    }
}

fn drain(
    world: &World<'_>,
    turn: &mut Turn,
    (id, replica): (ReplicaId, &AssignedReplica),
    record: &mut Record,
) {
    let Stage::Running { host_port, .. } = &record.stage else {
        return;
    };
    let leaving = Leaving {
        id,
        replica,
        host: world.settings,
        host_port: *host_port,
    };
    let look = if replica.want == Want::Drain {
        let draining = record.drain.get_or_insert_with(|| begin(world.now));
        if record.live.calls.is_coming_back() {
            // Called off and asked for again: the conversation begins anew.
            *draining = begin(world.now);
            record.live.calls = drain::calls::Progress::default();
        }
        drain::leave(&leaving, draining, &mut record.live, world.now)
    } else if let Some(draining) = &record.drain {
        let method = drain::method(&replica.run.drain);
        match method.come_back(&leaving, draining, &mut record.live, world.now) {
            Some(look) => look,
            None => {
                record.drain = None;
                record.succeeded(Topic::Drain);
                record.live.calls = drain::calls::Progress::default();
                return;
            }
        }
    } else {
        return;
    };
    turn.actions.actions.extend(look.action);
    if let Some(at) = look.wake_at {
        turn.actions.wake(at);
    }
    if let Some(message) = look.message {
        record.say(Topic::Drain, message);
    }
}

fn begin(since: Timestamp) -> Draining {
    Draining {
        since,
        safe: false,
        told: false,
        told_at: None,
    }
}

fn ending(world: &World<'_>, turn: &mut Turn, id: ReplicaId, record: &mut Record) {
    let Stage::Ending { .. } = &record.stage else {
        return;
    };
    if world.observed.degraded || world.observed.busy.contains(&Lane::Replica(id)) {
        return;
    }
    if let Some(at) = record.live.retry_at
        && world.now < at
    {
        return turn.actions.wake(at);
    }
    let Some(assignment) = world.assignment else {
        return;
    };
    let cluster_id = &assignment.fence.cluster_id;
    record.live.settled = world.observed.step;
    turn.actions.actions.push(Action::End {
        replica: id,
        run: record.run,
        name: record.container_name(id),
        identity: identity(cluster_id, &world.settings.host, id, record.run),
        grace_ms: record.stop_grace_ms,
    });
}
