//! What a coordinator needs to know to run, checked: configuration and flags become this once.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use paasta_common::config::{SystemConfig, TlsConfig};
use paasta_coordinator_core::{plan::observed::PlanSettings, state::departed::RemovalGuard};
use paasta_identity::{
    ClientCertificates, Files, Role, Tls,
    credentials::OwnCertificateError,
    tls::{OtherOwner, TlsError},
};
use paasta_process::{
    accept::Limits,
    http::{self, HttpAddressError, http_address},
    listen::{self, Cidr},
};

use crate::{
    leader::SMALL_REPLICAS,
    raft::{PlainDial, RaftOptions, TlsDial},
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
    pub http_listen: Option<SocketAddr>,
    /// Connections of gRPC: as configured, and no more than there are file descriptors for.
    pub connections: Limits,
    /// Connections of HTTP, for which there are file descriptors.
    pub http_room: usize,
    /// TLS of gRPC, with the files that it is from; plain text when absent.
    pub tls: Option<(Tls, Files)>,
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
    #[error("coordinator.listen takes coordinator.tls (docs/operate/tls.md)")]
    Refused(#[from] listen::ListenError),
    /// HTTP cannot be served there.
    #[error(transparent)]
    Http(#[from] HttpAddressError),
    /// TLS cannot be used.
    #[error("coordinator.tls cannot be used")]
    Tls(#[from] TlsError),
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
    pub fn new(mut system: SystemConfig, insecure: Option<Cidr>) -> Result<Self, OptionsError> {
        let node_id = system.coordinator.node_id.ok_or(OptionsError::NoNodeId)?;
        let listen = &system.coordinator.listen;
        let listen: SocketAddr = listen.parse().map_err(|_| OptionsError::Listen {
            value: listen.clone(),
        })?;
        let tls = match &system.coordinator.tls {
            Some(files) => Some(tls(&system, node_id, files)?),
            None => {
                listen::check_listen(listen, insecure)?;
                None
            }
        };
        if let (None, Some((tls, _))) = (&system.cluster, &tls) {
            // A certificate is of one cluster: this coordinator is in no other.
            system.cluster = Some(tls.identity().cluster().clone());
        }
        let ours = &system.coordinator;
        let http_listen = http_address("coordinator.http_listen", &ours.http_listen, insecure)?;
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
            None => Arc::new(PlainDial {
                insecure_test_network: insecure,
            }),
        };
        let plan = PlanSettings {
            lease_ms: ours.lease_ms,
            lost_after_ms: ours.lost_after_ms,
            mass_failure_percent: ours.mass_failure_percent,
            paced_percent: ours.paced_bounce_percent,
            ..PlanSettings::default()
        };
        let connections = Limits {
            total: ours.connections_max,
            per_address: ours.connections_per_address.min(ours.connections_max),
            handshake: HANDSHAKE,
            idle: Duration::from_secs(ours.connection_idle_seconds),
        };
        Ok(Self {
            connections,
            http_room: http::CONNECTIONS_MAX,
            listen,
            http_listen,
            tls,
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

/// TLS with the configured files, which must be this coordinator's own.
fn tls(
    system: &SystemConfig,
    node_id: u64,
    config: &TlsConfig,
) -> Result<(Tls, Files), OptionsError> {
    let files = Files::from(config);
    let tls = Tls::read(&files, ClientCertificates::Required)?;
    let cluster = system.cluster.as_ref();
    tls.check_owner(cluster, Role::Coordinator, &node_id.to_string())
        .map_err(
            |OtherOwner { expected, found }| OptionsError::OtherIdentity { expected, found },
        )?;
    tls.credentials().check(SystemTime::now())?;
    Ok((tls, files))
}
