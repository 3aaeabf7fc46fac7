//! What a coordinator needs to know to run, checked: configuration and flags become this once.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use paasta_common::{
    config::{CoordinatorConfig, SystemConfig},
    id::ClusterName,
};
use paasta_coordinator_core::{plan::observed::PlanSettings, state::departed::RemovalGuard};
use paasta_identity::{
    ClientCertificates, Files, Identity, IdentityDir, Role, Tls,
    credentials::OwnCertificateError,
    tls::{OtherOwner, TlsError},
};
use paasta_process::{
    accept::Limits,
    http::{self, HttpAddress, HttpAddressError, http_address},
    listen,
};

use crate::{
    audit::Place,
    keeper::{Keeper, KeeperError},
    leader::SMALL_REPLICAS,
    raft::{PlainDial, RaftOptions, TlsDial},
    rpc::local,
    witness::Watched,
};

/// How long a connection of gRPC may take to say what every client says first.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The options of one coordinator.
pub struct Options {
    /// The whole system configuration; the desired state is resolved with it.
    pub system: SystemConfig,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Where HTTP is served; nowhere when absent.
    pub http_listen: Option<HttpAddress>,
    /// The file of the bearer tokens of HTTP.
    pub http_tokens: Option<PathBuf>,
    /// Connections of gRPC: as configured, and no more than there are file descriptors for.
    pub connections: Limits,
    /// Connections of HTTP, for which there are file descriptors.
    pub http_room: usize,
    /// TLS of gRPC, with the files that it is from; plain text when absent.
    pub tls: Option<(Tls, Files)>,
    /// The authority's key; none where the operators make certificates themselves.
    pub keeper: Keeper,
    /// Consensus and storage.
    pub raft: RaftOptions,
    /// Leases and brakes.
    pub plan: PlanSettings,
    /// The yelpsoa-configs directory.
    pub soa_dir: PathBuf,
    /// Between two whole readings of it, at most.
    pub resync: Duration,
    /// How long an instance must be absent from the readings before it is removed, milliseconds.
    pub removal_patience_ms: u64,
    /// When removals are too many to be meant.
    pub removal_guard: RemovalGuard,
    /// Up to this many replicas everything is planned at each change.
    pub small_replicas: usize,
    /// Where the local socket is.
    pub local: local::Place,
    /// Where the audit log is, and how much of it is kept.
    pub audit: Place,
    /// Who looks on; nobody, but in a simulation.
    pub watched: Watched,
}

/// An option that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The coordinator has no id.
    #[error(
        "coordinator.node_id is not set; give each coordinator a number of its own from 1, in the configuration or with --node-id"
    )]
    NoNodeId,
    /// The listening address is not one.
    #[error("coordinator.listen: {value:?} is not an address; expected IP:PORT")]
    Listen {
        /// The text.
        value: String,
    },
    /// Listening there is not allowed.
    #[error(
        "coordinator.listen takes a certificate: `paasta-coordinator init` makes one for a new cluster, `paasta-coordinator join` gets one of a cluster, or coordinator.tls names one (docs/operate/tls.md)"
    )]
    Refused(#[from] listen::ListenError),
    /// HTTP cannot be served there.
    #[error(transparent)]
    Http(#[from] HttpAddressError),
    /// TLS cannot be used.
    #[error("coordinator.tls cannot be used")]
    Tls(#[from] TlsError),
    /// The authority's key cannot be used.
    #[error("the authority's key in coordinator.identity_dir cannot be used")]
    Keeper(#[from] KeeperError),
    /// The certificate would be refused by every other coordinator.
    #[error("coordinator.tls cannot be used")]
    Certificate(#[from] Box<OwnCertificateError>),
    /// The certificate is another's.
    #[error(
        "coordinator.tls.certificate is that of {found}, and this is {expected}: give each coordinator a certificate of its own, or correct `cluster` or coordinator.node_id"
    )]
    OtherIdentity {
        /// The identity in the certificate.
        found: String,
        /// The identity that it must have.
        expected: String,
    },
}

impl Options {
    /// Checks the configuration.
    ///
    /// # Errors
    /// [`OptionsError`] names the key and what was expected.
    pub fn new(mut system: SystemConfig) -> Result<Self, OptionsError> {
        let secure = Secure::of(&system)?;
        if let Some(identity) = secure.identity() {
            // What the certificate says need not be said twice.
            system.cluster.get_or_insert(identity.cluster().clone());
        }
        let ours = &system.coordinator;
        let proven = secure.identity().and_then(|identity| identity.member());
        let node_id = ours.node_id.or(proven).ok_or(OptionsError::NoNodeId)?;
        let listen: SocketAddr = ours.listen.parse().map_err(|_| OptionsError::Listen {
            value: ours.listen.clone(),
        })?;
        let Secure { tls, keeper } = secure;
        match &tls {
            Some((tls, _)) => check_owner(tls, system.cluster.as_ref(), node_id)?,
            None => listen::check_listen(listen)?,
        }
        let (key, address) = ("coordinator.http_listen", &ours.http_listen);
        let http_listen = http_address(key, address, tls.is_some())?;
        let mut raft = RaftOptions {
            heartbeat_ms: ours.heartbeat_ms,
            election_timeout_min_ms: ours.election_timeout_min_ms,
            election_timeout_max_ms: ours.election_timeout_max_ms,
            snapshot_every: ours.snapshot_every,
            cluster_name: system.cluster.as_ref().map(ToString::to_string),
            ..RaftOptions::new(node_id, &ours.advertise, &ours.data_dir)
        };
        raft.dial = match &tls {
            Some((tls, _)) => Arc::new(TlsDial(tls.clone())),
            None => Arc::new(PlainDial),
        };
        let plan = PlanSettings {
            lease_ms: ours.lease_ms,
            lost_after_ms: ours.lost_after_ms,
            mass_failure_percent: ours.mass_failure_percent,
            paced_percent: ours.paced_bounce_percent,
            ..PlanSettings::default()
        };
        Ok(Self {
            connections: connections(ours),
            http_room: http::CONNECTIONS_MAX,
            listen,
            http_listen,
            http_tokens: ours.http_tokens_file.as_ref().map(PathBuf::from),
            tls,
            keeper,
            raft,
            plan,
            soa_dir: PathBuf::from(&system.soa_dir),
            resync: Duration::from_secs(ours.resync_seconds),
            removal_patience_ms: ours.removal_patience_ms,
            removal_guard: RemovalGuard {
                percent: ours.removal_guard_percent,
                window_ms: ours.removal_guard_minutes * 60_000,
                per_minute_milli: ours.removal_guard_per_minute_milli,
            },
            local: local::Place {
                dir: PathBuf::from(&ours.run_dir),
                group: ours.admin_group.clone(),
            },
            audit: audit(ours),
            system,
            small_replicas: SMALL_REPLICAS,
            watched: Watched::default(),
        })
    }

    /// The same, with no more connections than `room` of file descriptors: a quarter of them, at
    /// most, for HTTP.
    #[must_use]
    pub fn within(mut self, room: usize) -> Self {
        self.http_room = self.http_room.min((room / 4).max(1));
        let total = room.saturating_sub(self.http_room).max(1);
        self.connections.total = self.connections.total.min(total);
        self.connections.per_address = self.connections.per_address.min(self.connections.total);
        self
    }
}

/// How long certificates are valid at most, in seconds, where that is to be shorter than usual: for
/// tests of renewal.
const LIFE_SECONDS: &str = "PAASTA_CERTIFICATE_LIFE_SECONDS";

fn longest() -> Option<Duration> {
    let seconds = std::env::var(LIFE_SECONDS).ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).max(Duration::from_secs(10)))
}

/// TLS of this coordinator, and the keeper of the authority's key.
struct Secure {
    tls: Option<(Tls, Files)>,
    keeper: Keeper,
}

impl Secure {
    /// By the configured files, or by the identity that `init` or `join` made. Strangers reach a
    /// coordinator of a cluster that makes its own certificates, to join it; what they may call is
    /// decided by call.
    fn of(system: &SystemConfig) -> Result<Self, OptionsError> {
        let ours = &system.coordinator;
        if let Some(config) = &ours.tls {
            let files = Files::from(config);
            let tls = Tls::read(&files, ClientCertificates::Required)?;
            return Ok(Self {
                tls: Some((tls, files)),
                keeper: Keeper::none(),
            });
        }
        let dir = IdentityDir::new(ours.identity_dir().as_ref());
        if !dir.is_complete() {
            return Ok(Self {
                tls: None,
                keeper: Keeper::none(),
            });
        }
        let files = dir.files();
        let tls = Tls::read(&files, ClientCertificates::Optional)?;
        Ok(Self {
            keeper: Keeper::open(&dir, tls.identity().cluster())?.at_most(longest()),
            tls: Some((tls, files)),
        })
    }

    fn identity(&self) -> Option<Identity> {
        self.tls.as_ref().map(|(tls, _)| tls.identity())
    }
}

/// The certificate must be this coordinator's own, and one that the others would take.
fn check_owner(tls: &Tls, cluster: Option<&ClusterName>, node_id: u64) -> Result<(), OptionsError> {
    tls.check_owner(cluster, Role::Coordinator, &node_id.to_string())
        .map_err(
            |OtherOwner { expected, found }| OptionsError::OtherIdentity { expected, found },
        )?;
    tls.credentials().check(SystemTime::now())?;
    Ok(())
}

/// The bounds on connections of the gRPC endpoint.
fn connections(ours: &CoordinatorConfig) -> Limits {
    Limits {
        total: ours.connections_max,
        per_address: ours.connections_per_address.min(ours.connections_max),
        handshake: HANDSHAKE,
        idle: Duration::from_secs(ours.connection_idle_seconds),
    }
}

/// Where the audit log is.
fn audit(ours: &CoordinatorConfig) -> Place {
    Place {
        dir: PathBuf::from(&ours.audit_dir),
        file_bytes: ours.audit_file_mib << 20,
        files: ours.audit_files,
    }
}
