//! One instance as an operator sees it.

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::{
    id::{AppId, InstanceId},
    problem::Rule,
    report::Phase,
    spec::{DesiredState, OnDeadline},
};
use paasta_coordinator_core::{
    plan::{
        class::Class,
        report::{Awaited, InstanceReport, WaitingOn},
    },
    remotes::Remote,
    state::{
        bounce::{BouncePhase, BounceRecord},
        instance::Instance,
        overrides::Override,
    },
};
use paasta_proto::v1::{self, DeployStatus};

use super::{View, problem, words};

/// How many replicas of an instance there are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Placed {
    /// Of the desired app.
    pub(crate) new: u32,
    /// Those of it that are happy.
    pub(crate) happy: u32,
    /// Of every other app.
    pub(crate) old: u32,
}

/// Every value of [`View::deploy_status`].
pub(crate) const DEPLOY_STATUSES: [DeployStatus; 8] = [
    DeployStatus::Running,
    DeployStatus::Deploying,
    DeployStatus::Bouncing,
    DeployStatus::Waiting,
    DeployStatus::Delayed,
    DeployStatus::Stopped,
    DeployStatus::Held,
    DeployStatus::LostBrake,
];

/// How the replicas are spread over the desired app and the others.
fn placed(apps: &[v1::AppStatus]) -> Placed {
    let mut placed = Placed::default();
    for app in apps {
        if app.desired {
            placed.new += app.replicas;
            placed.happy += app.counts.as_ref().map_or(0, |counts| counts.happy);
        } else {
            placed.old += app.replicas;
        }
    }
    placed
}

impl View<'_> {
    pub(super) fn instance(&self, id: &InstanceId, replicas: bool) -> v1::InstanceStatus {
        let mut status = v1::InstanceStatus {
            service: id.service.to_string(),
            instance: id.instance.to_string(),
            deploy_status: DeployStatus::NotDeployed.into(),
            desired_state: v1::DesiredState::Start.into(),
            problems: self.problems(id),
            repository: self.repository(id),
            ..v1::InstanceStatus::default()
        };
        let Some(instance) = self.state.instance(id) else {
            return status;
        };
        let report = self.report.instances.get(id);
        let desired = instance.desired_app();
        let app = self.state.app(desired);
        status.desired_app = desired.to_string();
        status.git_sha = app.map(|app| app.spec.git_sha.clone()).unwrap_or_default();
        status.desired_since_ms = app.map_or(0, |app| app.created_at.0);
        status.desired_state = match instance.spec.desired_state {
            DesiredState::Start => v1::DesiredState::Start.into(),
            DesiredState::Stop => v1::DesiredState::Stop.into(),
        };
        status.wanted = instance.wanted();
        status.needed = instance.spec.bounce.margin.of(instance.wanted());
        status.autoscaling = instance.spec.autoscaling.map(|bounds| v1::Autoscaling {
            min_instances: bounds.min,
            max_instances: bounds.max,
        });
        status.overridden = instance.overridden.as_ref().map(overridden);
        status.bounce_method = words::method(instance.spec.bounce.method).into();
        status.undeclared = !instance.declared;
        status.team = instance.spec.team.clone().unwrap_or_default();
        status
            .registrations
            .clone_from(&instance.spec.run.registrations);
        status.apps = self.apps(id, desired);
        status.counts = Some(total(&status.apps));
        let bounce = instance.bounce.as_ref().filter(|held| held.to == *desired);
        status.bounce = bounce.map(|bounce| bounce_status(instance, report, bounce));
        status.waiting = report
            .map(|report| {
                report
                    .waiting
                    .iter()
                    .map(|waiting| wait(instance, waiting))
                    .collect()
            })
            .unwrap_or_default();
        let placed = placed(&status.apps);
        status.deploy_status = match self.deploy_status(id, instance, placed) {
            DeployStatus::Stopped => DeployStatus::Stopped,
            _ if !self.leads() => DeployStatus::Unknown,
            status => status,
        }
        .into();
        let balancers = self.balancers(&instance.spec);
        status.namespaces = self.namespaces(&instance.spec, &balancers);
        status.alarm = self.alarm(id);
        if replicas {
            status.replicas = self
                .state
                .replicas_of(id)
                .map(|(id, r)| self.replica(id, r, &balancers))
                .collect();
        }
        status
    }

    /// What is wrong with its configuration. That nothing is deployed is not said while git does not
    /// say so.
    fn problems(&self, id: &InstanceId) -> Vec<v1::Problem> {
        let silent = self.remote(id).is_some_and(|remote| remote.failures > 0);
        let problems = self.state.problems_of(id);
        problems
            .filter(|problem| !silent || problem.rule != Rule::Undeployed)
            .map(problem)
            .collect()
    }

    fn alarm(&self, id: &InstanceId) -> Option<v1::AlarmStatus> {
        let alert = self.state.alerts().get(id).filter(|alert| alert.critical)?;
        Some(v1::AlarmStatus {
            since_ms: alert.since.0,
            text: alert.text.clone(),
        })
    }

    fn remote(&self, id: &InstanceId) -> Option<&Remote> {
        self.repositories.remotes.get(&id.service)
    }

    fn repository(&self, id: &InstanceId) -> Option<v1::RepositoryStatus> {
        let remote = self.remote(id)?;
        Some(v1::RepositoryStatus {
            url: remote.url.clone(),
            error: remote.error.clone(),
            failures: remote.failures,
            answered_at_ms: remote.answered_at.map(|at| at.0),
            next_at_ms: remote.next_at.0,
            warning: remote.warning.clone(),
        })
    }

    fn apps(&self, id: &InstanceId, desired: &AppId) -> Vec<v1::AppStatus> {
        let mut apps: BTreeMap<&AppId, v1::AppStatus> = BTreeMap::new();
        for (replica_id, replica) in self.state.replicas_of(id) {
            let app = apps.entry(&replica.app).or_default();
            app.replicas += 1;
            let counts = app.counts.get_or_insert_default();
            let report = self.replica_report(replica_id, &replica.host);
            let running = report
                .is_some_and(|report| matches!(report.phase, Phase::Running | Phase::Draining));
            counts.running += u32::from(running);
            *count(counts, self.class(replica_id, replica)) += 1;
        }
        // The desired app is shown before its first replica is placed, too.
        apps.entry(desired).or_default();
        let mut apps: Vec<v1::AppStatus> = apps
            .into_iter()
            .map(|(app, status)| {
                let record = self.state.app(app);
                v1::AppStatus {
                    app: app.to_string(),
                    desired: app == desired,
                    counts: Some(status.counts.unwrap_or_default()),
                    git_sha: record.map(|r| r.spec.git_sha.clone()).unwrap_or_default(),
                    created_at_ms: record.map_or(0, |record| record.created_at.0),
                    ..status
                }
            })
            .collect();
        apps.sort_by_key(|app| (!app.desired, std::cmp::Reverse(app.created_at_ms)));
        apps
    }

    /// How the desired app stands.
    pub(crate) fn deploy_status(
        &self,
        id: &InstanceId,
        instance: &Instance,
        placed: Placed,
    ) -> DeployStatus {
        let wanted = instance.wanted();
        if wanted == 0 && placed.new + placed.old == 0 {
            return DeployStatus::Stopped;
        }
        if instance.bounce.as_ref().is_some_and(BounceRecord::is_held) {
            return DeployStatus::Held;
        }
        // The first deploy is a bounce from nothing: with one version only, it is being deployed.
        if placed.old > 0 {
            return DeployStatus::Bouncing;
        }
        if placed.happy == wanted && placed.new == wanted {
            return DeployStatus::Running;
        }
        let report = self.report.instances.get(id);
        let waits_for = |wanted: fn(&Awaited) -> bool| {
            report.is_some_and(|report| report.waiting.iter().any(|on| wanted(&on.what)))
        };
        if waits_for(|what| matches!(what, Awaited::MassFailureBrake)) {
            return DeployStatus::LostBrake;
        }
        if waits_for(|what| matches!(what, Awaited::Capacity { .. })) {
            return DeployStatus::Waiting;
        }
        let backing_off = self.state.replicas_of(id).any(|(id, replica)| {
            self.replica_report(id, &replica.host)
                .is_some_and(|report| report.phase == Phase::BackingOff)
        });
        if backing_off {
            DeployStatus::Delayed
        } else {
            DeployStatus::Deploying
        }
    }
}

fn overridden(known: &Override) -> v1::OverrideStatus {
    v1::OverrideStatus {
        kind: words::override_kind(known.kind).into(),
        kind_word: String::new(),
        instances: known.kind.instances(),
        by: known.by.to_string(),
        principal: known.by.identity().unwrap_or_default().to_owned(),
        claimed: known.by.claim().to_owned(),
        since_ms: known.since.0,
    }
}

fn total(apps: &[v1::AppStatus]) -> v1::Counts {
    let mut sum = v1::Counts::default();
    for counts in apps.iter().filter_map(|app| app.counts.as_ref()) {
        sum.happy += counts.happy;
        sum.unhealthy += counts.unhealthy;
        sum.starting += counts.starting;
        sum.draining += counts.draining;
        sum.at_risk += counts.at_risk;
        sum.lost += counts.lost;
        sum.stopping += counts.stopping;
        sum.unknown += counts.unknown;
        sum.running += counts.running;
    }
    sum
}

fn count(counts: &mut v1::Counts, class: Class) -> &mut u32 {
    match class {
        Class::Happy => &mut counts.happy,
        Class::Unhappy => &mut counts.unhealthy,
        Class::Starting => &mut counts.starting,
        Class::Draining => &mut counts.draining,
        Class::AtRisk => &mut counts.at_risk,
        Class::Lost => &mut counts.lost,
        Class::Stopping => &mut counts.stopping,
        Class::Unknown => &mut counts.unknown,
    }
}

/// How it stands by the replicated record, as the last plan may be of a moment before; that one
/// has the numbers, where it is of this bounce.
fn bounce_status(
    instance: &Instance,
    report: Option<&Arc<InstanceReport>>,
    bounce: &BounceRecord,
) -> v1::BounceStatus {
    let state = match (bounce.phase, instance.other_version()) {
        (BouncePhase::Held { .. }, _) => v1::BounceState::Held,
        (_, Some(pin)) if pin.app == bounce.to => v1::BounceState::RollingBack,
        (BouncePhase::Overdue { .. }, _) => v1::BounceState::Overdue,
        (BouncePhase::Running, _) => v1::BounceState::Going,
    };
    let report = report.filter(|report| report.desired == bounce.to);
    let (new, old) = report
        .map(|report| (report.new, report.old))
        .unwrap_or_default();
    v1::BounceStatus {
        method: words::method(instance.spec.bounce.method).into(),
        method_word: String::new(),
        to: bounce.to.to_string(),
        from: bounce.from.iter().map(ToString::to_string).collect(),
        started_at_ms: bounce.started_at.0,
        last_progress_at_ms: bounce.last_progress_at.0,
        deadline_ms: bounce.deadline().map(|deadline| deadline.0),
        on_deadline: words::on_deadline(instance.spec.bounce.on_deadline).into(),
        state: state.into(),
        new_happy: new.happy,
        new_wanted: instance.wanted(),
        old_happy: old.happy,
        old_total: old.happy
            + old.unhappy
            + old.starting
            + old.at_risk
            + old.draining
            + old.stopping
            + old.unknown
            + old.lost,
    }
}

fn removal(held_back: bool) -> (v1::WaitingKind, &'static str) {
    match held_back {
        false => (
            v1::WaitingKind::Removal,
            "it is drained and removed; if it comes back before, nothing is changed",
        ),
        true => (
            v1::WaitingKind::RemovalHeld,
            "nothing until it comes back or `paasta cleanup --force` removes it",
        ),
    }
}

/// How many hosts refuse, by reason.
fn refusals(what: &Awaited) -> BTreeMap<String, u32> {
    match what {
        Awaited::Capacity { refusals, .. } | Awaited::OtherHost { refusals, .. } => refusals
            .reasons
            .iter()
            .map(|refusal| (refusal.why.to_string(), refusal.hosts))
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// What happens when load balancers do not answer in time.
const PROXIES_THEN: &str =
    "they are waited for no longer: what leaves is stopped, what comes counts without them";

fn wait(instance: &Instance, waiting: &WaitingOn) -> v1::Waiting {
    let on_deadline = match instance.spec.bounce.on_deadline {
        OnDeadline::GoOn => "it is reported as overdue and goes on",
        OnDeadline::Hold => "the bounce is held",
        OnDeadline::Rollback => "the last good version comes back",
    };
    let (kind, then) = match &waiting.what {
        Awaited::Capacity { .. } => (v1::WaitingKind::Capacity, on_deadline),
        Awaited::OtherHost { .. } => (
            v1::WaitingKind::OtherHost,
            "it is tried again where it is, and moves when another host has room",
        ),
        Awaited::NotHappyYet { .. } => (v1::WaitingKind::Happy, on_deadline),
        Awaited::Draining { .. } => (v1::WaitingKind::Draining, "they are stopped all the same"),
        Awaited::Proxies { .. } => (v1::WaitingKind::Proxies, PROXIES_THEN),
        Awaited::Stopping { .. } => (
            v1::WaitingKind::Stopping,
            "their host kills them after the stop grace",
        ),
        Awaited::OldVersionGone { .. } => (v1::WaitingKind::OldVersion, on_deadline),
        Awaited::HostAway { .. } => (
            v1::WaitingKind::Host,
            "their replicas are replaced elsewhere",
        ),
        Awaited::HostsToReport { .. } => (
            v1::WaitingKind::Reports,
            "silent hosts are given up after their lease",
        ),
        Awaited::MassFailureBrake => (
            v1::WaitingKind::Brake,
            "nothing until the hosts speak or `paasta brake release` declares them lost",
        ),
        Awaited::Held => (
            v1::WaitingKind::Held,
            "nothing until a new version or an operator",
        ),
        Awaited::Overdue => (v1::WaitingKind::Overdue, "it goes on trying"),
        Awaited::ConfigBroken { .. } => (
            v1::WaitingKind::Config,
            "the last good version stays until it is mended",
        ),
        Awaited::Avoided { .. } => (
            v1::WaitingKind::Avoided,
            "they count as any other again; `paasta backoff reset` or a new version does it at once",
        ),
        Awaited::MethodDown { .. } => (
            v1::WaitingKind::MethodDown,
            "nothing until the method is changed",
        ),
        Awaited::Removal { held_back, .. } => removal(*held_back),
        Awaited::Turn(_) => (
            v1::WaitingKind::Turn,
            "it bounces; until then it runs on as it is, and a deploy of it does not wait",
        ),
        Awaited::Pinned { .. } => (
            v1::WaitingKind::Pinned,
            "the next version or `paasta bounce resume` ends it",
        ),
    };
    v1::Waiting {
        kind: kind.into(),
        kind_word: String::new(),
        what: waiting.to_string(),
        since_ms: waiting.since.map_or(0, |since| since.0),
        deadline_ms: waiting.deadline.map(|deadline| deadline.0),
        then: then.to_owned(),
        refusals: refusals(&waiting.what),
    }
}
