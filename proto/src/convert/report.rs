//! What a host says it runs.

use paasta_common::{
    disk::{DiskLimits, HostDiskLimits},
    id::ReplicaId,
    report::{
        EndCause, HostPart, HostReport, ImageReport, PullProgress, ReplicaReport, RunEnd, Runtime,
        Trouble, Troubles,
    },
    time::Timestamp,
};

use super::{
    WireError, parsed, port,
    words::{
        cause_from_wire, cause_to_wire, health_from_wire, health_to_wire, image_problem_from_wire,
        image_problem_to_wire, passed_on, phase_from_wire, phase_to_wire,
    },
};
use crate::v1;

/// The report as a word. A value of a closed set that only a newer agent knows is kept as such, and
/// the rest of the report counts: agents and coordinators are upgraded in any order. Its moments are
/// by the clock of the one that reads it, at `now`: the host says how long ago things were, and its
/// own clock counts only where an older agent says no more.
///
/// # Errors
/// [`WireError`] names the field, `replicas[2].app`.
pub fn report_from_wire(wire: v1::Report, now: Timestamp) -> Result<HostReport, WireError> {
    let degraded_since = before(now, wire.runtime_degraded_ms_ago)
        .unwrap_or(Timestamp(wire.runtime_degraded_since_ms));
    let replicas = wire.replicas.into_iter().enumerate().map(|(at, replica)| {
        replica_report_from_wire(replica, now)
            .map_err(|error| error.within(format!("replicas[{at}]")))
    });
    Ok(HostReport {
        complete: wire.complete,
        replicas: replicas.collect::<Result<_, _>>()?,
        runtime: match wire.runtime_degraded.is_empty() {
            true => Runtime::Ok,
            false => Runtime::Degraded {
                reason: wire.runtime_degraded,
                since: degraded_since,
                part: host_part_from_wire(wire.degraded_part),
            },
        },
        generation: wire.generation,
        disk_limits: disk_limits_from_wire(wire.disk_limits),
    })
}

/// The report for the wire, said at `now` by the clock that its moments are by.
pub fn report_to_wire(report: &HostReport, now: Timestamp) -> v1::Report {
    let replicas = report.replicas.iter();
    v1::Report {
        complete: report.complete,
        replicas: replicas
            .map(|replica| replica_report_to_wire(replica, now))
            .collect(),
        runtime_degraded_ms_ago: match &report.runtime {
            Runtime::Ok => None,
            Runtime::Degraded { since, .. } => Some(now.since_ms(*since)),
        },
        sent_at_ms: now.0,
        runtime_degraded: match &report.runtime {
            Runtime::Ok => String::new(),
            // An empty text would read as a runtime that works.
            Runtime::Degraded { reason, .. } if reason.is_empty() => "unknown reason".to_owned(),
            Runtime::Degraded { reason, .. } => reason.clone(),
        },
        runtime_degraded_since_ms: match &report.runtime {
            Runtime::Ok => 0,
            Runtime::Degraded { since, .. } => since.0,
        },
        generation: report.generation,
        degraded_part: match &report.runtime {
            Runtime::Ok => 0,
            Runtime::Degraded { part, .. } => host_part_to_wire(*part),
        },
        disk_limits: disk_limits_to_wire(report.disk_limits),
    }
}

/// The part for the wire: the number of one that this version does not know is passed on.
pub fn host_part_to_wire(part: HostPart) -> i32 {
    match part {
        HostPart::Runtime => v1::HostPart::Runtime.into(),
        HostPart::Disk => v1::HostPart::Disk.into(),
        HostPart::DockerDisk => v1::HostPart::DockerDisk.into(),
        HostPart::Unrecognized(number) => number,
    }
}

/// What a host does about disk, for the wire.
pub fn disk_limits_to_wire(limits: Option<HostDiskLimits>) -> i32 {
    match limits {
        None => v1::DiskLimits::Unspecified.into(),
        Some(HostDiskLimits::Known(DiskLimits::Watch)) => v1::DiskLimits::Watch.into(),
        Some(HostDiskLimits::Known(DiskLimits::StorageDriver)) => {
            v1::DiskLimits::StorageDriver.into()
        }
        Some(HostDiskLimits::Known(DiskLimits::Off)) => v1::DiskLimits::Off.into(),
        Some(HostDiskLimits::Unrecognized(number)) => number,
    }
}

/// The same as a word: none of an agent that is too old to say.
fn disk_limits_from_wire(wire: i32) -> Option<HostDiskLimits> {
    let known = match v1::DiskLimits::try_from(wire) {
        Ok(v1::DiskLimits::Watch) => DiskLimits::Watch,
        Ok(v1::DiskLimits::StorageDriver) => DiskLimits::StorageDriver,
        Ok(v1::DiskLimits::Off) => DiskLimits::Off,
        Ok(v1::DiskLimits::Unspecified) => return None,
        Err(_) => return Some(HostDiskLimits::Unrecognized(wire)),
    };
    Some(HostDiskLimits::Known(known))
}

/// The part as a word. An agent of before there were parts means the runtime.
fn host_part_from_wire(wire: i32) -> HostPart {
    match v1::HostPart::try_from(wire) {
        Ok(v1::HostPart::Disk) => HostPart::Disk,
        Ok(v1::HostPart::DockerDisk) => HostPart::DockerDisk,
        Ok(v1::HostPart::Runtime | v1::HostPart::Unspecified) => HostPart::Runtime,
        Err(_) => HostPart::Unrecognized(wire),
    }
}

/// The kinds that this version knows, and how often others occurred.
fn troubles_from_wire(wire: &[v1::TroubleCount]) -> (Troubles, u32) {
    let (mut troubles, mut others) = (Troubles::default(), 0_u32);
    for one in wire {
        let kind = v1::TroubleKind::try_from(one.kind).ok();
        let known = Trouble::ALL
            .into_iter()
            .find(|trouble| Some(trouble_to_wire(*trouble)) == kind);
        match known {
            Some(trouble) => troubles.add(trouble, one.count),
            None => others = others.saturating_add(one.count),
        }
    }
    (troubles, others)
}

fn troubles_to_wire(troubles: &Troubles) -> Vec<v1::TroubleCount> {
    let counts = troubles.iter().map(|(trouble, count)| v1::TroubleCount {
        kind: trouble_to_wire(trouble).into(),
        count,
    });
    counts.collect()
}

fn trouble_to_wire(trouble: Trouble) -> v1::TroubleKind {
    match trouble {
        Trouble::Exited => v1::TroubleKind::TroubleExited,
        Trouble::Memory => v1::TroubleKind::TroubleMemory,
        Trouble::ChildMemory => v1::TroubleKind::TroubleChildMemory,
        Trouble::CheckFailed => v1::TroubleKind::TroubleCheckFailed,
        Trouble::Unhealthy => v1::TroubleKind::TroubleUnhealthy,
        Trouble::OverDisk => v1::TroubleKind::TroubleOverDisk,
        Trouble::NotStarted => v1::TroubleKind::TroubleNotStarted,
        Trouble::Removed => v1::TroubleKind::TroubleRemoved,
        Trouble::CrashLoop => v1::TroubleKind::TroubleCrashLoop,
    }
}

/// The moment that was so long before `now`.
fn before(now: Timestamp, ago_ms: Option<u64>) -> Option<Timestamp> {
    ago_ms.map(|ago| Timestamp(now.0.saturating_sub(ago)))
}

/// The state of one replica as a word, its moments by the clock that says `now`.
///
/// # Errors
/// [`WireError`] names the field.
pub fn replica_report_from_wire(
    wire: v1::ReplicaReport,
    now: Timestamp,
) -> Result<ReplicaReport, WireError> {
    let (troubles, other_troubles) = troubles_from_wire(&wire.troubles);
    Ok(ReplicaReport {
        id: ReplicaId(wire.id),
        app: parsed(&wire.app, "app")?,
        phase: phase_from_wire(wire.phase, &wire.phase_word),
        health: health_from_wire(wire.health, &wire.health_word),
        started_at: before(now, wire.started_ms_ago).or(wire.started_at_ms.map(Timestamp)),
        host_port: wire
            .host_port
            .map(|number| port(number, "host_port"))
            .transpose()?,
        container: wire.container,
        run: wire.run,
        failures: wire.failures,
        next_try_at: wire
            .next_try_in_ms
            .map(|left| now.after_ms(left))
            .or(wire.next_try_at_ms.map(Timestamp)),
        drained: wire.drained,
        in_load_balancer: wire.in_load_balancer,
        message: wire.message,
        image: wire
            .image
            .map_or_else(ImageReport::default, image_from_wire),
        last_end: wire.last_end.map(|end| run_end_from_wire(end, now)),
        troubles,
        other_troubles,
    })
}

/// The end of a run as a word, when it was by the clock that says `now`.
pub fn run_end_from_wire(wire: v1::RunEnd, now: Timestamp) -> RunEnd {
    RunEnd {
        run: wire.run,
        at: before(now, wire.ms_ago).unwrap_or(Timestamp(wire.at_ms)),
        cause: cause_from_wire(&wire),
        exit_code: wire.exit_code,
        signal: (!wire.signal.is_empty()).then_some(wire.signal),
        out_of_memory: wire.out_of_memory,
        memory_kills: wire.memory_kills,
        last_words: wire.last_words,
    }
}

/// The end of a run for the wire, said at `now` by the clock that it was seen by.
pub fn run_end_to_wire(end: &RunEnd, now: Timestamp) -> v1::RunEnd {
    let (used_mb, limit_mb) = match end.cause {
        EndCause::OverDisk { used_mb, limit_mb } => (used_mb, limit_mb),
        EndCause::Exited
        | EndCause::Unhealthy
        | EndCause::Stopped
        | EndCause::Removed
        | EndCause::NotStarted
        | EndCause::Unrecognized(_) => (0, 0),
    };
    let (cause, cause_word) = passed_on(cause_to_wire(end.cause));
    v1::RunEnd {
        run: end.run,
        at_ms: end.at.0,
        cause,
        cause_word,
        exit_code: end.exit_code,
        signal: end.signal.clone().unwrap_or_default(),
        out_of_memory: end.out_of_memory,
        memory_kills: end.memory_kills,
        last_words: end.last_words.clone(),
        ms_ago: Some(now.since_ms(end.at)),
        disk_used_mb: used_mb,
        disk_limit_mb: limit_mb,
    }
}

/// The state of one replica for the wire, said at `now` by the clock that its moments are by.
pub fn replica_report_to_wire(report: &ReplicaReport, now: Timestamp) -> v1::ReplicaReport {
    let (phase, phase_word) = passed_on(phase_to_wire(report.phase));
    let (health, health_word) = passed_on(health_to_wire(report.health));
    v1::ReplicaReport {
        id: report.id.0,
        app: report.app.to_string(),
        phase,
        health,
        phase_word,
        health_word,
        started_at_ms: report.started_at.map(|at| at.0),
        host_port: report.host_port.map(u32::from),
        container: report.container.clone(),
        run: report.run,
        failures: report.failures,
        next_try_at_ms: report.next_try_at.map(|at| at.0),
        drained: report.drained,
        in_load_balancer: report.in_load_balancer,
        message: report.message.clone(),
        last_end: report
            .last_end
            .as_ref()
            .map(|end| run_end_to_wire(end, now)),
        started_ms_ago: report.started_at.map(|at| now.since_ms(at)),
        next_try_in_ms: report.next_try_at.map(|at| at.since_ms(now)),
        image: (report.image != ImageReport::default()).then(|| image_to_wire(&report.image)),
        troubles: troubles_to_wire(&report.troubles),
    }
}

fn image_from_wire(wire: v1::ImageReport) -> ImageReport {
    ImageReport {
        digest: Some(wire.digest).filter(|digest| !digest.is_empty()),
        progress: wire.progress.map(|progress| PullProgress {
            layers_done: progress.layers_done,
            layers: progress.layers,
            bytes_done: progress.bytes_done,
            bytes: progress.bytes,
        }),
        problem: image_problem_from_wire(wire.problem, &wire.problem_word),
    }
}

/// The state of an image for the wire.
pub fn image_to_wire(image: &ImageReport) -> v1::ImageReport {
    let problem = image.problem.map(image_problem_to_wire);
    let (problem, problem_word) = problem.map(passed_on).unwrap_or_default();
    v1::ImageReport {
        digest: image.digest.clone().unwrap_or_default(),
        progress: image.progress.map(|progress| v1::PullProgress {
            layers_done: progress.layers_done,
            layers: progress.layers,
            bytes_done: progress.bytes_done,
            bytes: progress.bytes,
        }),
        problem,
        problem_word,
    }
}
