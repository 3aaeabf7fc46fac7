//! What ended since the last step, taken into the records.

use std::collections::BTreeMap;

use paasta_common::{
    id::ReplicaId,
    report::{EndCause, Health, Trouble},
    time::Timestamp,
};

use super::world::World;
use crate::{
    disk::is_watched,
    drain::calls::{self, Call},
    health::Checks,
    images::{self, PullFailure, Refetches},
    observed::{Event, Found, LocalImage, Remains, RunError},
    state::{MemoryKills, Record, Stage, Then, Topic},
};

/// How long after a failed stop or removal it is tried again, milliseconds.
const RETRY_MS: u64 = 5_000;
/// The exit code of what SIGKILL ended.
const KILLED: i64 = 137;
/// From a kill for memory to the end of the run, at most, where it was the run that was killed;
/// milliseconds.
const LAST_KILL_MS: u64 = 2_000;

/// Returns the images that were found or fetched.
pub(super) fn take(
    world: &World<'_>,
    records: &mut BTreeMap<ReplicaId, Record>,
    refetches: &mut Refetches,
) -> BTreeMap<String, LocalImage> {
    let mut ready = BTreeMap::new();
    for event in &world.observed.events {
        match event {
            Event::Pulled { image, result } => match result {
                Ok(held) => {
                    refetches.remove(image);
                    ready.insert(image.clone(), held.clone());
                }
                Err(failure) => pull_failed(world, records, refetches, (image, failure)),
            },
            Event::Ran {
                replica,
                run,
                result,
            } => with(records, *replica, *run, |record| {
                ran(world, *replica, record, result);
            }),
            Event::Hinted {
                replica,
                run,
                memory_kill_at,
            } => with(records, *replica, *run, |record| {
                hinted(record, *memory_kill_at);
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
            Event::DiskMeasured {
                replica,
                run,
                used_bytes,
            } => with(records, *replica, *run, |record| {
                disk_measured(world, *replica, record, *used_bytes);
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

/// What a run uses of the disk is held against its limit.
fn disk_measured(world: &World<'_>, id: ReplicaId, record: &mut Record, used_bytes: u64) {
    let Some(replica) = world.assigned(id) else {
        return;
    };
    let limit_mb = replica.spec.resources.disk_mb;
    if is_watched(world.settings.disk_limits, limit_mb) {
        record.live.disk.take(used_bytes, limit_mb);
    }
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
    match said {
        Some(problem) => record.say(Topic::Drain, problem),
        None => record.succeeded(Topic::Drain),
    }
}

/// Something befell the container: it is looked at. A process in it that was killed for its memory
/// need not be the one that the run is.
fn hinted(record: &mut Record, memory_kill_at: Option<Timestamp>) {
    record.live.look = true;
    if let Some(at) = memory_kill_at {
        let kills = &mut record.memory_kills;
        kills.count = kills.count.saturating_add(1);
        kills.last_at = kills.last_at.max(Some(at));
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
    refetches: &mut Refetches,
    (image, failure): (&str, &PullFailure),
) {
    let chance = world.observed.chance;
    let until = images::failed(refetches, image, failure, world.now, chance);
    for (id, record) in records {
        let waits_for_it = record.stage == Stage::Pulling
            && world
                .assigned(*id)
                .is_some_and(|replica| replica.spec.image == image);
        if waits_for_it {
            record.failures = record.failures.saturating_add(1);
            record.say(Topic::Image, failure.say(image));
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
            record.succeeded(Topic::Start);
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
        Err(unknown @ RunError::Unknown(_)) => record.say(Topic::Start, unknown.to_string()),
    }
}

fn looked(world: &World<'_>, id: ReplicaId, record: &mut Record, result: &Result<Found, String>) {
    record.live.settled = world.observed.step;
    let Stage::Running { started_at, .. } = &record.stage else {
        return;
    };
    let started_at = *started_at;
    match result {
        Ok(Found::Running {
            paused,
            memory_kills,
        }) => {
            record.live.paused = *paused;
            record.succeeded(Topic::Look);
            lives_on(record, *memory_kills);
        }
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
        Err(words) => record.say(
            Topic::Look,
            format!("the container could not be looked at: {words}"),
        ),
    }
}

/// The run goes on though processes in it were killed for memory.
fn lives_on(record: &mut Record, counted: Option<u32>) {
    let kills = &mut record.memory_kills;
    // Hints may be lost; what the kernel counts is not.
    kills.count = kills.count.max(counted.unwrap_or(0));
    let more = kills.count.saturating_sub(kills.outlived);
    kills.outlived = kills.count;
    record.troubles.add(Trouble::ChildMemory, more);
    if kills.count > 0 {
        let words = match kills.count {
            1 => "a process in the container was killed for its memory; the run goes on".to_owned(),
            count => format!(
                "{count} processes in the container were killed for their memory; the run goes on"
            ),
        };
        if record.message.is_empty() || matches!(record.topic, Topic::Memory | Topic::End) {
            record.say(Topic::Memory, words);
        }
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
            let words = format!("the container could not be removed: {words}");
            record.say(Topic::Removal, words);
        }
        (Ok(remains), then) => {
            record.stage = match then {
                Then::Gone => Stage::Gone,
                Then::Retry { until } => Stage::Waiting { until: Some(until) },
            };
            epitaph(record, remains);
            record.succeeded(Topic::Removal);
        }
    }
}

/// How the run ended, with what it left.
fn epitaph(record: &mut Record, remains: &Remains) {
    let (run, kills) = (record.run, record.memory_kills);
    let Some(end) = record.last_end.as_mut().filter(|end| end.run == run) else {
        return;
    };
    end.exit_code = remains.exit_code;
    end.signal.clone_from(&remains.signal);
    end.out_of_memory = was_killed_for_memory(kills, remains);
    let any = u32::from(remains.memory_killed);
    let others = kills.count.max(any) - u32::from(end.out_of_memory);
    end.memory_kills = others;
    let main = u32::from(end.out_of_memory);
    let unseen = others.saturating_sub(kills.outlived);
    record.troubles.add(Trouble::ChildMemory, unseen);
    if end.cause == EndCause::Exited {
        record.troubles.add(Trouble::Memory, main);
        record.troubles.add(Trouble::Exited, 1 - main);
    }
    end.last_words = remains.last_words.trim().to_owned();
    if matches!(end.cause, EndCause::Exited | EndCause::OverDisk { .. }) {
        let words = end.to_string();
        record.say(Topic::End, words);
    }
}

/// Whether it was its main process that the kernel killed for memory. The engine says only that
/// some process was, at some time; the main one was when it died by SIGKILL and no kill is known
/// that it outlived.
fn was_killed_for_memory(kills: MemoryKills, remains: &Remains) -> bool {
    if !remains.memory_killed || remains.exit_code != Some(KILLED) {
        return false;
    }
    match (kills.last_at, remains.ended_at) {
        (Some(last), Some(ended)) => ended.since_ms(last) <= LAST_KILL_MS,
        (None, _) => kills.count == 0,
        (Some(_), None) => true,
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
    record.troubles.add_failed_check(before, checks.verdict);
    match result {
        Err(words) => record.say(Topic::Check, format!("health check failed: {words}")),
        Ok(()) if before != Health::Healthy && record.failures == 0 => {
            record.say(Topic::Other, "");
        }
        Ok(()) => record.succeeded(Topic::Check),
    }
}
