//! Builds the parts of a coordinator, joins them, and takes them down in order.

use std::{io, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use paasta_common::id::ClusterName;
use paasta_coordinator_core::plan::report::Report;
use paasta_identity::tls::Expiry;
use paasta_process::{
    clock::{Clock, SystemClock},
    http, private, shutdown,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, watch},
};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use crate::{
    alerts::Alerts,
    desired::Desired,
    http::Api,
    keeper::{Keeper, fetch::KeyFetcher},
    leader::{Leader, Leadership},
    logs::broker::LogBroker,
    machine::ClusterMachine,
    metrics::Metrics,
    observations::Observations,
    options::Options,
    peers::Peers,
    propose::Proposer,
    raft::{ClusterClock, Consensus, RaftError, RaftOptions},
    renewing,
    rpc::{
        admin::AdminService,
        agents::AgentsService,
        authority::AuthorityService,
        bounces::BouncesService,
        cluster::ClusterService,
        connections::Connections,
        deploys::DeploysService,
        follow::Followers,
        gate::Gate,
        joining::{JoinRate, JoiningService, Nonces},
        logs::{LogsService, READERS_MAX},
        looks::Looks,
        members::MembersService,
        operate::OperateService,
        revocations::RevocationsService,
        rights::Rights,
        server::{ServeError, Services, bind, serve},
        settings::SettingsService,
        snapshots::SnapshotsService,
        tokens::TokensService,
    },
    sessions::Sessions,
    space::{Rooms, SpaceWatch},
};

/// Free bytes without which a coordinator does not start: its log grows by segments of 8 MiB.
const START_BYTES: u64 = 16 << 20;

/// Why a coordinator ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Consensus or its storage.
    #[error(transparent)]
    Raft(#[from] RaftError),
    /// Consensus ended by itself and does not begin again in this process.
    #[error("consensus has ended on this coordinator: {why}; it must be started again")]
    Ended {
        /// What it ended with.
        why: String,
    },
    /// There is no room for the log.
    #[error(
        "{} has {free_mib} MiB free, less than the {} MiB that a coordinator needs to start: make room, it starts by itself then",
        dir.display(), START_BYTES >> 20
    )]
    NoRoom {
        /// The data directory.
        dir: PathBuf,
        /// How much is free.
        free_mib: u64,
    },
    /// The gRPC endpoint.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The data directory is of another cluster than the configuration.
    #[error(
        "the configuration names cluster {configured}, and the data directory {dir} is of cluster {stored}: correct `cluster`, or name the data directory of this cluster"
    )]
    OtherCluster {
        /// By the configuration.
        configured: ClusterName,
        /// By the state in the data directory.
        stored: ClusterName,
        /// The data directory.
        dir: String,
    },
    /// The HTTP endpoint.
    #[error(transparent)]
    Http(#[from] http::BindError),
    /// The data directory cannot be made.
    #[error("cannot create coordinator.data_dir {path}")]
    DataDir {
        /// The directory.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl RunError {
    /// Whether starting the coordinator again cannot help: a person has to look.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Raft(RaftError::Damaged(_) | RaftError::Options(_)) => true,
            Self::Raft(RaftError::Store(error)) => error.is_final(),
            _ => false,
        }
    }
}

/// Runs a coordinator until `shutdown`.
///
/// # Errors
/// [`RunError`] when it cannot start, or its endpoint fails.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), RunError> {
    // On the heap: it holds every part of the coordinator.
    Box::pin(run_to_the_end(options, shutdown)).await
}

async fn run_to_the_end(options: Options, shutdown: CancellationToken) -> Result<(), RunError> {
    let data_dir = options.raft.data_dir.clone();
    private::own(&data_dir, &[]).map_err(|source| RunError::DataDir {
        path: data_dir.display().to_string(),
        source,
    })?;
    let listener = bind(options.listen).await?;
    let http = match options.http_listen {
        Some(address) => Some(http::bind(address).await?),
        None => None,
    };
    let http_listen = http.as_ref().and_then(|http| http.local_addr().ok());
    tracing::info!(listen = %options.listen, ?http_listen, "coordinator runs");
    let (limits, http_room) = (options.connections, options.http_room);
    let (tls, renews) = (options.tls.clone(), options.keeper.is_used());
    let coordinator = Coordinator::start(options, Arc::new(SystemClock), shutdown.clone()).await?;
    let metrics = coordinator.leader.metrics.clone();
    let counts = metrics.connections().clone();
    let renewing = tls.clone().filter(|_| renews).map(|own| {
        let consensus = coordinator.services.consensus.clone();
        renewing::start(own, metrics.meters(), consensus)
    });
    let following = tls.clone().map(|(tls, files)| {
        let expiry = Expiry::new(metrics.meters(), &tls);
        tokio::spawn(async move { tls.follow(files, expiry).await })
    });
    let secure = tls.map(|(tls, _)| (tls, metrics.handshakes().clone()));
    let incoming = Connections::new(listener, limits, &counts, secure);
    let sweeping = incoming
        .peers()
        .map(|peers| tokio::spawn(peers.sweep(coordinator.services.rights.clone())));
    let mut api = coordinator.api();
    api.connections.push(incoming.open());
    let reading = async {
        if let Some(listener) = http {
            let acceptor = http::acceptor(listener, http_room, &counts);
            api.connections.push(acceptor.open());
            http::serve(acceptor, api.router(), shutdown).await;
        }
    };
    let beating = tokio::spawn(metrics.beat());
    let (served, ()) = tokio::join!(Box::pin(coordinator.serve(incoming)), reading);
    for task in [following, sweeping, renewing].into_iter().flatten() {
        task.abort();
    }
    beating.abort();
    served
}

/// Runs a coordinator on connections and a clock that are given: what a simulation needs. How
/// peers are dialled and who waits for the disk is in `options.raft`.
///
/// # Errors
/// [`RunError`] when it cannot start, or its endpoint fails.
pub async fn run_on<I, C>(
    options: Options,
    clock: Arc<dyn Clock>,
    incoming: I,
    shutdown: CancellationToken,
) -> Result<(), RunError>
where
    I: Stream<Item = io::Result<C>>,
    C: Connected + AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let coordinator = Coordinator::start(options, clock, shutdown).await?;
    coordinator.serve(incoming).await
}

/// A coordinator that takes part in consensus and does not serve yet: between the two a simulation
/// takes hold of its parts.
pub struct Coordinator {
    /// What leads, with everything it works with.
    pub leader: Leader,
    services: Services,
    configured: Option<ClusterName>,
    dir: String,
    space: SpaceWatch,
    key: KeyFetcher,
    shutdown: CancellationToken,
}

impl Coordinator {
    /// What it says over HTTP.
    pub fn api(&self) -> Api {
        Api {
            admin: self.services.admin.clone(),
            deploys: self.services.deploys.clone(),
            metrics: self.leader.metrics.clone(),
            connections: Vec::new(),
        }
    }

    /// Opens its store and joins whatever cluster that belongs to.
    ///
    /// # Errors
    /// [`RunError::Raft`] when it cannot.
    pub async fn start(
        options: Options,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Result<Self, RunError> {
        check_room(&options.raft)?;
        let machine = ClusterMachine::watched(options.watched.clone());
        let metrics = Metrics::new();
        // Everything that is dated here is dated by the cluster's time.
        let cluster_clock = ClusterClock::new(clock);
        let clock: Arc<dyn Clock> = Arc::new(cluster_clock.clone());
        let raft = RaftOptions {
            clock: cluster_clock.clone(),
            flush_timer: metrics.flush_timer(),
            refusals: Some(metrics.refusals().clone()),
            ..options.raft.clone()
        };
        let rooms = Rooms::new(raft.data_dir.clone(), raft.volume.clone(), raft.io);
        let consensus = Consensus::start(raft, Arc::new(machine.clone())).await?;
        let proposer = Proposer::new(
            consensus.clone(),
            Arc::clone(&clock),
            &format!("coordinator {}", options.raft.node_id),
        )
        .counted(metrics)
        .within(rooms.clone());
        let configured = options.system.cluster.clone();
        let dir = options.raft.data_dir.display().to_string();
        let space = SpaceWatch {
            rooms,
            consensus,
            peers: Peers::new(Arc::clone(&options.raft.dial), options.raft.keepalive),
            machine: machine.clone(),
            proposer: proposer.clone(),
        };
        let key = KeyFetcher {
            keeper: options.keeper.clone(),
            machine: machine.clone(),
            consensus: space.consensus.clone(),
            peers: space.peers.clone(),
        };
        let (leader, services) = build(options, clock, machine, proposer, &space.rooms, &shutdown);
        Ok(Self {
            leader,
            services,
            configured,
            dir,
            space,
            key,
            shutdown,
        })
    }

    /// Leads when it is elected and serves on `incoming`, until it is told to stop.
    ///
    /// # Errors
    /// [`RunError::Serve`] when its endpoint fails.
    pub async fn serve<I, C>(self, incoming: I) -> Result<(), RunError>
    where
        I: Stream<Item = io::Result<C>>,
        C: Connected + AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shutdown = self.shutdown;
        let checking = check_cluster(
            self.leader.machine.clone(),
            self.configured,
            self.dir,
            shutdown.clone(),
        );
        let consensus = self.leader.consensus.clone();
        let counting = self.leader.metrics.clone().follow(consensus.watch());
        let counting = tokio::spawn(counting);
        shutdown::ready();
        let leading = self.leader.run(shutdown.clone());
        let watching = self.space.follow(shutdown.clone());
        let fetching = self.key.run(shutdown.clone());
        let serving = async {
            let result = serve(incoming, self.services, shutdown.clone()).await;
            shutdown.cancel();
            result
        };
        let ending = async {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => None,
                why = consensus.failed() => {
                    tracing::error!(why, "consensus has ended: this coordinator ends too");
                    shutdown.cancel();
                    Some(why)
                }
            }
        };
        let ((), (), (), served, ended, checked) =
            tokio::join!(leading, watching, fetching, serving, ending, checking);
        counting.abort();
        consensus.shutdown().await;
        match ended {
            Some(why) => Err(RunError::Ended { why }),
            None => {
                checked?;
                served.map_err(RunError::from)
            }
        }
    }
}

/// A store must not be opened where nothing can be written: what is begun there and not ended may
/// look like damage.
fn check_room(raft: &RaftOptions) -> Result<(), RunError> {
    let dir = raft.data_dir.clone();
    // A directory that does not exist yet is made by the store, or its error is told there.
    let Ok(space) = raft.volume.space(&dir) else {
        return Ok(());
    };
    match space.total > 0 && space.free < START_BYTES.min(space.total / 4) {
        true => Err(RunError::NoRoom {
            dir,
            free_mib: space.free >> 20,
        }),
        false => Ok(()),
    }
}

/// Waits for the name of the cluster in the replicated state, and ends the coordinator if its
/// configuration names another one.
async fn check_cluster(
    machine: ClusterMachine,
    configured: Option<ClusterName>,
    dir: String,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let Some(configured) = configured else {
        return Ok(());
    };
    let mut applied = machine.watch();
    loop {
        applied.borrow_and_update();
        let stored = machine.read().cluster().map(|cluster| cluster.name.clone());
        match stored {
            Some(stored) if stored == configured => return Ok(()),
            Some(stored) => {
                shutdown.cancel();
                return Err(RunError::OtherCluster {
                    configured,
                    stored,
                    dir,
                });
            }
            None => {}
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            changed = applied.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

fn leader(
    options: &Options,
    leadership: watch::Sender<Option<Leadership>>,
    machine: &ClusterMachine,
    proposer: &Proposer,
    peers: &Peers,
) -> Leader {
    let report = Arc::new(ArcSwap::from_pointee(Report::default()));
    let (machine, proposer) = (machine.clone(), proposer.clone());
    Leader {
        consensus: proposer.consensus().clone(),
        metrics: proposer.metrics().clone(),
        observations: Observations::new(options.plan),
        report: Arc::clone(&report),
        leadership: Arc::new(leadership),
        desired: Desired::new(machine.clone(), proposer.clone(), peers.clone(), options),
        alerts: Alerts::new(machine.clone(), proposer.clone(), report, options),
        small_replicas: options.small_replicas,
        watched: options.watched.clone(),
        machine,
        proposer,
    }
}

fn build(
    options: Options,
    clock: Arc<dyn Clock>,
    machine: ClusterMachine,
    proposer: Proposer,
    rooms: &Rooms,
    shutdown: &CancellationToken,
) -> (Leader, Services) {
    let consensus = proposer.consensus().clone();
    let peers = Peers::new(Arc::clone(&options.raft.dial), options.raft.keepalive);
    let looks = Looks::new(options.raft.io);
    let gate = Gate::new(consensus.clone(), peers.clone(), looks);
    let (leadership, led) = watch::channel(None);
    let leader = leader(&options, leadership, &machine, &proposer, &peers);
    let sessions = sessions(&options, &clock, &leader, shutdown);
    let admin = AdminService {
        gate: gate.clone(),
        consensus: consensus.clone(),
        machine: machine.clone(),
        observations: leader.observations.clone(),
        report: Arc::clone(&leader.report),
        desired: leader.desired.clone(),
        clock,
        followers: Followers::new(shutdown.clone()),
        rooms: rooms.clone(),
    };
    let logs = LogsService {
        admin: admin.clone(),
        broker: sessions.logs.clone(),
        leadership: led.clone(),
        shutdown: shutdown.clone(),
        places: Arc::new(Semaphore::new(READERS_MAX)),
    };
    let (operate, bounces, deploys, settings) = acting(&admin, &proposer);
    let secure = options.tls.is_some();
    let members = members(&admin, secure.then(|| proposer.clone()));
    let revocations = revocations(&admin, &proposer);
    let snapshots = SnapshotsService::new(
        gate.clone(),
        consensus.clone(),
        machine.clone(),
        Arc::clone(&sessions.clock),
        shutdown.clone(),
    );
    let (joining, tokens, authority) = identities(&admin, &proposer, &options.keeper);
    let cluster = ClusterService {
        consensus: consensus.clone(),
        machine,
        address: options.raft.address,
        proposer,
        peers,
        configured: options.system.cluster,
        rooms: rooms.clone(),
    };
    let rights = rights(secure, &leader);
    let services = Services {
        consensus: consensus.clone(),
        agents: AgentsService::new(gate, sessions, led),
        admin,
        logs,
        cluster,
        members,
        operate,
        bounces,
        deploys,
        settings,
        snapshots,
        revocations,
        rights,
        joining,
        tokens,
        authority,
    };
    (leader, services)
}

fn sessions(
    options: &Options,
    clock: &Arc<dyn Clock>,
    leader: &Leader,
    shutdown: &CancellationToken,
) -> Sessions {
    Sessions {
        machine: leader.machine.clone(),
        observations: leader.observations.clone(),
        proposer: leader.proposer.clone(),
        clock: Arc::clone(clock),
        lease_ms: options.plan.lease_ms,
        logs: LogBroker::default(),
        shutdown: shutdown.clone(),
        turns: Arc::default(),
    }
}

fn members(admin: &AdminService, revoker: Option<Proposer>) -> MembersService {
    MembersService {
        gate: admin.gate.clone(),
        consensus: admin.consensus.clone(),
        machine: admin.machine.clone(),
        revoker,
    }
}

/// Judges the other ends of connections.
fn rights(secure: bool, leader: &Leader) -> Rights {
    Rights::new(
        secure,
        leader.machine.clone(),
        leader.consensus.clone(),
        leader.metrics.refusals().clone(),
    )
}

/// The service by which operators take rights away.
fn revocations(admin: &AdminService, proposer: &Proposer) -> RevocationsService {
    RevocationsService {
        admin: admin.clone(),
        proposer: proposer.clone(),
    }
}

/// The services by which programs and persons get their identities.
fn identities(
    admin: &AdminService,
    proposer: &Proposer,
    keeper: &Keeper,
) -> (JoiningService, TokensService, AuthorityService) {
    let joining = JoiningService {
        gate: admin.gate.clone(),
        consensus: admin.consensus.clone(),
        machine: admin.machine.clone(),
        proposer: proposer.clone(),
        keeper: keeper.clone(),
        nonces: Nonces::default(),
        rate: JoinRate::default(),
    };
    let tokens = TokensService {
        gate: admin.gate.clone(),
        machine: admin.machine.clone(),
        proposer: proposer.clone(),
        keeper: keeper.clone(),
    };
    let authority = AuthorityService {
        consensus: admin.consensus.clone(),
        keeper: keeper.clone(),
    };
    (joining, tokens, authority)
}

/// The services by which people change something: each sees what reading sees.
fn acting(
    admin: &AdminService,
    proposer: &Proposer,
) -> (
    OperateService,
    BouncesService,
    DeploysService,
    SettingsService,
) {
    let operate = OperateService {
        admin: admin.clone(),
        proposer: proposer.clone(),
    };
    let bounces = BouncesService {
        admin: admin.clone(),
        proposer: proposer.clone(),
    };
    let deploys = DeploysService {
        admin: admin.clone(),
        proposer: proposer.clone(),
    };
    let settings = SettingsService {
        admin: admin.clone(),
        proposer: proposer.clone(),
    };
    (operate, bounces, deploys, settings)
}
