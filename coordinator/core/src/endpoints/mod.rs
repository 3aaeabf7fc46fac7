//! The endpoints of every namespace: which replicas serve it, as the leader knows it, and what each
//! host may see of that. Soft state: made from the replicated state and from what hosts report,
//! with a log of changes so that a subscriber gets only what changed ([`Subscriber`]).
//!
//! A replica whose host has not reported to this leader is an endpoint all the same, with the state
//! *keep*: an election makes no set smaller. What load balancers answer is in [`proxies`].

mod entry;
pub mod locations;
pub mod proxies;
mod subscriber;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use paasta_common::{
    id::{HostId, InstanceId, ReplicaId},
    report::ReplicaReport,
    smartstack::{Namespace, NamespaceOptions},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

pub use entry::{Entry, Sight};
pub use subscriber::Subscriber;

use crate::state::ClusterState;
use proxies::ProxyObserved;

/// Changes that are kept, at most; a subscriber that is further behind gets a complete set.
pub const CHANGES_MAX: usize = 20_000;

/// What was heard from a host, as far as endpoints need it.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// Whether a replica that it does not mention is not there.
    pub complete: bool,
    /// Its replicas, as last reported.
    pub replicas: &'a BTreeMap<ReplicaId, ReplicaReport>,
    /// What its load balancer answered; none of a host without one.
    pub proxy: Option<&'a ProxyObserved>,
}

/// The endpoints of all namespaces, and what changed last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Endpoints {
    /// Counts the changes; 0 before the table was made for the first time.
    number: u64,
    namespaces: BTreeMap<Namespace, Announced>,
    /// The namespaces of each instance and its endpoints, so that what is gone is found.
    instances: BTreeMap<InstanceId, Known>,
    /// The newest last, each number at least as large as the one before.
    changes: VecDeque<Change>,
    /// All changes after this number are in `changes`.
    complete_after: u64,
}

/// One namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Announced {
    /// What each instance that is announced there read of its options.
    sources: BTreeMap<InstanceId, Arc<NamespaceOptions>>,
    /// By replica.
    entries: BTreeMap<ReplicaId, Entry>,
}

/// What the table has of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Known {
    namespaces: BTreeSet<Namespace>,
    replicas: BTreeSet<ReplicaId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    number: u64,
    namespace: Namespace,
    /// None where the namespace itself or its options changed.
    replica: Option<ReplicaId>,
}

impl Endpoints {
    /// The number of the last change; 0 before the table was made for the first time.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The namespaces, by name.
    pub fn namespaces(&self) -> impl Iterator<Item = (&Namespace, &Announced)> {
        self.namespaces.iter()
    }

    /// The entries of a replica, one for each namespace that it serves.
    pub fn named<'a>(
        &'a self,
        instance: &InstanceId,
        id: ReplicaId,
    ) -> impl Iterator<Item = (&'a Namespace, &'a Announced, &'a Entry)> + use<'a> {
        let known = self.instances.get(instance);
        let names = known.into_iter().flat_map(|known| &known.namespaces);
        names.filter_map(move |name| {
            let announced = self.namespaces.get(name)?;
            Some((name, announced, announced.entries.get(&id)?))
        })
    }

    /// The replicas with changes after this number; none when the log does not reach so far back.
    #[must_use]
    pub fn changed_after(&self, number: u64) -> Option<BTreeSet<ReplicaId>> {
        let changes = self.changes_after(number)?;
        Some(changes.filter_map(|change| change.replica).collect())
    }

    /// Brings the table in step with what is known now: of these instances, or of all. True when
    /// something changed.
    pub fn update<'a>(
        &mut self,
        state: &ClusterState,
        heard: impl Fn(&HostId) -> Option<Heard<'a>>,
        only: Option<&BTreeSet<InstanceId>>,
        now: Timestamp,
    ) -> bool {
        let before = self.number;
        let first = before == 0;
        let mut next = Update {
            number: before + 1,
            now,
            changed: Vec::new(),
        };
        match only.filter(|_| !first) {
            Some(only) => {
                for id in only {
                    self.update_instance(&mut next, state, &heard, id);
                }
            }
            None => {
                let known = self.instances.keys();
                let declared = state.instances().map(|(id, _)| id);
                let all: BTreeSet<InstanceId> = known.chain(declared).cloned().collect();
                for id in &all {
                    self.update_instance(&mut next, state, &heard, id);
                }
            }
        }
        if next.changed.is_empty() && !first {
            return false;
        }
        self.number = next.number;
        let changes = next.changed.into_iter().map(|(namespace, replica)| Change {
            number: before + 1,
            namespace,
            replica,
        });
        self.changes.extend(changes);
        while self.changes.len() > CHANGES_MAX
            && let Some(oldest) = self.changes.pop_front()
        {
            self.complete_after = oldest.number;
        }
        true
    }

    fn update_instance<'a>(
        &mut self,
        next: &mut Update,
        state: &ClusterState,
        heard: &impl Fn(&HostId) -> Option<Heard<'a>>,
        id: &InstanceId,
    ) {
        let nothing = BTreeMap::new();
        let declared = state.instance(id);
        let wanted = declared.map_or(&nothing, |instance| &instance.spec.namespaces);
        let mut known = self.instances.remove(id).unwrap_or_default();
        if wanted.is_empty() && known.namespaces.is_empty() {
            return;
        }
        let gone: Vec<Namespace> = known
            .namespaces
            .iter()
            .filter(|name| !wanted.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            known.namespaces.remove(&name);
            self.withdraw(next, id, &name, &known.replicas);
        }
        let replicas: BTreeMap<ReplicaId, entry::Facts<'_>> = state
            .replicas_of(id)
            .filter_map(|(id, replica)| {
                let heard = heard(&replica.host);
                Some((id, entry::facts(state, heard, id, replica)?))
            })
            .collect();
        for (name, options) in wanted {
            known.namespaces.insert(name.clone());
            let announced = self.namespaces.entry(name.clone()).or_default();
            announced.source(next, (name, id), options);
            for replica in known
                .replicas
                .iter()
                .filter(|id| !replicas.contains_key(id))
            {
                if announced.entries.remove(replica).is_some() {
                    next.note(name, Some(*replica));
                }
            }
            for (replica, facts) in &replicas {
                announced.set(next, name, (*replica, facts));
            }
        }
        known.replicas = replicas.into_keys().collect();
        if !known.namespaces.is_empty() {
            self.instances.insert(id.clone(), known);
        }
    }

    /// Takes an instance out of a namespace.
    fn withdraw(
        &mut self,
        next: &mut Update,
        id: &InstanceId,
        name: &Namespace,
        replicas: &BTreeSet<ReplicaId>,
    ) {
        let Some(announced) = self.namespaces.get_mut(name) else {
            return;
        };
        for replica in replicas {
            if announced.entries.remove(replica).is_some() {
                next.note(name, Some(*replica));
            }
        }
        let before = announced.options(name).cloned();
        announced.sources.remove(id);
        match announced.options(name).cloned() {
            None => {
                self.namespaces.remove(name);
                next.note(name, None);
            }
            after if after != before => announced.changed_options(next, name),
            Some(_) => {}
        }
    }

    /// The changes after this number; none when the log does not reach so far back.
    fn changes_after(&self, number: u64) -> Option<impl Iterator<Item = &Change>> {
        if number < self.complete_after {
            return None;
        }
        let first = self
            .changes
            .partition_point(|change| change.number <= number);
        Some(self.changes.range(first..))
    }
}

impl Announced {
    /// The options in force: those of the instance of the namespace's own name, else of the first
    /// by name. Where one instance of a service stays at what it read before, as its file is
    /// broken, others may have read others.
    pub fn options(&self, name: &Namespace) -> Option<&Arc<NamespaceOptions>> {
        let own = |(id, _): &(&InstanceId, _)| {
            id.service.as_str() == name.service() && id.instance.as_str() == name.name()
        };
        let found = self.sources.iter().find(own);
        found.or(self.sources.iter().next()).map(|(_, one)| one)
    }

    /// The endpoints, by replica.
    pub fn entries(&self) -> impl Iterator<Item = (ReplicaId, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    fn source(
        &mut self,
        next: &mut Update,
        (name, id): (&Namespace, &InstanceId),
        options: &Arc<NamespaceOptions>,
    ) {
        if self.sources.get(id) == Some(options) {
            return;
        }
        let before = self.options(name).cloned();
        self.sources.insert(id.clone(), options.clone());
        if self.options(name) != before.as_ref() {
            self.changed_options(next, name);
        }
    }

    /// Where replicas are announced follows from the options: all of them changed.
    fn changed_options(&mut self, next: &mut Update, name: &Namespace) {
        next.note(name, None);
        let Some(options) = self.options(name).cloned() else {
            return;
        };
        for (id, entry) in &mut self.entries {
            if entry.relabel(&options) {
                next.note(name, Some(*id));
            }
        }
    }

    fn set(
        &mut self,
        next: &mut Update,
        name: &Namespace,
        (id, facts): (ReplicaId, &entry::Facts<'_>),
    ) {
        let Some(options) = self.options(name).cloned() else {
            return;
        };
        let known = self.entries.get(&id);
        if known.is_some_and(|known| known.agrees(facts)) {
            return;
        }
        let entry = Entry::new(facts, &options, (next.number, next.now));
        self.entries.insert(id, entry);
        next.note(name, Some(id));
    }
}

/// An update that is being made.
struct Update {
    number: u64,
    now: Timestamp,
    changed: Vec<(Namespace, Option<ReplicaId>)>,
}

impl Update {
    fn note(&mut self, namespace: &Namespace, replica: Option<ReplicaId>) {
        self.changed.push((namespace.clone(), replica));
    }
}
