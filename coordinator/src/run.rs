//! Builds the parts of a coordinator, joins them, and takes them down in order.

mod parts;

use std::{io, path::PathBuf, sync::Arc};

use futures_util::stream;
use paasta_common::id::ClusterName;
use paasta_identity::{
    tls::Expiry,
    web::{Door, Endpoint},
};
use paasta_process::{
    clock::{Clock, SystemClock},
    http::BindError,
    private, shutdown,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use crate::{
    audit::Audit,
    dashboard::Live,
    http::{self, Api},
    keeper::fetch::KeyFetcher,
    leader::Leader,
    machine::ClusterMachine,
    metrics::Metrics,
    options::Options,
    peers::Peers,
    propose::Proposer,
    raft::{ClusterClock, Consensus, RaftError, RaftOptions},
    renewing,
    rpc::{
        connections::Connections,
        guard::Guard,
        local,
        server::{ServeError, Services, bind, serve},
    },
    space::{Rooms, SpaceWatch},
    store::IoMode,
};
use parts::{About, build};

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
    Http(#[from] BindError),
    /// The audit log cannot be begun.
    #[error("cannot start the thread that writes the audit log")]
    Audit {
        /// Why.
        #[source]
        source: io::Error,
    },
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
        Some(at) => {
            let tls = options.tls.as_ref().map(|(tls, _)| tls.clone());
            let tokens = options.http_tokens.clone();
            Some(Endpoint::bind(at, options.http_room, tls, tokens).await?)
        }
        None => None,
    };
    let http_listen = http
        .as_ref()
        .and_then(|http| http.listener.local_addr().ok());
    tracing::info!(listen = %options.listen, ?http_listen, "coordinator runs");
    let local = local::connections(&options.local);
    let limits = options.connections;
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
    let incoming = stream::select(incoming, local);
    let reading = async {
        if let Some(http) = http {
            http::serve(http, api, shutdown).await;
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
            door: Door::trusting(),
            rights: self.services.rights.clone(),
            live: Live::new(self.shutdown.clone()),
            tls: None,
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
        let (node, counts) = (raft.node_id, metrics.audit().clone());
        let refusals = metrics.refusals().clone();
        let audit = match raft.io {
            // A simulation has no files.
            IoMode::Inline => Audit::off(),
            IoMode::Threaded => {
                Audit::start(options.audit.clone(), node, Arc::clone(&clock), counts)
                    .map_err(|source| RunError::Audit { source })?
            }
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
        let guard = Guard::new(machine.clone(), Arc::clone(&clock), audit, refusals);
        let about = About {
            machine,
            proposer,
            guard,
        };
        let (leader, services) = build(options, clock, about, &space.rooms, &shutdown);
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
        let sweeping = tokio::spawn(self.services.guard.audit().clone().follow());
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
        sweeping.abort();
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
