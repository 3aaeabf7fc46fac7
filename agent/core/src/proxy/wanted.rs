//! The servers that the load balancer is to have, by namespace.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use paasta_common::{
    endpoints::{Endpoint, EndpointSet, EndpointState},
    id::ReplicaId,
    smartstack::{Namespace, NamespaceOptions},
};

/// The heaviest weight of a server.
pub const WEIGHT_MAX: u16 = 256;

/// The end of the name of a server that is a backup.
const BACKUP: &str = "_backup";

/// Every namespace that clients on this host may use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The namespaces.
    pub namespaces: BTreeMap<Namespace, WantedNamespace>,
}

/// A namespace and its servers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WantedNamespace {
    /// What smartstack.yaml says of it.
    pub options: NamespaceOptions,
    /// Its servers.
    pub servers: BTreeMap<ReplicaId, Server>,
}

/// A replica as a server of the load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// Where it listens.
    pub at: SocketAddr,
    /// What the load balancer is to do with it.
    pub service: Service,
    /// Its share of the requests, 0 to [`WEIGHT_MAX`].
    pub weight: u16,
    /// Whether it is used only when no other server is up.
    pub backup: bool,
}

/// What the load balancer is to do with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// It gets requests.
    Up,
    /// It gets nothing new, and what it has is finished.
    Drain,
    /// It gets nothing: its health check fails.
    Down,
}

/// The name of a server inside HAProxy: the replica and where it listens, so that a replica with
/// another port is another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName {
    /// The replica.
    pub replica: ReplicaId,
    /// Where it listens.
    pub at: SocketAddr,
    /// Whether it is used only when no other server is up: HAProxy cannot change that.
    pub backup: bool,
}

/// A text that is not the name of a server of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a server of paasta: expected rREPLICA_ADDRESS_PORT[_backup]")]
pub struct NotOurs;

/// The servers of a set of endpoints. Also the replicas among them that have none, as their address
/// is no IP address.
pub fn wanted(set: &EndpointSet) -> (Wanted, BTreeSet<ReplicaId>) {
    let (mut wanted, mut unreachable) = (Wanted::default(), BTreeSet::new());
    for (name, one) in &set.namespaces {
        let mut servers = BTreeMap::new();
        for (replica, endpoint) in &one.endpoints {
            match server(endpoint) {
                Some(server) => drop(servers.insert(*replica, server)),
                None => drop(unreachable.insert(*replica)),
            }
        }
        let namespace = WantedNamespace {
            options: (*one.options).clone(),
            servers,
        };
        wanted.namespaces.insert(name.clone(), namespace);
    }
    (wanted, unreachable)
}

fn server(endpoint: &Endpoint) -> Option<Server> {
    let ip: IpAddr = endpoint.address.parse().ok()?;
    Some(Server {
        at: SocketAddr::new(ip, endpoint.port),
        service: match endpoint.state {
            EndpointState::Up => Service::Up,
            // A set that was received whole has none that is to be kept.
            EndpointState::Drain | EndpointState::Keep => Service::Drain,
            EndpointState::Down => Service::Down,
        },
        weight: endpoint.weight.min(WEIGHT_MAX),
        backup: endpoint.backup,
    })
}

impl Server {
    /// Its name.
    pub fn name(&self, replica: ReplicaId) -> ServerName {
        ServerName {
            replica,
            at: self.at,
            backup: self.backup,
        }
    }
}

impl WantedNamespace {
    /// The servers by their names.
    pub fn by_name(&self) -> impl Iterator<Item = (ServerName, &Server)> {
        let servers = self.servers.iter();
        servers.map(|(replica, server)| (server.name(*replica), server))
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.replica, self.at.ip(), self.at.port())?;
        f.write_str(if self.backup { BACKUP } else { "" })
    }
}

impl FromStr for ServerName {
    type Err = NotOurs;
    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let (text, backup) = match text.strip_suffix(BACKUP) {
            Some(text) => (text, true),
            None => (text, false),
        };
        let mut parts = text.splitn(3, '_');
        let mut next = || parts.next().ok_or(NotOurs);
        let replica = next()?.parse().map_err(|_| NotOurs)?;
        let ip = next()?.parse().map_err(|_| NotOurs)?;
        let port = next()?.parse().map_err(|_| NotOurs)?;
        let at = SocketAddr::new(ip, port);
        Ok(Self {
            replica,
            at,
            backup,
        })
    }
}
