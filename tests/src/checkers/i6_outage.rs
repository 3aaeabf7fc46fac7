//! I6, control plane death is a non-event: what runs while no coordinator does goes on running, and
//! a leader that was just elected takes nobody for lost. Neither does one lead that no majority can
//! answer.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::time::Timestamp;
use paasta_coordinator_core::{
    plan::{Plan, observed::Observed},
    state::{ClusterState, command::Command},
};

use super::{Violation, seen::present_until};

/// A leader made this plan: nobody is taken for lost before the time.
pub fn lost_too_early(
    state: &ClusterState,
    seen: &Observed,
    now: Timestamp,
    plan: &Plan,
) -> Vec<Violation> {
    let mut found = Vec::new();
    for command in &plan.commands {
        let Command::HostLost(lost) = command else {
            continue;
        };
        let lost_at = present_until(seen, &lost.host).0 + seen.settings.lost_after_ms;
        if state.host(&lost.host).is_some() && now.0 < lost_at {
            let early = lost_at - now.0;
            let what = format!("{} is taken for lost {early} ms early", lost.host);
            found.push(Violation::new("I6", what));
        }
    }
    found
}

/// How long a leader without a way to a majority may go on, milliseconds, on fast links: three
/// times the longest election timeout.
const LEASE_MS: u64 = 2_100;
/// What is on its way when the way is cut, and how often is looked.
const SLACK_MS: u64 = 1_000;

/// Since when each coordinator has had no way to and from a majority, by name, and its term. Votes
/// that were on their way may still make it a leader: its lease counts from then.
#[derive(Debug, Default)]
pub struct Alone(BTreeMap<String, (u64, u64)>);

/// What a coordinator does while it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Leading {
    /// It plans and takes sessions.
    pub leads: bool,
    /// Its term.
    pub term: u64,
    /// Agents that it counts as connected.
    pub sessions: usize,
    /// How many times longer than on fast links its timeouts are, in thousandths.
    pub pace_permille: u32,
}

impl Alone {
    /// Looks at one coordinator: whether it has a way to and from a majority, and what it does.
    pub fn look(
        &mut self,
        now_ms: u64,
        whom: &str,
        has_a_way: bool,
        leading: Leading,
    ) -> Option<Violation> {
        if has_a_way {
            self.0.remove(whom);
            return None;
        }
        let known = self.0.entry(whom.to_owned());
        let since = known.or_insert((now_ms, leading.term));
        if since.1 != leading.term {
            *since = (now_ms, leading.term);
        }
        let since = since.0;
        let lease = LEASE_MS * u64::from(leading.pace_permille) / 1_000;
        let alone = now_ms.saturating_sub(since);
        let late = alone > lease + SLACK_MS && (leading.leads || leading.sessions > 0);
        late.then(|| {
            let sessions = leading.sessions;
            let what = format!(
                "{whom} leads, with {sessions} sessions, {alone} ms after its way to a majority was cut"
            );
            Violation::new("I6", what)
        })
    }
}

/// What ran on the hosts when the last coordinator was gone, by host: names of containers.
#[derive(Debug, Default)]
pub struct Outage(BTreeMap<String, BTreeSet<String>>);

impl Outage {
    /// These containers run on the host and are to go on.
    pub fn begin(&mut self, host: &str, running: BTreeSet<String>) {
        self.0.insert(host.to_owned(), running);
    }

    /// Something befell the host that is nobody's act: what runs there is not watched any more.
    pub fn excuse(&mut self, host: &str) {
        self.0.remove(host);
    }

    /// The agent of the host stopped or removed a container.
    pub fn ended(&self, host: &str, container: &str) -> Option<Violation> {
        let watched = self
            .0
            .get(host)
            .is_some_and(|running| running.contains(container));
        watched.then(|| {
            let what = format!("{host} ended {container} while no coordinator was there");
            Violation::new("I6", what)
        })
    }
}
