//! The replicas of one instance, classed and split into those of the desired app and all others.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{
    assignment::Want,
    id::{AppId, HostId, InstanceId, ReplicaId},
    time::Timestamp,
};

use super::{
    class::{Around, Class, classify, may_stop},
    pass::Pass,
    proxies::{InService, Leaving, in_service, leaving},
};
use crate::state::{Replica, instance::Instance};

/// After so many failures in a row a replica is moved to another host, if its app does well
/// elsewhere. With the usual backoff of one second doubling, that is half a minute of trying.
const MOVE_AFTER_FAILURES: u32 = 5;

/// One that fails where it was moved to, too, is moved again only after so many times the failures
/// that were counted by then: what fails everywhere is moved ever more rarely instead of going
/// round the hosts, and its delays go on growing all the while.
const MOVE_AGAIN_FACTOR: u32 = 2;

/// Where no replica of its app does well, the app may be to blame rather than the host: the patience
/// is so many times as long.
const NOWHERE_WELL_FACTOR: u32 = 2;

/// A replica, classed.
pub(super) struct Member<'a> {
    pub(super) id: ReplicaId,
    pub(super) replica: &'a Replica,
    /// Where its host is among the hosts of the plan.
    pub(super) host: usize,
    /// What should become of it, by the record or because this plan brought it back.
    pub(super) want: Want,
    pub(super) class: Class,
    /// What it counts as when it is to run: differs from `class` while it drains.
    class_if_run: Class,
    /// Whether its host is being drained.
    pub(super) risky: bool,
    /// Whether it failed on its host so often that another host should be tried.
    pub(super) failing: bool,
    /// Whether its host reports it, in words that this version does not know.
    pub(super) unrecognized: bool,
    /// Failures in a row, those of the ones it replaces included, as its host says.
    pub(super) failures: u32,
    /// Whether it may be stopped without being drained first, or no longer needs to be.
    pub(super) may_stop: bool,
    /// The hosts whose load balancers are waited for before it is happy.
    pub(super) unanswered: Vec<HostId>,
    /// While it drains: the load balancers that may still send it requests or finish some.
    pub(super) leaving: Leaving,
    /// Whether its host says that it is drained, or has nothing to say.
    pub(super) drained: bool,
}

pub(super) struct Members<'a> {
    /// Of the desired app, by id.
    pub(super) new: Vec<Member<'a>>,
    /// Of every other app, the ones to keep longest first: the oldest app, then the oldest replica.
    pub(super) old: Vec<Member<'a>>,
    /// The hosts whose first report is still waited for, and until when.
    pub(super) awaited: BTreeMap<HostId, Timestamp>,
    /// The new replicas that were draining and are to run after all.
    pub(super) brought_back: BTreeSet<ReplicaId>,
    /// Where, among the hosts of the plan, the desired app failed lately and is not happy now.
    pub(super) avoided: BTreeSet<usize>,
}

impl<'a> Members<'a> {
    /// Gathers the replicas that this plan has not let go. `desired` is none for an instance that
    /// is no longer declared: all its apps are old.
    pub(super) fn gather(
        pass: &mut Pass<'a>,
        id: &InstanceId,
        instance: &Instance,
        desired: Option<&AppId>,
    ) -> Self {
        let state = pass.state;
        let mut members = Self {
            new: Vec::new(),
            old: Vec::new(),
            awaited: BTreeMap::new(),
            brought_back: BTreeSet::new(),
            avoided: BTreeSet::new(),
        };
        for (id, replica) in state.replicas_of(id) {
            let Some(host) = pass
                .host_at(&replica.host)
                .filter(|_| !pass.gone.contains(&id))
            else {
                continue;
            };
            let (member, times) = Member::judged(pass, (id, replica), host, instance);
            let awaited = pass.hosts[host].awaited_until(pass.observed, pass.now);
            for at in times.into_iter().chain([awaited]).flatten() {
                pass.wake(at);
            }
            if let Some(until) = awaited {
                members.awaited.insert(replica.host.clone(), until);
            }
            match desired == Some(&replica.app) {
                true => members.new.push(member),
                false => members.old.push(member),
            }
        }
        let age = |member: &Member<'_>| state.app(&member.replica.app).map(|app| app.created_index);
        members
            .old
            .sort_by_cached_key(|member| (age(member), member.id));
        if let Some(desired) = desired {
            members.avoid_failed(pass, instance, desired);
        }
        members
    }

    fn avoid_failed(&mut self, pass: &mut Pass<'_>, instance: &Instance, app: &AppId) {
        let happy = |at: usize| {
            let mut there = self.new.iter().filter(|member| member.host == at);
            there.any(|member| member.class == Class::Happy)
        };
        for failed in instance.failed_hosts(app) {
            if let Some(at) = pass.host_at(&failed.host)
                && pass.now < failed.until()
                && !happy(at)
            {
                self.avoided.insert(at);
                pass.wake(failed.until());
            }
        }
    }

    /// An app that is desired again, in the middle of its bounce, gets back what still runs: as many
    /// as are missing, the happiest first. Done before anything is decided, so that they count.
    pub(super) fn bring_back(&mut self, wanted: usize) {
        let missing = wanted.saturating_sub(self.counted().count());
        let drains = |member: &&mut Member<'_>| member.class == Class::Draining && !member.risky;
        let mut back: Vec<&mut Member<'_>> = self.new.iter_mut().filter(drains).collect();
        back.sort_by_key(|member| (member.class_if_run, member.id));
        for member in back.into_iter().take(missing) {
            member.want = Want::Run;
            member.class = member.class_if_run;
            self.brought_back.insert(member.id);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.old.is_empty()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Member<'a>> {
        self.new.iter().chain(&self.old)
    }

    /// The new replicas that count towards how many are wanted: to run, and on a host that stays.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Member<'a>> {
        self.new
            .iter()
            .filter(|member| member.runs() && !member.risky)
    }

    /// Of these, the happy ones.
    pub(super) fn happy(&self) -> u32 {
        let happy = self
            .counted()
            .filter(|member| member.class == Class::Happy)
            .count();
        u32::try_from(happy).unwrap_or(u32::MAX)
    }

    /// The old replicas that may still be somewhere, as far as anybody can be asked.
    pub(super) fn old_left(&self) -> impl Iterator<Item = &Member<'a>> {
        self.old.iter().filter(|member| member.class != Class::Lost)
    }
}

/// What load balancers say of a replica that is to serve, where they are asked.
fn routed(pass: &Pass<'_>, of: (&InstanceId, ReplicaId), instance: &Instance) -> InService {
    let bounce = &instance.spec.bounce;
    match bounce.check_load_balancer {
        true => in_service(
            &pass.proxies,
            (&pass.hosts, pass.observed, pass.now),
            of,
            bounce,
        ),
        false => InService::NotAsked,
    }
}

fn let_go(pass: &Pass<'_>, of: (&InstanceId, ReplicaId)) -> Leaving {
    leaving(&pass.proxies, (&pass.hosts, pass.observed), of)
}

/// The failures in a row after which a replica is moved.
fn move_after(replica: &Replica) -> u32 {
    let before = replica.tried.failures;
    before
        .saturating_mul(MOVE_AGAIN_FACTOR)
        .max(MOVE_AFTER_FAILURES)
}

impl<'a> Member<'a> {
    /// The replica as it is judged now, and when time alone may change that.
    fn judged(
        pass: &Pass<'a>,
        (id, replica): (ReplicaId, &'a Replica),
        host: usize,
        instance: &Instance,
    ) -> (Self, [Option<Timestamp>; 2]) {
        let view = &pass.hosts[host];
        let report = view.report(id);
        let failures = report.map_or(0, |report| report.failures);
        let bounce = &instance.spec.bounce;
        let in_service = routed(pass, (&replica.instance, id), instance);
        let around = Around {
            in_service: &in_service,
            leader_since: pass.observed.leader_since,
            now: pass.now,
        };
        let classed = classify(replica.want, view, report, bounce, around);
        let if_run = classify(Want::Run, view, report, bounce, around);
        let leaving = match replica.want {
            Want::Drain => let_go(pass, (&replica.instance, id)),
            Want::Run | Want::Stop => Leaving::default(),
        };
        let drained = may_stop(replica.want, report, view);
        let timeout = instance.spec.run.drain_timeout_ms;
        let drained_at =
            (replica.want == Want::Drain).then(|| replica.want_since.after_ms(timeout));
        let overdue = drained_at.is_some_and(|at| at <= pass.now);
        let member = Self {
            id,
            replica,
            host,
            want: replica.want,
            class: classed.class,
            class_if_run: if_run.class,
            risky: view.draining,
            failing: matches!(classed.class, Class::Unhappy | Class::Starting)
                && failures >= move_after(replica),
            unrecognized: !view.silent && report.is_some_and(|report| !report.is_readable()),
            failures,
            may_stop: overdue || (drained && leaving.busy == 0),
            drained,
            leaving,
            unanswered: match (classed.class, in_service) {
                (Class::Starting, InService::Awaited { hosts, .. }) => hosts,
                _ => Vec::new(),
            },
        };
        (member, [classed.changes_at, drained_at])
    }

    /// Whether it has failed on its own host.
    pub(super) fn has_failed(&self) -> bool {
        self.failures > self.replica.tried.failures
    }

    /// Whether it failed so often that another host should be tried though its app is happy nowhere.
    pub(super) fn fails_for_long(&self) -> bool {
        let most = move_after(self.replica).saturating_mul(NOWHERE_WELL_FACTOR);
        self.failing && self.failures >= most
    }

    /// Whether it is to run, on a host that is not lost.
    pub(super) fn runs(&self) -> bool {
        self.want == Want::Run && self.class != Class::Lost
    }
}
