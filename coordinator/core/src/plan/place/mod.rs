//! Where replicas go: among the hosts that may take them, spread first and level second. Whether a
//! host may take one at all is `crate::fit`.

mod refusals;
mod score;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use paasta_common::app::AppSpec;

use super::hosts::HostView;
use crate::fit::{Unfit, lacking, rules::Rules, tally::Tally};
pub use refusals::{Refusal, Refusals};
use score::Score;
pub(super) use score::Trust;

/// The hosts that an app's pool and constraints allow, whatever is free there, in groups between
/// which GROUP_BY tells a difference.
#[derive(Debug)]
pub(super) struct Candidates {
    rules: Rules,
    /// Nothing placed yet, every group known.
    empty: Tally,
    groups: Vec<Vec<usize>>,
}

/// So many replicas of an app, and where its instance is already.
pub(super) struct Wish<'a> {
    spec: &'a AppSpec,
    candidates: &'a Candidates,
    count: usize,
    tally: Tally,
    /// Replicas of the instance on each host.
    on_host: Vec<u32>,
    avoided: BTreeSet<usize>,
    trust: BTreeMap<usize, Trust>,
}

/// Where they go.
pub(super) struct Found {
    /// A host for each replica that found one.
    pub(super) hosts: Vec<usize>,
    /// Why the others found none.
    pub(super) refusals: Option<Refusals>,
}

impl Candidates {
    pub(super) fn find(spec: &AppSpec, hosts: &[HostView<'_>]) -> Self {
        let rules = Rules::new(spec);
        let allowed: Vec<usize> = (0..hosts.len())
            .filter(|at| {
                let view = &hosts[*at];
                !view.lost && !view.draining && rules.allow(&view.host.info).is_ok()
            })
            .collect();
        let empty = Tally::new(&rules, allowed.iter().map(|at| &hosts[*at].host.info));
        let mut groups: BTreeMap<Vec<&str>, Vec<usize>> = BTreeMap::new();
        for at in allowed {
            groups
                .entry(rules.group_of(&hosts[at].host.info))
                .or_default()
                .push(at);
        }
        let groups = groups.into_values().collect();
        Self {
            rules,
            empty,
            groups,
        }
    }
}

impl<'a> Wish<'a> {
    /// `hosts` is how many hosts there are.
    pub(super) fn new(
        spec: &'a AppSpec,
        candidates: &'a Candidates,
        count: usize,
        hosts: usize,
    ) -> Self {
        let tally = candidates.empty.clone();
        Self {
            spec,
            candidates,
            count,
            tally,
            on_host: vec![0; hosts],
            avoided: BTreeSet::new(),
            trust: BTreeMap::new(),
        }
    }

    /// Counts a replica of the instance that is there already: `same_app` when constraints bind it
    /// and the new ones together, `staying` when it is not about to leave.
    pub(super) fn count(
        &mut self,
        hosts: &[HostView<'_>],
        at: usize,
        same_app: bool,
        staying: bool,
    ) {
        self.on_host[at] += 1;
        if same_app {
            self.tally
                .add(&self.candidates.rules, &hosts[at].host.info, staying);
        }
    }

    /// Leaves a host out.
    pub(super) fn avoid(&mut self, at: usize) {
        self.avoided.insert(at);
    }

    /// Prefers a host, or takes it only where no other one will do.
    pub(super) fn trust(&mut self, at: usize, trust: Trust) {
        self.trust.insert(at, trust);
    }

    fn score(&self, hosts: &[HostView<'_>], at: usize) -> Score {
        let trust = self.trust.get(&at).copied().unwrap_or_default();
        Score::new(trust, self.on_host[at], &hosts[at], self.spec.resources, at)
    }

    /// Why this candidate cannot take one more, if it cannot. Once true it stays so for this wish.
    fn refused(&self, view: &HostView<'_>) -> Option<Unfit> {
        let need = self.spec.resources;
        if let Some(unfit) = lacking(view.free(), need, view.room.overcommit) {
            return Some(unfit);
        }
        let port = self.spec.host_port;
        if port != 0 && view.room.ports.contains(&port) {
            return Some(Unfit::Port { port });
        }
        self.tally
            .allow_host(&self.candidates.rules, &view.host.info)
            .err()
    }

    /// Every reason, for hosts of any kind.
    fn why_not(&self, at: usize, view: &HostView<'_>) -> Option<Unfit> {
        let rules = &self.candidates.rules;
        let info = &view.host.info;
        rules
            .allow(info)
            .err()
            .or_else(|| view.closed())
            .or_else(|| self.avoided.contains(&at).then_some(Unfit::AppFailed))
            .or_else(|| self.refused(view))
            .or_else(|| self.tally.allow(rules, info).err())
    }
}

/// Finds a host for as many of the replicas as possible, in one pass: a heap for each group, and
/// always the smallest group that GROUP_BY allows, among those whose best host is trusted most.
pub(super) fn place(hosts: &mut [HostView<'_>], mut wish: Wish<'_>) -> Found {
    let rules = &wish.candidates.rules;
    let mut heaps: Vec<BinaryHeap<Reverse<Score>>> = Vec::new();
    for group in &wish.candidates.groups {
        let open = group
            .iter()
            .filter(|at| hosts[**at].closed().is_none() && !wish.avoided.contains(at));
        heaps.push(open.map(|at| Reverse(wish.score(hosts, *at))).collect());
    }
    let mut found = Vec::new();
    while found.len() < wish.count {
        let smallest = (0..heaps.len())
            .filter_map(|group| Some((group, heaps[group].peek()?.0.trust())))
            .map(|(group, trust)| {
                let first = wish.candidates.groups[group][0];
                (trust, group, &hosts[first].host.info)
            })
            .filter(|(_, _, info)| wish.tally.allow_group(rules, info).is_ok())
            .min_by_key(|(trust, group, info)| {
                (*trust, wish.tally.group_sizes(rules, info), *group)
            });
        let Some((_, group, _)) = smallest else {
            break;
        };
        let Some(Reverse(best)) = heaps[group].pop() else {
            break;
        };
        let at = best.host();
        if wish.refused(&hosts[at]).is_some() {
            // Nothing frees it again while this wish is served, so it does not come back.
            continue;
        }
        take(&mut hosts[at], wish.spec);
        wish.count(hosts, at, true, true);
        heaps[group].push(Reverse(wish.score(hosts, at)));
        found.push(at);
    }
    let refusals = (found.len() < wish.count).then(|| {
        let answers = hosts.iter().enumerate();
        Refusals::count(answers.map(|(at, view)| wish.why_not(at, view)))
    });
    Found {
        hosts: found,
        refusals,
    }
}

fn take(view: &mut HostView<'_>, spec: &AppSpec) {
    view.room.used = view.room.used.plus(spec.resources);
    if spec.host_port != 0 {
        view.room.ports.insert(spec.host_port);
    }
}
