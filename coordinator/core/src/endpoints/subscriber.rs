//! What is still to be sent to one host: first the whole set in parts, then what changed. Nothing
//! waits in a queue: a slow host gets fewer messages, each with the newest of everything, and one
//! that is too far behind gets the whole set again.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{
    endpoints::{
        EndpointUpdate, EndpointVersion, Extent, NamespaceUpdate, OptionsUpdate,
        PART_ENDPOINTS_MAX, PART_NAMESPACES_MAX,
    },
    host::HostInfo,
    id::ReplicaId,
    smartstack::Namespace,
};

use super::{Announced, Endpoints};

/// How far a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    epoch: u64,
    term: u64,
    at: At,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    /// It has nothing of this leader.
    Nothing,
    /// It gets the parts of a set that begins with this number. Whatever changes meanwhile is sent
    /// after it once more.
    Parts {
        number: u64,
        part: u32,
        after: (Namespace, Option<ReplicaId>),
    },
    /// It has all changes up to this number.
    Number(u64),
}

/// What fits into one message.
struct Room {
    endpoints: usize,
    namespaces: usize,
}

impl Subscriber {
    /// A host that has nothing of this leader yet.
    #[must_use]
    pub fn new(epoch: u64, term: u64) -> Self {
        Self {
            epoch,
            term,
            at: At::Nothing,
        }
    }

    /// The number up to which everything was sent; none while parts are missing.
    #[must_use]
    pub fn sent(&self) -> Option<u64> {
        match self.at {
            At::Number(number) => Some(number),
            At::Nothing | At::Parts { .. } => None,
        }
    }

    /// Whether there may be something to send.
    #[must_use]
    pub fn is_behind(&self, endpoints: &Endpoints) -> bool {
        endpoints.number() > 0 && self.sent() != Some(endpoints.number())
    }

    /// The next message for the host; none when it has everything that it may see.
    pub fn next(&mut self, endpoints: &Endpoints, client: &HostInfo) -> Option<EndpointUpdate> {
        if endpoints.number() == 0 {
            return None;
        }
        match &self.at {
            At::Nothing => self.part(endpoints, client, (endpoints.number(), 0, None)),
            At::Parts {
                number,
                part,
                after,
            } => {
                let (number, part, after) = (*number, *part, after.clone());
                self.part(endpoints, client, (number, part, Some(after)))
            }
            At::Number(number) => match self.changes(endpoints, client, *number) {
                None => {
                    self.at = At::Nothing;
                    self.next(endpoints, client)
                }
                Some(changes) => {
                    self.at = At::Number(endpoints.number());
                    changes
                }
            },
        }
    }

    fn version(&self, number: u64) -> EndpointVersion {
        EndpointVersion {
            epoch: self.epoch,
            term: self.term,
            number,
        }
    }

    fn part(
        &mut self,
        endpoints: &Endpoints,
        client: &HostInfo,
        (number, part, after): (u64, u32, Option<(Namespace, Option<ReplicaId>)>),
    ) -> Option<EndpointUpdate> {
        let mut room = Room {
            endpoints: PART_ENDPOINTS_MAX,
            namespaces: PART_NAMESPACES_MAX,
        };
        let mut namespaces = BTreeMap::new();
        let mut stopped = None;
        for (name, announced) in endpoints.namespaces() {
            let behind = after
                .as_ref()
                .is_some_and(|(last, id)| name < last || (name == last && id.is_none()));
            if behind {
                continue;
            }
            let from = after.as_ref().filter(|(last, _)| last == name);
            let from = from.and_then(|(_, id)| *id);
            let Some(options) = announced.options(name) else {
                continue;
            };
            let mut update = NamespaceUpdate {
                options: OptionsUpdate::Given(options.clone()),
                ..NamespaceUpdate::default()
            };
            let last = fill(&mut update, announced, (name, client), (from, &mut room));
            namespaces.insert(name.clone(), update);
            room.namespaces -= 1;
            stopped = match last {
                Some(id) => Some((name.clone(), Some(id))),
                None if room.namespaces == 0 || room.endpoints == 0 => Some((name.clone(), None)),
                None => None,
            };
            if stopped.is_some() {
                break;
            }
        }
        let more = stopped.is_some();
        self.at = match stopped {
            Some(after) => At::Parts {
                number,
                part: part + 1,
                after,
            },
            None => At::Number(number),
        };
        Some(EndpointUpdate {
            version: self.version(number),
            extent: Extent::Part { number: part, more },
            namespaces,
        })
    }

    /// The outer none when the log does not reach back so far, the inner one when nothing of it
    /// concerns the host.
    #[allow(clippy::option_option, reason = "both are answers")]
    fn changes(
        &self,
        endpoints: &Endpoints,
        client: &HostInfo,
        number: u64,
    ) -> Option<Option<EndpointUpdate>> {
        let mut changed: BTreeMap<&Namespace, (bool, BTreeSet<ReplicaId>)> = BTreeMap::new();
        for change in endpoints.changes_after(number)? {
            let (options, replicas) = changed.entry(&change.namespace).or_default();
            match change.replica {
                None => *options = true,
                Some(id) => {
                    replicas.insert(id);
                }
            }
        }
        let mut removed = Vec::new();
        let mut namespaces = BTreeMap::new();
        let mut size = 0;
        for (name, (options_changed, replicas)) in changed {
            let found = endpoints.namespaces.get(name);
            let known = found.and_then(|found| Some((found, found.options(name)?)));
            let Some((announced, options)) = known else {
                removed.push(name.clone());
                continue;
            };
            size += replicas.len();
            let mut update = NamespaceUpdate::default();
            if options_changed {
                update.options = OptionsUpdate::Given(options.clone());
            }
            for id in replicas {
                let entry = announced.entries.get(&id);
                let seen = entry.and_then(|one| Some((one, one.seen_from(client, options)?)));
                match seen {
                    Some((entry, sight)) => {
                        update.endpoints.insert(id, entry.endpoint(sight));
                    }
                    None => update.removed.push(id),
                }
            }
            namespaces.insert(name.clone(), update);
        }
        // Too much for one message: parts are bounded.
        if size > PART_ENDPOINTS_MAX || namespaces.len() > PART_NAMESPACES_MAX {
            return None;
        }
        if namespaces.is_empty() && removed.is_empty() {
            return Some(None);
        }
        Some(Some(EndpointUpdate {
            version: self.version(endpoints.number()),
            extent: Extent::Changes { removed },
            namespaces,
        }))
    }
}

/// Fills in what the host sees of a namespace after a replica, as far as there is room. Returns the
/// last replica when there was too little.
fn fill(
    update: &mut NamespaceUpdate,
    announced: &Announced,
    (name, client): (&Namespace, &HostInfo),
    (from, room): (Option<ReplicaId>, &mut Room),
) -> Option<ReplicaId> {
    let options = announced.options(name)?;
    let entries = announced.entries();
    let seen = entries
        .filter(|(id, _)| from.is_none_or(|from| *id > from))
        .filter_map(|(id, entry)| Some((id, entry, entry.seen_from(client, options)?)));
    let mut last = from;
    for (id, entry, sight) in seen {
        if room.endpoints == 0 {
            return last.or(Some(ReplicaId(0)));
        }
        update.endpoints.insert(id, entry.endpoint(sight));
        room.endpoints -= 1;
        last = Some(id);
    }
    None
}
