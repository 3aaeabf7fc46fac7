//! What the coordinators are told of each replica.

use std::collections::BTreeMap;

use paasta_common::{
    assignment::Want,
    id::{AppId, ReplicaId},
    report::{Health, ImageReport, Phase, ReplicaReport},
};

use crate::state::{LocalState, Record, Stage, Then};

/// Said of a replica whose container is frozen.
pub(crate) const PAUSED: &str =
    "the container is paused and serves no requests; `docker unpause` resumes it";

/// The state of every replica that is recorded or assigned.
pub fn reports(state: &LocalState) -> BTreeMap<ReplicaId, ReplicaReport> {
    let assigned = state.assignment.iter().flat_map(|held| &held.replicas);
    let mut reports: BTreeMap<ReplicaId, ReplicaReport> = assigned
        .map(|(id, replica)| (*id, blank(*id, replica.app.clone(), Phase::Accepted)))
        .collect();
    for (id, record) in &state.records {
        let mut told = report(*id, record, state.want(*id));
        told.image = image(state, *id, record);
        reports.insert(*id, told);
    }
    reports
}

fn image(state: &LocalState, id: ReplicaId, record: &Record) -> ImageReport {
    let waits = matches!(record.stage, Stage::Waiting { .. } | Stage::Pulling);
    let name = state
        .assigned(id)
        .map(|replica| replica.spec.image.as_str());
    let refetch = name.and_then(|name| state.images.get(name));
    ImageReport {
        digest: record.digest.clone(),
        progress: None,
        problem: refetch
            .filter(|_| waits)
            .map(|refetch| refetch.failure.problem),
    }
}

/// The last report of a replica that is no longer recorded.
pub fn gone(last: &ReplicaReport) -> ReplicaReport {
    ReplicaReport {
        message: last.message.clone(),
        last_end: last.last_end.clone(),
        troubles: last.troubles.clone(),
        other_troubles: 0,
        run: last.run,
        drained: true,
        ..blank(last.id, last.app.clone(), Phase::Gone)
    }
}

fn blank(id: ReplicaId, app: AppId, phase: Phase) -> ReplicaReport {
    ReplicaReport {
        id,
        app,
        phase,
        health: Health::Unknown,
        started_at: None,
        host_port: None,
        container: None,
        run: 0,
        failures: 0,
        next_try_at: None,
        drained: false,
        in_load_balancer: None,
        message: String::new(),
        image: Default::default(),
        last_end: None,
        troubles: Default::default(),
        other_troubles: 0,
    }
}

fn report(id: ReplicaId, record: &Record, want: Want) -> ReplicaReport {
    let mut report = ReplicaReport {
        run: record.run,
        failures: record.failures,
        message: record.message.clone(),
        last_end: record.last_end.clone(),
        troubles: record.troubles.clone(),
        drained: want != Want::Run && !matches!(record.stage, Stage::Running { .. }),
        ..blank(id, record.app.clone(), Phase::Accepted)
    };
    match &record.stage {
        Stage::Waiting { until: None } => {}
        Stage::Waiting { until } => {
            report.phase = Phase::BackingOff;
            report.next_try_at = *until;
        }
        Stage::Pulling => report.phase = Phase::Pulling,
        Stage::Starting { host_port, .. } => {
            report.phase = Phase::Starting;
            report.host_port = *host_port;
            report.drained = false;
        }
        Stage::Running {
            container,
            host_port,
            started_at,
            checks,
        } => {
            report.phase = match want {
                Want::Run => Phase::Running,
                Want::Drain | Want::Stop => Phase::Draining,
            };
            report.health = checks.verdict;
            report.started_at = Some(*started_at);
            report.host_port = *host_port;
            report.container = Some(container.clone());
            if record.live.paused {
                report.health = Health::Unhealthy;
                PAUSED.clone_into(&mut report.message);
            }
            // One that is taken back may still be telling so.
            report.drained =
                want != Want::Run && record.drain.as_ref().is_some_and(|drain| drain.safe);
        }
        Stage::Ending { host_port, then } => {
            report.host_port = *host_port;
            match then {
                Then::Gone => report.phase = Phase::Stopping,
                Then::Retry { until } => {
                    report.phase = Phase::BackingOff;
                    report.next_try_at = Some(*until);
                }
            }
        }
        Stage::Gone => report.phase = Phase::Gone,
    }
    report
}
