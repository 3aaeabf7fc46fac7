//! The parts of a coordinator: what leads, and the services of its gRPC endpoint.

use std::sync::Arc;

use arc_swap::ArcSwap;
use paasta_coordinator_core::plan::report::Report;
use paasta_process::clock::Clock;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    alerts::Alerts,
    desired::Desired,
    exec::{broker::ExecBroker, permit::Places},
    keeper::Keeper,
    leader::{Leader, Leadership},
    logs::broker::LogBroker,
    machine::ClusterMachine,
    observations::Observations,
    options::Options,
    peers::Peers,
    propose::Proposer,
    rpc::{
        admin::AdminService,
        agents::AgentsService,
        authority::AuthorityService,
        bounces::BouncesService,
        cluster::ClusterService,
        deploys::DeploysService,
        exec::ExecService,
        follow::Followers,
        gate::Gate,
        guard::Guard,
        joining::{JoinRate, JoiningService, Nonces},
        logs::{LogsService, READERS_MAX},
        looks::Looks,
        members::MembersService,
        operate::OperateService,
        principals::PrincipalsService,
        revocations::RevocationsService,
        rights::Rights,
        server::Services,
        settings::SettingsService,
        snapshots::SnapshotsService,
        tokens::TokensService,
    },
    sessions::Sessions,
    space::Rooms,
};

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

/// What a coordinator is built around.
pub(super) struct About {
    /// Where the state is.
    pub(super) machine: ClusterMachine,
    /// Where requests become commands.
    pub(super) proposer: Proposer,
    /// Checks and records calls.
    pub(super) guard: Guard,
}

/// What leads, and the services of the gRPC endpoint.
pub(super) fn build(
    options: Options,
    clock: Arc<dyn Clock>,
    about: About,
    rooms: &Rooms,
    shutdown: &CancellationToken,
) -> (Leader, Services) {
    let About {
        machine,
        proposer,
        guard,
    } = about;
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
    let (logs, exec) = by_sessions((&options, &guard), &admin, &sessions, &led);
    let (operate, bounces, deploys, settings) = acting(&admin, &proposer);
    let secure = options.tls.is_some();
    let members = members(&admin, secure.then(|| proposer.clone()));
    let (principals, revocations) = people(&admin, &proposer, &guard);
    let snapshots = snapshots(&admin, &sessions);
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
        exec,
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
        principals,
        guard,
    };
    (leader, services)
}

/// The services that reach a host by its session.
fn by_sessions(
    (options, guard): (&Options, &Guard),
    admin: &AdminService,
    sessions: &Sessions,
    led: &watch::Receiver<Option<Leadership>>,
) -> (LogsService, ExecService) {
    let logs = LogsService {
        admin: admin.clone(),
        broker: sessions.logs.clone(),
        leadership: led.clone(),
        shutdown: sessions.shutdown.clone(),
        places: Arc::new(Semaphore::new(READERS_MAX)),
    };
    let exec = ExecService {
        admin: admin.clone(),
        broker: sessions.exec.clone(),
        leadership: led.clone(),
        shutdown: sessions.shutdown.clone(),
        enabled: options.system.coordinator.exec,
        places: Places::default(),
        audit: guard.audit().clone(),
    };
    (logs, exec)
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
        exec: ExecBroker::default(),
        shutdown: shutdown.clone(),
        turns: Arc::default(),
    }
}

fn snapshots(admin: &AdminService, sessions: &Sessions) -> SnapshotsService {
    SnapshotsService::new(
        admin.gate.clone(),
        admin.consensus.clone(),
        admin.machine.clone(),
        Arc::clone(&sessions.clock),
        sessions.shutdown.clone(),
    )
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

/// The services by which admins say who may do what, and take rights away.
fn people(
    admin: &AdminService,
    proposer: &Proposer,
    guard: &Guard,
) -> (PrincipalsService, RevocationsService) {
    let principals = PrincipalsService {
        admin: admin.clone(),
        proposer: proposer.clone(),
        audit: guard.audit().clone(),
    };
    let revocations = RevocationsService {
        admin: admin.clone(),
        proposer: proposer.clone(),
    };
    (principals, revocations)
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
