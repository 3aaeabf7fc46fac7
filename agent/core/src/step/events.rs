//! What ended since the last step, taken into the records.

use std::collections::BTreeMap;

use paasta_common::{
    id::ReplicaId,
    report::{EndCause, Health},
    time::Timestamp,
};

use super::world::World;
use crate::{
    drain::calls::{self, Call},
    health::Checks,
    images::{self, PullFailure, Refetches},
    observed::{Event, Found, Remains, RunError},
    state::{Record, Stage, Then},
};

/// Begins the message of a run at which a look failed.
const LOOK_FAILED: &str = "the container could not be looked at";
/// How long after a failed stop or removal it is tried again, milliseconds.
const RETRY_MS: u64 = 5_000;

/// Returns the images that were found or fetched, with their digests.
pub(super) fn take(
    world: &World<'_>,
    records: &mut BTreeMap<ReplicaId, Record>,
    refetches: &mut Refetches,
) -> BTreeMap<String, String> {
    let mut ready = BTreeMap::new();
    for event in &world.observed.events {
        match event {
            Event::Pulled { image, result } => match result {
                Ok(digest) => {
                    refetches.remove(image);
                    ready.insert(image.clone(), digest.clone());
                }
                Err(failure) => {
                    let chance = world.observed.chance;
                    let until = images::failed(refetches, image, failure, world.now, chance);
                    pull_failed(world, records, image, (failure, until));
                }
            },
            Event::Ran {
                replica,
                run,
                result,
            } => with(records, *replica, *run, |record| {
                ran(world, *replica, record, result);
            }),
            Event::Hinted { replica, run } => with(records, *replica, *run, |record| {
                record.live.look = true;
            }),
            Event::Looked {
                replica,
                run,
                result,
            } => with(records, *replica, *run, |record| {
                looked(world, *replica, record, result);
            }),
            Event::Ended {
                replica,
                run,
                result,
            } => with(records, *replica, *run, |record| {
                ended(world, record, result);
            }),
            Event::Probed {
                replica,
                run,
                result,
            } => with(records, *replica, *run, |record| {
                probed(world, *replica, record, result);
            }),
            Event::DrainAnswered {
                replica,
                call,
                result,
            } => {
                if let Some(record) = records.get_mut(replica) {
                    drain_answered(world, record, *call, result.clone());
                }
            }
        }
    }
    ready
}

/// An answer to who leaves; what is wrong with it is told.
fn drain_answered(
    world: &World<'_>,
    record: &mut Record,
    call: Call,
    result: Result<bool, String>,
) {
    let Some(draining) = &mut record.drain else {
        return;
    };
    let said = calls::answered(draining, &mut record.live, call, result, world.now);
    if let Some(problem) = said {
        record.say(problem);
    }
}

/// Events of earlier runs come too late to matter.
fn with(
    records: &mut BTreeMap<ReplicaId, Record>,
    id: ReplicaId,
    run: u64,
    take: impl FnOnce(&mut Record),
) {
    if let Some(record) = records.get_mut(&id)
        && record.run == run
    {
        take(record);
    }
}

fn pull_failed(
    world: &World<'_>,
    records: &mut BTreeMap<ReplicaId, Record>,
    image: &str,
    (failure, until): (&PullFailure, Timestamp),
) {
    for (id, record) in records {
        let waits_for_it = record.stage == Stage::Pulling
            && world
                .assigned(*id)
                .is_some_and(|replica| replica.spec.image == image);
        if waits_for_it {
            record.failures = record.failures.saturating_add(1);
            record.say(failure.say(image));
            record.stage = Stage::Waiting { until: Some(until) };
        }
    }
}

fn ran(world: &World<'_>, id: ReplicaId, record: &mut Record, result: &Result<String, RunError>) {
    record.live.settled = world.observed.step;
    let Stage::Starting { host_port, .. } = &record.stage else {
        return;
    };
    match result {
        Ok(container) => {
            let check = world
                .assigned(id)
                .and_then(|replica| replica.spec.health.as_ref());
            record.stage = Stage::Running {
                container: container.clone(),
                host_port: *host_port,
                started_at: world.now,
                checks: Checks::new(check, world.now),
            };
        }
        Err(RunError::Refused(words)) => {
            world.fail_run(
                id,
                record,
                EndCause::NotStarted,
                format!("the container could not be started: {words}"),
            );
        }
        // Whether it runs shows in the next listing.
        Err(unknown @ RunError::Unknown(_)) => record.say(unknown.to_string()),
    }
}

fn looked(world: &World<'_>, id: ReplicaId, record: &mut Record, result: &Result<Found, String>) {
    record.live.settled = world.observed.step;
    let Stage::Running { started_at, .. } = &record.stage else {
        return;
    };
    let started_at = *started_at;
    match result {
        Ok(Found::Running) if record.message.starts_with(LOOK_FAILED) => record.say(""),
        Ok(Found::Running) => {}
        // The delay counts from the end of the run, not from when we heard of it.
        Ok(Found::Ended { at }) => {
            let at = at.unwrap_or(world.now).max(started_at).min(world.now);
            world.fail_run_at(id, record, (EndCause::Exited, "the container exited"), at);
        }
        Ok(Found::Missing) => {
            let words = "the container is gone, removed by another";
            world.fail_run(id, record, EndCause::Removed, words);
        }
        // The next list brings it up again.
        Err(words) => record.say(format!("{LOOK_FAILED}: {words}")),
    }
}

fn ended(world: &World<'_>, record: &mut Record, result: &Result<Remains, String>) {
    record.live.settled = world.observed.step;
    let Stage::Ending { then, .. } = &record.stage else {
        return;
    };
    match (result, then.clone()) {
        (Err(words), _) => {
            record.live.retry_at = Some(world.now.after_ms(RETRY_MS));
            record.say(format!("the container could not be removed: {words}"));
        }
        (Ok(remains), then) => {
            record.stage = match then {
                Then::Gone => Stage::Gone,
                Then::Retry { until } => Stage::Waiting { until: Some(until) },
            };
            epitaph(record, remains);
        }
    }
}

/// How the run ended, with what it left.
fn epitaph(record: &mut Record, remains: &Remains) {
    let run = record.run;
    let Some(end) = record.last_end.as_mut().filter(|end| end.run == run) else {
        return;
    };
    end.exit_code = remains.exit_code;
    end.signal.clone_from(&remains.signal);
    end.out_of_memory = remains.out_of_memory;
    end.last_words = remains.last_words.trim().to_owned();
    if end.cause == EndCause::Exited {
        let words = end.to_string();
        record.say(words);
    }
}

fn probed(world: &World<'_>, id: ReplicaId, record: &mut Record, result: &Result<(), String>) {
    record.live.probe_due_by = None;
    let check = world
        .assigned(id)
        .and_then(|replica| replica.spec.health.as_ref());
    let (
        Some(check),
        Stage::Running {
            started_at, checks, ..
        },
    ) = (check, &mut record.stage)
    else {
        return;
    };
    let before = checks.verdict;
    checks.take(check, *started_at, result.is_ok(), world.now);
    match result {
        Err(words) => record.say(format!("health check failed: {words}")),
        Ok(()) if before != Health::Healthy && record.failures == 0 => record.say(""),
        Ok(()) => {}
    }
}
