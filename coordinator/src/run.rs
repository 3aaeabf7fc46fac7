//! Builds the parts of a coordinator, joins them, and takes them down in order.

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use paasta_coordinator_core::plan::report::Report;
use paasta_process::{
    clock::{Clock, SystemClock},
    shutdown,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    desired::Desired,
    leader::Leader,
    machine::ClusterMachine,
    observations::Observations,
    options::Options,
    propose::Proposer,
    raft::{Consensus, RaftError},
    rpc::{
        admin::AdminService,
        agents::AgentsService,
        cluster::ClusterService,
        gate::Gate,
        peers::Peers,
        server::{ServeError, Services, bind, serve},
    },
    sessions::Sessions,
};

/// Why a coordinator ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Consensus or its storage.
    #[error(transparent)]
    Raft(#[from] RaftError),
    /// The gRPC endpoint.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Runs a coordinator until `shutdown`.
///
/// # Errors
/// [`RunError`] when it cannot start, or its endpoint fails.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), RunError> {
    let listen: SocketAddr = options.listen;
    let listener = bind(listen).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let name = format!("coordinator {}", options.raft.node_id);
    let address = options.raft.address.clone();
    let machine = ClusterMachine::new();
    let consensus = Consensus::start(options.raft, Arc::new(machine.clone())).await?;
    let proposer = Proposer::new(consensus.clone(), Arc::clone(&clock), &name);
    let lease_ms = options.plan.lease_ms;
    let observations = Observations::new(options.plan);
    let desired = Desired::new(
        machine.clone(),
        proposer.clone(),
        options.system.clone(),
        options.soa_dir,
        options.resync,
    );
    let report = Arc::new(ArcSwap::from_pointee(Report::default()));
    let (leadership, led) = watch::channel(None);
    let leader = Leader {
        consensus: consensus.clone(),
        machine: machine.clone(),
        observations: observations.clone(),
        proposer: proposer.clone(),
        report: Arc::clone(&report),
        leadership: Arc::new(leadership),
        desired: desired.clone(),
    };
    let peers = Peers::default();
    let gate = Gate::new(consensus.clone(), peers.clone());
    let sessions = Sessions {
        machine: machine.clone(),
        observations: observations.clone(),
        proposer: proposer.clone(),
        clock: Arc::clone(&clock),
        lease_ms,
        shutdown: shutdown.clone(),
    };
    let services = Services {
        consensus: consensus.clone(),
        agents: AgentsService::new(gate.clone(), sessions, led),
        admin: AdminService {
            gate,
            consensus: consensus.clone(),
            machine: machine.clone(),
            observations,
            report,
            desired,
            clock,
        },
        cluster: ClusterService {
            consensus: consensus.clone(),
            machine,
            address,
            proposer,
            peers,
            configured: options.system.cluster.clone(),
        },
    };
    tracing::info!(%listen, "coordinator runs");
    shutdown::ready();
    let leading = leader.run(shutdown.clone());
    let serving = async {
        let result = serve(listener, services, shutdown.clone()).await;
        shutdown.cancel();
        result
    };
    let ((), served) = tokio::join!(leading, serving);
    consensus.shutdown().await;
    served.map_err(RunError::from)
}
