//! The set of endpoints as a coordinator streams it: complete in parts, then changes. The last
//! whole set stays until another one is whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use paasta_common::{
    id::ReplicaId,
    smartstack::{Namespace, NamespaceOptions},
};

use super::wanted::{Server, Service, Wanted, WantedNamespace};

/// Namespaces of a set, at most.
pub const NAMESPACES_MAX: usize = 10_000;
/// Servers of a set, in all namespaces, at most.
pub const SERVERS_MAX: usize = 100_000;
/// Orders whose versions are remembered, at most.
const ORDERS_MAX: usize = 64;

/// Orders messages about endpoints: a recovery of the cluster, the term of the leader, and what
/// that leader counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Version {
    /// The recovery.
    pub epoch: u64,
    /// The term.
    pub term: u64,
    /// The count.
    pub number: u64,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// Its version.
    pub version: Version,
    /// Whether it is a part of a complete set, else changes.
    pub complete: bool,
    /// Which part of a complete set, from 0.
    pub part: u32,
    /// Whether another part follows.
    pub more: bool,
    /// Namespaces.
    pub namespaces: Vec<NamespacePart>,
    /// In changes: namespaces that are gone.
    pub removed: Vec<Namespace>,
}

/// What a message says of one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacePart {
    /// The namespace.
    pub name: Namespace,
    /// Its options; none in changes where they are as they were.
    pub options: Option<NamespaceOptions>,
    /// Its endpoints.
    pub endpoints: Vec<EndpointPart>,
    /// In changes: replicas that are no endpoints of it any more.
    pub removed: Vec<ReplicaId>,
}

/// What a message says of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointPart {
    /// The replica.
    pub replica: ReplicaId,
    /// Where it listens; none where the coordinator does not know.
    pub at: Option<SocketAddr>,
    /// What is to be done with it; none for what was done before.
    pub service: Option<Service>,
    /// Its share of the requests.
    pub weight: u16,
    /// Whether it is used only when no other is up.
    pub backup: bool,
}

/// Why a message is not used. The set stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A part is missing, or of another set.
    #[error(
        "part {found} of the endpoints of {version:?} is out of turn, expected part {expected}"
    )]
    OutOfTurn {
        /// Its version.
        version: Version,
        /// The part that came.
        found: u32,
        /// The part that should have come.
        expected: u32,
    },
    /// Changes without the set that they change.
    #[error("changes of the endpoints came before a complete set of their leader")]
    WithoutSet,
    /// A set that is too large.
    #[error(
        "the endpoints have more than {NAMESPACES_MAX} namespaces or {SERVERS_MAX} servers: the \
         last set stays in use"
    )]
    TooLarge,
}

/// What a host holds of the stream, across sessions.
#[derive(Debug, Clone, Default)]
pub struct Held {
    version: Option<Version>,
    wanted: Wanted,
    orders: u64,
    versions: BTreeMap<u64, Version>,
}

/// A complete set that is on its way, in one session.
#[derive(Debug, Clone, Default)]
pub struct Collecting {
    set: Option<(Version, u32, Wanted)>,
    /// A complete set came in this session: changes may follow.
    is_based: bool,
}

impl Held {
    /// Begins with the set of the agent before.
    pub fn new(last: Option<Wanted>) -> Self {
        Self {
            wanted: last.unwrap_or_default(),
            ..Self::default()
        }
    }

    /// The set.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The version of an order, as far as it is remembered.
    pub fn version_of(&self, order: u64) -> Option<Version> {
        self.versions.get(&order).copied()
    }

    /// Takes a message. Returns the number of the new order when the set is another one now.
    ///
    /// # Errors
    /// [`StreamError`] when the message does not fit; the session begins anew.
    pub fn take(
        &mut self,
        collecting: &mut Collecting,
        part: &Part,
    ) -> Result<Option<u64>, StreamError> {
        if part.complete {
            return self.complete(collecting, part);
        }
        let version = part.version;
        let same = |held: Version| (held.epoch, held.term) == (version.epoch, version.term);
        match self.version {
            Some(held) if collecting.is_based && same(held) && held < version => {}
            Some(held) if collecting.is_based && held >= version => return Ok(None),
            _ => return Err(StreamError::WithoutSet),
        }
        let mut wanted = self.wanted.clone();
        for name in &part.removed {
            wanted.namespaces.remove(name);
        }
        self.merge(&mut wanted, &part.namespaces);
        Self::bounded(&wanted)?;
        Ok(Some(self.becomes(version, wanted)))
    }

    fn complete(
        &mut self,
        collecting: &mut Collecting,
        part: &Part,
    ) -> Result<Option<u64>, StreamError> {
        let version = part.version;
        let expected = match &collecting.set {
            Some((collected, next, _)) if *collected == version => *next,
            _ => 0,
        };
        // A set that begins anew replaces what there was of one before.
        if part.part != expected && part.part != 0 {
            collecting.set = None;
            return Err(StreamError::OutOfTurn {
                version,
                found: part.part,
                expected,
            });
        }
        let mut set = match collecting.set.take() {
            Some((_, _, set)) if part.part != 0 => set,
            _ => Wanted::default(),
        };
        self.merge(&mut set, &part.namespaces);
        Self::bounded(&set)?;
        if part.more {
            collecting.set = Some((version, part.part.saturating_add(1), set));
            return Ok(None);
        }
        collecting.is_based = true;
        // A leader of before may still send what is older.
        if self.version.is_some_and(|held| held > version) {
            return Ok(None);
        }
        Ok(Some(self.becomes(version, set)))
    }

    fn becomes(&mut self, version: Version, wanted: Wanted) -> u64 {
        self.version = Some(version);
        self.wanted = wanted;
        self.orders += 1;
        self.versions.insert(self.orders, version);
        while self.versions.len() > ORDERS_MAX {
            self.versions.pop_first();
        }
        self.orders
    }

    /// Lays what a message says over a set; what it leaves open is as in the set of before.
    fn merge(&self, set: &mut Wanted, parts: &[NamespacePart]) {
        for part in parts {
            let before = self.wanted.namespaces.get(&part.name);
            let namespace = set.namespaces.entry(part.name.clone());
            let namespace = namespace.or_insert_with(|| WantedNamespace {
                options: before.map(|one| one.options.clone()).unwrap_or_default(),
                servers: BTreeMap::new(),
            });
            if let Some(options) = &part.options {
                namespace.options = options.clone();
            }
            let removed: BTreeSet<ReplicaId> = part.removed.iter().copied().collect();
            namespace.servers.retain(|id, _| !removed.contains(id));
            for endpoint in &part.endpoints {
                let known = before.and_then(|one| one.servers.get(&endpoint.replica));
                let at = endpoint.at.or(known.map(|known| known.at));
                let service = endpoint.service.or(known.map(|known| known.service));
                if let (Some(at), Some(service)) = (at, service) {
                    let server = Server {
                        at,
                        service,
                        weight: endpoint.weight.min(super::wanted::WEIGHT_MAX),
                        backup: endpoint.backup,
                    };
                    namespace.servers.insert(endpoint.replica, server);
                }
            }
        }
    }

    fn bounded(wanted: &Wanted) -> Result<(), StreamError> {
        let servers = wanted.namespaces.values().map(|one| one.servers.len());
        match wanted.namespaces.len() > NAMESPACES_MAX || servers.sum::<usize>() > SERVERS_MAX {
            true => Err(StreamError::TooLarge),
            false => Ok(()),
        }
    }
}
