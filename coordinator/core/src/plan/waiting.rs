//! Everything that keeps an instance from being as wanted, said so that an operator knows what to do
//! or how long to wait.

use std::collections::BTreeSet;

use paasta_common::{
    id::{HostId, ReplicaId},
    problem::Severity,
    spec::BounceMethod,
    time::Timestamp,
};

use super::{
    class::Class,
    members::{Member, Members},
    pass::Pass,
    reconcile::{Goal, Moves},
    report::{Awaited, WaitingOn},
    transition,
};
use crate::state::{bounce::BouncePhase, instance::PinKind};

/// Hosts named in one line, at most.
const HOSTS_SHOWN_MAX: usize = 16;

/// The list, and the times that hold for all that a bounce waits for.
struct Waits {
    list: Vec<WaitingOn>,
    since: Option<Timestamp>,
    deadline: Option<Timestamp>,
}

impl Waits {
    fn push(&mut self, what: Awaited, since: Option<Timestamp>, deadline: Option<Timestamp>) {
        self.list.push(WaitingOn {
            what,
            since,
            deadline,
        });
    }

    fn push_bounce(&mut self, what: Awaited) {
        self.push(what, self.since, self.deadline);
    }
}

/// What is waited for, the most telling first.
pub(super) fn waiting(
    pass: &Pass<'_>,
    goal: &Goal<'_>,
    members: &Members<'_>,
    moves: &Moves,
) -> Vec<WaitingOn> {
    let bounce = transition::under_way(goal);
    let mut waits = Waits {
        list: config_waits(pass, goal),
        since: bounce.map(|bounce| bounce.last_progress_at),
        deadline: bounce.and_then(|bounce| bounce.deadline()),
    };
    match bounce.map(|bounce| bounce.phase) {
        Some(BouncePhase::Held { since }) => waits.push(Awaited::Held, Some(since), None),
        Some(BouncePhase::Overdue { since }) => waits.push(Awaited::Overdue, Some(since), None),
        _ => {}
    }
    host_waits(&mut waits, pass, goal, members);
    if moves.waits_for_hosts {
        let hosts = arriving(pass);
        let since = Some(pass.observed.leader_since);
        waits.push(Awaited::HostsToReport { hosts }, since, pass.arriving_until);
    }
    placement_waits(&mut waits, goal, members, moves);
    replica_waits(&mut waits, goal, members);
    avoided_hosts(&mut waits, pass, goal, members);
    waits.list
}

fn host_waits(waits: &mut Waits, pass: &Pass<'_>, goal: &Goal<'_>, members: &Members<'_>) {
    let unseen = |member: &Member<'_>| matches!(member.class, Class::Lost | Class::Unknown);
    // Cleaning up waits for the brake even where this instance's own hosts are all heard from.
    let cleanup = !goal.instance.declared && !members.is_empty();
    if goal.braked && (cleanup || members.all().any(unseen)) {
        waits.push(Awaited::MassFailureBrake, None, None);
    }
    if let Some(until) = members.awaited.values().max() {
        let hosts = members.awaited.keys().cloned().collect();
        let since = Some(pass.observed.leader_since);
        waits.push(Awaited::HostsToReport { hosts }, since, Some(*until));
    }
    let hosts = away(pass, members);
    if !hosts.is_empty() {
        waits.push(Awaited::HostAway { hosts }, None, None);
    }
}

fn placement_waits(waits: &mut Waits, goal: &Goal<'_>, members: &Members<'_>, moves: &Moves) {
    if let Some(shortage) = &moves.shortage {
        let (missing, refusals) = (shortage.missing, shortage.refusals.clone());
        waits.push_bounce(Awaited::Capacity { missing, refusals });
    }
    if let Some((replica, refusals)) = &moves.stuck {
        let (replica, refusals) = (*replica, refusals.clone());
        waits.push(Awaited::OtherHost { replica, refusals }, None, None);
    }
    let counted = u32::try_from(members.counted().count()).unwrap_or(u32::MAX);
    if goal.method == BounceMethod::Down && counted < goal.wanted {
        let missing = goal.wanted - counted;
        waits.push_bounce(Awaited::MethodDown { missing });
    }
    if moves.waits_for_old {
        let replicas = members.old_left().map(|member| member.id).collect();
        waits.push_bounce(Awaited::OldVersionGone { replicas });
    }
}

fn replica_waits(waits: &mut Waits, goal: &Goal<'_>, members: &Members<'_>) {
    let not_happy = members.counted().filter(|member| match member.class {
        Class::Starting | Class::Unhappy => true,
        Class::Unknown => member.unrecognized,
        Class::Happy | Class::AtRisk | Class::Draining | Class::Stopping | Class::Lost => false,
    });
    let replicas: Vec<ReplicaId> = not_happy.map(|member| member.id).collect();
    if !replicas.is_empty() {
        waits.push_bounce(Awaited::NotHappyYet { replicas });
    }
    let draining = members
        .all()
        .filter(|member| member.class == Class::Draining);
    let draining: Vec<&Member<'_>> = draining.collect();
    if !draining.is_empty() {
        let (since, deadline) = drain_times(goal, &draining);
        let replicas = draining.iter().map(|member| member.id).collect();
        waits.push(Awaited::Draining { replicas }, since, deadline);
    }
    proxy_waits(waits, goal, members);
    let replicas = of_class(members.all(), &[Class::Stopping]);
    if !replicas.is_empty() {
        waits.push(Awaited::Stopping { replicas }, None, None);
    }
}

/// The load balancers that have still to answer: for replicas that come, and for those that leave
/// and have nothing else to wait for.
fn proxy_waits(waits: &mut Waits, goal: &Goal<'_>, members: &Members<'_>) {
    let comes: Vec<&Member<'_>> = members
        .counted()
        .filter(|member| !member.unanswered.is_empty())
        .collect();
    if !comes.is_empty() {
        let hosts = comes.iter().flat_map(|member| &member.unanswered);
        let what = Awaited::Proxies {
            replicas: comes.iter().map(|member| member.id).collect(),
            hosts: named(hosts),
            sessions: 0,
        };
        waits.push_bounce(what);
    }
    let leaves: Vec<&Member<'_>> = members
        .all()
        .filter(|member| member.class == Class::Draining && member.leaving.busy > 0)
        .collect();
    if !leaves.is_empty() {
        let (since, deadline) = drain_times(goal, &leaves);
        let hosts = leaves.iter().flat_map(|member| &member.leaving.hosts);
        let what = Awaited::Proxies {
            replicas: leaves.iter().map(|member| member.id).collect(),
            hosts: named(hosts),
            sessions: leaves.iter().map(|member| member.leaving.sessions).sum(),
        };
        waits.push(what, since, deadline);
    }
}

/// Some of the hosts, each once.
fn named<'a>(hosts: impl Iterator<Item = &'a HostId>) -> Vec<HostId> {
    let hosts: BTreeSet<&HostId> = hosts.collect();
    hosts.into_iter().take(HOSTS_SHOWN_MAX).cloned().collect()
}

/// Told only while something is amiss: it is then that somebody wonders where replicas may go.
fn avoided_hosts(waits: &mut Waits, pass: &Pass<'_>, goal: &Goal<'_>, members: &Members<'_>) {
    if members.avoided.is_empty() || members.happy() >= goal.wanted {
        return;
    }
    let failed = goal.instance.failed_hosts(&goal.desired);
    let until = failed.map(|failed| failed.until()).max();
    let id = |at: &usize| pass.hosts[*at].id().clone();
    let hosts = members.avoided.iter().map(id).collect();
    waits.push(Awaited::Avoided { hosts }, None, until);
}

fn config_waits(pass: &Pass<'_>, goal: &Goal<'_>) -> Vec<WaitingOn> {
    let mut waiting = Vec::new();
    let broken: Vec<String> = pass
        .state
        .problems_of(goal.id)
        .filter(|problem| problem.severity == Severity::Error)
        .map(ToString::to_string)
        .collect();
    if let Some(first) = broken.first() {
        let problems = u32::try_from(broken.len()).unwrap_or(u32::MAX);
        let what = Awaited::ConfigBroken {
            problems,
            first: first.clone(),
        };
        waiting.push(WaitingOn {
            what,
            since: None,
            deadline: None,
        });
    }
    if let Some(absence) = &goal.instance.absence {
        let held_back = pass.state.held_back().is_some();
        waiting.push(WaitingOn {
            what: Awaited::Removal {
                removal: absence.removal,
                held_back,
            },
            since: Some(absence.since),
            deadline: (!held_back).then_some(absence.until),
        });
    }
    let pin = goal.instance.pin.as_ref();
    let paced = pin.filter(|pin| pin.kind == PinKind::Paced && !pass.goes.contains(goal.id));
    if let Some(pin) = paced {
        waiting.push(WaitingOn {
            what: Awaited::Turn(pass.turns),
            since: Some(pin.since),
            deadline: pass.next_turn_by,
        });
    }
    if let Some(pin) = goal.instance.other_version() {
        let what = Awaited::Pinned {
            app: pin.app.clone(),
            reason: pin.reason.clone(),
        };
        waiting.push(WaitingOn {
            what,
            since: Some(pin.since),
            deadline: None,
        });
    }
    waiting
}

fn of_class<'m, 'a: 'm>(
    members: impl Iterator<Item = &'m Member<'a>>,
    classes: &[Class],
) -> Vec<ReplicaId> {
    members
        .filter(|member| classes.contains(&member.class))
        .map(|member| member.id)
        .collect()
}

/// Some of the hosts that have not reported to this leader.
fn arriving(pass: &Pass<'_>) -> Vec<HostId> {
    let arriving = pass.hosts.iter().filter(|view| view.is_arriving());
    arriving
        .take(HOSTS_SHOWN_MAX)
        .map(|view| view.id().clone())
        .collect()
}

/// The hosts of this instance's replicas that are silent or lost.
fn away(pass: &Pass<'_>, members: &Members<'_>) -> Vec<HostId> {
    let views = members.all().map(|member| &pass.hosts[member.host]);
    let mut hosts: Vec<HostId> = views
        .filter(|view| view.lost || view.silent)
        .map(|view| view.id().clone())
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

fn drain_times(
    goal: &Goal<'_>,
    draining: &[&Member<'_>],
) -> (Option<Timestamp>, Option<Timestamp>) {
    let since = draining
        .iter()
        .map(|member| member.replica.want_since)
        .min();
    let timeout = goal.instance.spec.run.drain_timeout_ms;
    (since, since.map(|since| since.after_ms(timeout)))
}
