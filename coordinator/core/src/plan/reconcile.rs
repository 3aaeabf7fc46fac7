//! One instance, from what is wanted and what is there to the commands that bring them together.
//! Level-triggered: every plan starts from nothing, so that it does not matter which leader made
//! the last one. How the moves are chosen is `moves`, where new replicas come from
//! `supply`, how a bounce is kept account of `transition`.

mod moves;
mod pace;
mod supply;

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use paasta_common::{
    assignment::Want,
    id::{AppId, InstanceId, ReplicaId},
    spec::{BounceMethod, DrainMethod, OnDeadline},
};

use super::{
    class::Class,
    members::{Member, Members},
    pass::Pass,
    place::Refusals,
    transition, view,
};
use crate::state::{
    command::{BATCH_MAX, Command, DropInstance, Place, PlaceReplica, SetOverride, SetWant},
    instance::Instance,
    overrides::OverrideKind,
};

/// What is wanted of an instance now.
pub(super) struct Goal<'a> {
    pub(super) id: &'a InstanceId,
    pub(super) instance: &'a Instance,
    pub(super) desired: AppId,
    pub(super) wanted: u32,
    pub(super) method: BounceMethod,
    /// Whether the bounce waits for an operator.
    pub(super) held: bool,
    /// Whether too many hosts are silent to replace or clean up anything.
    pub(super) braked: bool,
    /// Whether load balancers may have its replicas.
    pub(super) proxied: bool,
}

/// What is to be done about the replicas of an instance.
#[derive(Default)]
pub(super) struct Moves {
    /// By what should become of them and why.
    wants: BTreeMap<(Want, Cow<'static, str>), Vec<ReplicaId>>,
    /// Replicas on lost hosts that have been replaced, or are not wanted any more.
    pub(super) lost: Vec<ReplicaId>,
    pub(super) placed: Vec<PlaceReplica>,
    pub(super) shortage: Option<Shortage>,
    /// One that fails where it is, and why no other host takes it.
    pub(super) stuck: Option<(ReplicaId, Refusals)>,
    /// Set when the old version must be gone first.
    pub(super) waits_for_old: bool,
    /// Set when hosts are waited for before replicas are placed.
    pub(super) waits_for_hosts: bool,
}

/// Replicas that found no host.
pub(super) struct Shortage {
    pub(super) missing: u32,
    pub(super) refusals: Refusals,
}

impl Moves {
    pub(super) fn want(&mut self, want: Want, why: impl Into<Cow<'static, str>>, id: ReplicaId) {
        self.wants.entry((want, why.into())).or_default().push(id);
    }
}

impl Goal<'_> {
    /// Whether replicas of the desired app may come, next to what is left of old ones. Under
    /// downthenup two versions never overlap, so one that drains or stops is waited for as well.
    pub(super) fn may_overlap(&self, members: &Members<'_>) -> bool {
        match self.method {
            BounceMethod::Down => false,
            BounceMethod::DownThenUp => members.old_left().next().is_none(),
            BounceMethod::Brutal | BounceMethod::UpThenDown | BounceMethod::Crossover => true,
        }
    }

    /// Whether a replica need not be drained at all: there is no method, and no load balancer has
    /// it, or it has no time.
    pub(super) fn stops_at_once(&self) -> bool {
        let run = &self.instance.spec.run;
        let undrained = run.drain == DrainMethod::Noop && !self.proxied;
        undrained || run.drain_timeout_ms == 0
    }
}

pub(super) fn reconcile(pass: &mut Pass<'_>, id: &InstanceId) {
    let state = pass.state;
    let Some(instance) = state.instance(id) else {
        return;
    };
    let braked = pass.report.brake.is_some();
    let mut goal = Goal {
        id,
        instance,
        desired: match pass.goes.contains(id) {
            true => instance.spec.app_id.clone(),
            false => instance.desired_app().clone(),
        },
        wanted: instance.wanted(),
        method: if instance.declared {
            instance.spec.bounce.method
        } else {
            BounceMethod::Down
        },
        held: instance
            .bounce
            .as_ref()
            .is_some_and(|bounce| bounce.is_held()),
        braked,
        proxied: pass.proxies.may_have(instance),
    };
    let mut members = gather(pass, &goal);
    let expired = transition::expiry(pass, &goal, &members);
    if let Some(expired) = &expired {
        let counts = transition::counts(&goal, &members);
        pass.commands
            .push(transition::expired(&goal, *expired, counts));
        match (expired, &instance.last_good) {
            (OnDeadline::Rollback, Some(good)) => {
                goal.desired = good.clone();
                goal.held = false;
                members = gather(pass, &goal);
            }
            (OnDeadline::Hold, _) => goal.held = true,
            _ => {}
        }
    }
    let moves = moves::choose(pass, &goal, &members);
    let steps = transition::steps(&goal, &members, expired);
    match expired {
        Some(OnDeadline::GoOn | OnDeadline::Hold) => pass.stuck.insert(id.clone()),
        Some(OnDeadline::Rollback) => pass.ended.insert(id.clone()),
        None => steps.finishes() && pass.ended.insert(id.clone()),
    };
    pass.commands.extend(steps.before);
    say(pass, id, &moves);
    pass.commands.extend(steps.after);
    pass.commands.extend(end_of_restart(&goal, &members));
    if !instance.declared && members.is_empty() {
        pass.commands
            .push(Command::DropInstance(DropInstance { id: id.clone() }));
    }
    let report = view::instance_report(pass, &goal, &members, &moves);
    pass.report.instances.insert(id.clone(), Arc::new(report));
}

/// A restart is over when everything that can be heard of is gone: then all starts again.
fn end_of_restart(goal: &Goal<'_>, members: &Members<'_>) -> Option<Command> {
    let overridden = goal.instance.overridden.as_ref()?;
    let silent = |member: &Member<'_>| {
        matches!(member.class, Class::Lost | Class::Unknown) && !member.unrecognized
    };
    let over = overridden.kind == OverrideKind::Restart && members.all().all(silent);
    over.then(|| {
        Command::SetOverride(SetOverride {
            instance: goal.id.clone(),
            kind: None,
            only: Some(overridden.index),
        })
    })
}

fn gather<'a>(pass: &mut Pass<'a>, goal: &Goal<'_>) -> Members<'a> {
    let desired = goal.instance.declared.then_some(&goal.desired);
    let mut members = Members::gather(pass, goal.id, goal.instance, desired);
    if !goal.held && goal.may_overlap(&members) {
        members.bring_back(goal.wanted as usize);
    }
    members
}

/// Says the moves in an order in which apply can follow: who leaves first, so that there is room
/// under the ceiling for who comes.
fn say(pass: &mut Pass<'_>, id: &InstanceId, moves: &Moves) {
    let set_want = |want, why: &str, replicas: &[ReplicaId]| {
        Command::SetWant(SetWant {
            instance: id.clone(),
            want,
            replicas: replicas.to_vec(),
            reason: why.to_owned(),
        })
    };
    for first in [Want::Drain, Want::Stop, Want::Run] {
        for ((want, why), replicas) in &moves.wants {
            if *want == first {
                let chunks = replicas.chunks(BATCH_MAX);
                pass.commands
                    .extend(chunks.map(|chunk| set_want(*want, why, chunk)));
            }
        }
    }
    for replicas in moves.placed.chunks(BATCH_MAX) {
        pass.commands.push(Command::Place(Place {
            replicas: replicas.to_vec(),
        }));
    }
    for replicas in moves.lost.chunks(BATCH_MAX) {
        pass.commands
            .push(set_want(Want::Stop, "its host is lost", replicas));
    }
}
