//! What there is on the hosts, and what is taken of it. What a host has is what its agent says; what
//! may be given out of that is the operator's word, by pool.

use std::{collections::BTreeSet, iter::Peekable};

use paasta_common::{
    app::Resources,
    host::HostInfo,
    id::HostId,
    overcommit::{Overcommit, Pools},
};

use super::{ClusterState, host::Host};

/// What may be given out on a host, and what was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Room {
    /// What may be given out.
    pub(crate) all: Resources,
    /// By what that differs from what the host has.
    pub(crate) overcommit: Overcommit,
    pub(crate) used: Resources,
    /// The static ports that are taken.
    pub(crate) ports: BTreeSet<u16>,
}

/// Walks another list, ordered by host id as well, up to this host, and takes what it has there.
/// Names that are equal mostly share their text, so that is asked first: then none of it is read,
/// which over ten thousand hosts is most of the cost.
pub(crate) fn in_step<'a, T>(
    others: &mut Peekable<impl Iterator<Item = T>>,
    id: &HostId,
    name: impl Fn(&T) -> &'a HostId,
) -> Option<T> {
    while let Some(other) = others.peek() {
        if name(other) == id {
            return others.next();
        }
        if name(other) > id {
            break;
        }
        others.next();
    }
    None
}

impl ClusterState {
    /// How much of what their hosts have the pools give out; those that give exactly that are left
    /// out.
    pub fn pools(&self) -> &Pools {
        &self.tables.pools
    }

    /// The factors of a pool.
    pub fn overcommit(&self, pool: &str) -> Overcommit {
        self.tables.pools.get(pool).copied().unwrap_or_default()
    }

    /// What may be given out on a host.
    pub fn allocatable(&self, host: &HostInfo) -> Resources {
        self.overcommit(&host.pool).of(host.capacity)
    }

    /// Whether more is given out on a host than may be, as after an overcommit was lowered.
    pub fn is_overfull(&self, id: &HostId) -> bool {
        let (Some(host), used) = (self.host(id), self.used_on(id)) else {
            return false;
        };
        let all = self.allocatable(&host.info);
        used.cpus_milli > all.cpus_milli
            || used.mem_mb > all.mem_mb
            || used.disk_mb > all.disk_mb
            || used.gpus > all.gpus
    }

    /// Every host with its room, by id, in one walk.
    pub(crate) fn hosts_and_room(&self) -> impl Iterator<Item = (&HostId, &Host, Room)> {
        let mut used = self.index.use_of_hosts().peekable();
        self.tables.hosts.iter().map(move |(id, host)| {
            let overcommit = match self.tables.pools.is_empty() {
                true => Overcommit::default(),
                false => self.overcommit(&host.info.pool),
            };
            let mut room = Room {
                all: overcommit.of(host.info.capacity),
                overcommit,
                ..Room::default()
            };
            if let Some((_, used, ports)) = in_step(&mut used, id, |(other, ..)| other) {
                (room.used, room.ports) = (used, ports.collect());
            }
            (id, host, room)
        })
    }
}
