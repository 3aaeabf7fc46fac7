//! What a replica counts as when an instance is planned: PaaSTA's task classes, with those added
//! that a scheduler which is its own Marathon must tell apart.

use paasta_common::{
    assignment::Want,
    report::{Health, Phase, ReplicaReport},
    spec::BounceSpec,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{hosts::HostView, proxies::InService};

/// What a replica counts as; of too many, the later go first. One whose state is unknown may serve,
/// one that starts does not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Serving and well.
    Happy,
    /// Happy, but on a host that is being drained.
    AtRisk,
    /// Its host is silent, or has not reported since the election: its state is unknown.
    Unknown,
    /// On its way up: placed, pulled, started, or too young to be happy.
    Starting,
    /// Running badly, or failing to run.
    Unhappy,
    /// Leaving the load balancer.
    Draining,
    /// Told to stop.
    Stopping,
    /// On a lost host.
    Lost,
}

impl Class {
    /// The word used in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Happy => "happy",
            Self::AtRisk => "at-risk",
            Self::Starting => "starting",
            Self::Unknown => "unknown",
            Self::Unhappy => "unhappy",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Lost => "lost",
        }
    }
}

/// A class, and the moment at which time alone may change it.
pub(super) struct Classed {
    pub(super) class: Class,
    pub(super) changes_at: Option<Timestamp>,
}

impl From<Class> for Classed {
    fn from(class: Class) -> Self {
        Self {
            class,
            changes_at: None,
        }
    }
}

/// What of the surroundings of a replica its class follows from.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// What load balancers say of it.
    pub(super) in_service: &'a InService,
    /// When this leader began.
    pub(super) leader_since: Timestamp,
    /// The time.
    pub(super) now: Timestamp,
}

/// Classes one replica.
pub(super) fn classify(
    want: Want,
    host: &HostView<'_>,
    report: Option<&ReplicaReport>,
    bounce: &BounceSpec,
    around: Around<'_>,
) -> Classed {
    if host.lost {
        return Class::Lost.into();
    }
    match want {
        Want::Stop => return Class::Stopping.into(),
        Want::Drain => return Class::Draining.into(),
        Want::Run => {}
    }
    if host.silent {
        return Class::Unknown.into();
    }
    let Some(report) = report else {
        // A host that is new, or came back, has not said which of its replicas it runs.
        return match host.reported() {
            true => Class::Starting.into(),
            false => Class::Unknown.into(),
        };
    };
    let judged = match judge(report, bounce, around.now) {
        judged if judged.class == Class::Happy => routed(report, around),
        judged => judged,
    };
    match (judged.class, host.draining) {
        (Class::Happy, true) => Class::AtRisk.into(),
        // It serves where it is in service: it leaves when there is another one.
        (Class::Unhappy, true) if *around.in_service == InService::Partly => Class::AtRisk.into(),
        _ => judged,
    }
}

/// What a replica that is well counts as by what load balancers say. What they have not answered to a
/// new leader is no reason to hold a replica of before for anything but happy.
fn routed(report: &ReplicaReport, around: Around<'_>) -> Classed {
    match around.in_service {
        InService::NotAsked | InService::Yes => Class::Happy.into(),
        InService::Awaited { until, .. } => match report.started_at {
            Some(started) if started < around.leader_since => Class::Happy.into(),
            _ => Classed {
                class: Class::Starting,
                changes_at: Some(*until),
            },
        },
        InService::Partly | InService::No => Class::Unhappy.into(),
    }
}

/// PaaSTA's `get_happy_tasks`, from what the replica's own host says. What a newer agent says in words
/// that this version does not know is neither happy nor a reason to replace the replica.
fn judge(report: &ReplicaReport, bounce: &BounceSpec, now: Timestamp) -> Classed {
    match report.phase {
        Phase::Running => {}
        Phase::BackingOff => return Class::Unhappy.into(),
        Phase::Unrecognized(_) => return Class::Unknown.into(),
        Phase::Accepted
        | Phase::Pulling
        | Phase::Starting
        | Phase::Draining
        | Phase::Stopping
        | Phase::Gone => return Class::Starting.into(),
    }
    match report.health {
        Health::Unhealthy => return Class::Unhappy.into(),
        Health::Unknown => return Class::Starting.into(),
        Health::Unrecognized(_) => return Class::Unknown.into(),
        Health::Healthy | Health::Unchecked => {}
    }
    let Some(started_at) = report.started_at else {
        return Class::Starting.into();
    };
    let old_enough_at = started_at.after_ms(bounce.min_task_uptime_ms);
    if now < old_enough_at {
        return Classed {
            class: Class::Starting,
            changes_at: Some(old_enough_at),
        };
    }
    if bounce.check_load_balancer && report.in_load_balancer == Some(false) {
        return Class::Unhappy.into();
    }
    Class::Happy.into()
}

/// Whether a replica that leaves may be stopped at once: it is drained, or has nothing to drain.
/// Until its host reports, nobody can say so; the drain's deadline ends that.
pub(super) fn may_stop(want: Want, report: Option<&ReplicaReport>, host: &HostView<'_>) -> bool {
    if host.lost {
        return true;
    }
    if host.silent {
        return false;
    }
    match report {
        None => host.reported(),
        Some(report) => match report.phase {
            Phase::Running => false,
            Phase::Draining => want == Want::Drain && report.drained,
            _ => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paasta_common::{id::ReplicaId, report::ImageReport, unrecognized::UnrecognizedWord};

    fn report(phase: Phase, health: Health) -> ReplicaReport {
        ReplicaReport {
            id: ReplicaId(1),
            app: "hello.main.git11111111.config11111111".parse().unwrap(),
            phase,
            health,
            started_at: Some(Timestamp(1_000)),
            host_port: None,
            container: None,
            run: 1,
            failures: 0,
            next_try_at: None,
            drained: false,
            in_load_balancer: None,
            message: String::new(),
            image: ImageReport::default(),
            last_end: None,
            troubles: Default::default(),
            other_troubles: 0,
        }
    }

    #[test]
    fn the_load_balancer_has_a_say_only_where_it_is_asked_and_knows() {
        let rows = [
            (false, None, Class::Happy),
            (false, Some(false), Class::Happy),
            (true, None, Class::Happy),
            (true, Some(true), Class::Happy),
            (true, Some(false), Class::Unhappy),
        ];
        for (check_load_balancer, in_load_balancer, expected) in rows {
            let bounce = BounceSpec {
                min_task_uptime_ms: 0,
                check_load_balancer,
                ..BounceSpec::default()
            };
            let report = ReplicaReport {
                in_load_balancer,
                ..report(Phase::Running, Health::Healthy)
            };
            let classed = judge(&report, &bounce, Timestamp(2_000));
            assert_eq!(
                classed.class, expected,
                "{check_load_balancer} {in_load_balancer:?}"
            );
        }
    }

    #[test]
    fn only_what_runs_is_well_and_old_enough_is_happy() {
        let newer = UnrecognizedWord::new("newer");
        let (phase, health) = (Phase::Unrecognized(newer), Health::Unrecognized(newer));
        let rows = [
            (phase, Health::Healthy, 0, Class::Unknown),
            (Phase::Running, health, 0, Class::Unknown),
            (Phase::BackingOff, health, 0, Class::Unhappy),
            (Phase::Running, Health::Healthy, 0, Class::Happy),
            (Phase::Running, Health::Unchecked, 0, Class::Happy),
            (Phase::Running, Health::Unknown, 0, Class::Starting),
            (Phase::Running, Health::Unhealthy, 0, Class::Unhappy),
            (Phase::Running, Health::Healthy, 1_001, Class::Starting),
            (Phase::Running, Health::Healthy, 1_000, Class::Happy),
            (Phase::BackingOff, Health::Healthy, 0, Class::Unhappy),
            (Phase::Pulling, Health::Healthy, 0, Class::Starting),
            (Phase::Gone, Health::Healthy, 0, Class::Starting),
        ];
        for (phase, health, min_task_uptime_ms, expected) in rows {
            let bounce = BounceSpec {
                min_task_uptime_ms,
                ..BounceSpec::default()
            };
            let classed = judge(&report(phase, health), &bounce, Timestamp(2_000));
            assert_eq!(classed.class, expected, "{phase:?} {health:?}");
        }
    }
}
