//! What can be told from the tables but must be known at once: who is where, and what is taken
//! there. Never stored; kept in step by [`super::replicas`] and built anew on reading.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{
    app::{AppSpec, Resources},
    id::{AppId, HostId, InstanceId, ReplicaId},
};

use super::{Replica, Tables};

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Index {
    hosts: BTreeMap<HostId, OnHost>,
    instances: BTreeMap<InstanceId, BTreeSet<ReplicaId>>,
    apps: BTreeMap<AppId, u32>,
    /// The hosts by their generation: the log index at which their assignment was last changed.
    generations: BTreeMap<u64, BTreeSet<HostId>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct OnHost {
    replicas: BTreeSet<ReplicaId>,
    used: Resources,
    ports: BTreeMap<u16, u32>,
}

impl Index {
    pub(super) fn build(tables: &Tables) -> Self {
        let mut index = Self::default();
        for (id, replica) in &tables.replicas {
            if let Some(app) = tables.apps.get(&replica.app) {
                index.add(*id, replica, &app.spec);
            }
        }
        for (id, host) in &tables.hosts {
            index.generation(id, None, Some(host.generation));
        }
        index
    }

    /// The generation of a host is another one; none before it comes and after it goes.
    pub(super) fn generation(&mut self, host: &HostId, before: Option<u64>, after: Option<u64>) {
        if before == after {
            return;
        }
        let mut moved = None;
        if let Some(before) = before
            && let Some(hosts) = self.generations.get_mut(&before)
        {
            moved = hosts.take(host);
            if hosts.is_empty() {
                self.generations.remove(&before);
            }
        }
        if let Some(after) = after {
            let moved = moved.unwrap_or_else(|| host.clone());
            self.generations.entry(after).or_default().insert(moved);
        }
    }

    /// The hosts of a generation after this one.
    pub(super) fn later_than(&self, generation: u64) -> impl Iterator<Item = &HostId> {
        let later = self.generations.range(generation.saturating_add(1)..);
        later.flat_map(|(_, hosts)| hosts)
    }

    pub(super) fn add(&mut self, id: ReplicaId, replica: &Replica, spec: &AppSpec) {
        // Looked up before inserting, so that the key shares the name that is already there.
        match self.hosts.get_mut(&replica.host) {
            Some(host) => host.add(id, spec),
            None => self
                .hosts
                .entry(replica.host.clone())
                .or_default()
                .add(id, spec),
        }
        match self.instances.get_mut(&replica.instance) {
            Some(ids) => {
                ids.insert(id);
            }
            None => {
                self.instances
                    .insert(replica.instance.clone(), BTreeSet::from([id]));
            }
        }
        *self.apps.entry(replica.app.clone()).or_default() += 1;
    }

    pub(super) fn remove(&mut self, id: ReplicaId, replica: &Replica, spec: &AppSpec) {
        if let Some(host) = self.hosts.get_mut(&replica.host) {
            host.remove(id, spec);
            if host.replicas.is_empty() {
                self.hosts.remove(&replica.host);
            }
        }
        if let Some(ids) = self.instances.get_mut(&replica.instance) {
            ids.remove(&id);
            if ids.is_empty() {
                self.instances.remove(&replica.instance);
            }
        }
        if let Some(count) = self.apps.get_mut(&replica.app) {
            *count -= 1;
            if *count == 0 {
                self.apps.remove(&replica.app);
            }
        }
    }

    pub(super) fn on_host<'a>(
        &'a self,
        host: &HostId,
    ) -> impl Iterator<Item = ReplicaId> + use<'a> {
        self.hosts
            .get(host)
            .into_iter()
            .flat_map(|host| host.replicas.iter().copied())
    }

    pub(super) fn of_instance<'a>(
        &'a self,
        instance: &InstanceId,
    ) -> impl Iterator<Item = ReplicaId> + use<'a> {
        self.instances.get(instance).into_iter().flatten().copied()
    }

    pub(super) fn used_on(&self, host: &HostId) -> Resources {
        self.hosts
            .get(host)
            .map_or_else(Resources::default, |host| host.used)
    }

    pub(super) fn ports_on<'a>(&'a self, host: &HostId) -> impl Iterator<Item = u16> + use<'a> {
        self.hosts
            .get(host)
            .into_iter()
            .flat_map(|host| host.ports.keys().copied())
    }

    /// What is taken on every host that has replicas, by id.
    pub(super) fn use_of_hosts(
        &self,
    ) -> impl Iterator<Item = (&HostId, Resources, impl Iterator<Item = u16>)> {
        self.hosts
            .iter()
            .map(|(id, host)| (id, host.used, host.ports.keys().copied()))
    }

    pub(super) fn port_taken(&self, host: &HostId, port: u16) -> bool {
        self.hosts
            .get(host)
            .is_some_and(|host| host.ports.contains_key(&port))
    }

    /// The static ports that more than one replica of a host has: never, while all is well.
    pub(super) fn clashing_ports(&self) -> impl Iterator<Item = (&HostId, u16)> {
        self.hosts.iter().flat_map(|(id, host)| {
            let clashing = host.ports.iter().filter(|(_, count)| **count > 1);
            clashing.map(move |(port, _)| (id, *port))
        })
    }

    pub(super) fn app_in_use(&self, app: &AppId) -> bool {
        self.apps.contains_key(app)
    }
}

impl OnHost {
    fn add(&mut self, id: ReplicaId, spec: &AppSpec) {
        if self.replicas.insert(id) {
            self.used = self.used.plus(spec.resources);
            if spec.host_port != 0 {
                *self.ports.entry(spec.host_port).or_default() += 1;
            }
        }
    }

    fn remove(&mut self, id: ReplicaId, spec: &AppSpec) {
        if !self.replicas.remove(&id) {
            return;
        }
        self.used = self.used.minus(spec.resources);
        if let Some(count) = self.ports.get_mut(&spec.host_port) {
            *count -= 1;
            if *count == 0 {
                self.ports.remove(&spec.host_port);
            }
        }
    }
}
