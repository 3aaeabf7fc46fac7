//! The software of the simulated hosts: a whole coordinator, a whole agent, as they are, put
//! together the way their binaries do it but on simulated time, network and disk waits.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use paasta_agent::{
    agent::{Agent, Parts},
    endpoints,
    lanes::Patience,
    session::Sessions,
    watch::Pace,
};
use paasta_agent_core::settings::HostSettings;
use paasta_common::{app::Volume, config::SystemConfig};
use paasta_coordinator::{
    options::Options,
    raft::{PACE_MAX, RaftOptions, UNSEEN_ELECTIONS},
    run::{Coordinator, RunError},
    store::{IoMode, OnVolume, StoreId},
    witness::Watched,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    eye::Eye,
    fleet::CLUSTER,
    network::{Dialler, listen},
    operator::{ACTS_MAX, console},
    plant::Plant,
    world::{AgentSeat, CoordinatorSeat, Up, World},
};

/// The lease of a host's session.
pub(crate) const LEASE_MS: u64 = 1_500;
/// After its end, a host is lost.
pub(crate) const LOST_AFTER_MS: u64 = 3_000;
/// Above this part of the hosts silence is a mass failure.
pub(crate) const MASS_FAILURE_PERCENT: u32 = 25;
/// The age at which an orphan is reaped.
pub(crate) const REAP_AGE_MS: u64 = 10_000;
/// How long an instance must be absent before it is removed.
pub(crate) const REMOVAL_PATIENCE_MS: u64 = 4_000;
/// Between two readings of the soa directory, at most.
const RESYNC: Duration = Duration::from_secs(10);
/// Ports for containers: of the real machine, as the agent tries to bind them.
const PORTS: (u16, u16) = (11_000, 19_999);

/// Runs a coordinator until it is crashed.
pub(crate) async fn coordinator(world: Arc<World>, id: u64) -> turmoil::Result {
    let seat = world.coordinators.get(&id).ok_or("no such seat")?;
    world.note(&seat.name, format_args!("starts"));
    let options = coordinator_options(&world, seat)?;
    let shutdown = CancellationToken::new();
    let clock = Arc::new(seat.clock.clone());
    let started = match Coordinator::start(options, clock, shutdown).await {
        Err(error @ RunError::NoRoom { .. }) => return ended(&world, seat, &error).await,
        started => started?,
    };
    let (acts, waiting) = mpsc::channel(ACTS_MAX);
    seat.set_up(Some(Up {
        leader: started.leader.clone(),
        acts,
    }));
    let consensus = started.leader.consensus.clone();
    let incoming = Box::pin(listen().await?);
    tokio::select! {
        biased;
        served = started.serve(incoming) => match served {
            Err(error @ RunError::Ended { .. }) => return ended(&world, seat, &error).await,
            served => served?,
        },
        () = console(Arc::clone(&world), id, consensus, waiting) => {}
    }
    Err("a coordinator ended by itself".into())
}

/// A process that has ended by itself does nothing more; what supervises it sees that.
async fn ended(world: &World, seat: &CoordinatorSeat, error: &RunError) -> turmoil::Result {
    // Without the directory, which differs from run to run: the trace of a seed is always the same.
    let words = error
        .to_string()
        .replace(&seat.dir.display().to_string(), "its directory");
    world.note(&seat.name, format_args!("ended by itself: {words}"));
    seat.set_up(None);
    let full = seat.disk.take_refused();
    *seat.ended.lock() = Some((error.to_string(), full));
    std::future::pending().await
}

fn coordinator_options(
    world: &Arc<World>,
    seat: &CoordinatorSeat,
) -> Result<Options, Box<dyn std::error::Error>> {
    let mut system = SystemConfig {
        cluster: Some(CLUSTER.parse()?),
        docker_registry: Some("registry:5000".to_owned()),
        soa_dir: world.soa.display().to_string(),
        pools: world.shape.pools(),
        volumes: match seat.drifts.load(Ordering::SeqCst) {
            true => vec![Volume {
                container_path: "/etc/ssl".to_owned(),
                host_path: "/etc/ssl".to_owned(),
                read_only: true,
            }],
            false => Vec::new(),
        },
        ..SystemConfig::default()
    };
    system.coordinator.node_id = Some(seat.id);
    system.coordinator.lease_ms = LEASE_MS;
    system.coordinator.lost_after_ms = LOST_AFTER_MS;
    system.coordinator.mass_failure_percent = match world.plant {
        Some(Plant::I7) => 100,
        _ => MASS_FAILURE_PERCENT,
    };
    let mut options = Options::new(system)?;
    options.raft = RaftOptions {
        snapshot_every: match world.plant {
            Some(Plant::I9) => 1_000_000,
            _ => world.shape.snapshot_every,
        },
        fresh_store: match world.plant {
            Some(Plant::Stores) => Some(StoreId::from_bits(seat.id.into())),
            _ => None,
        },
        unseen_elections: match world.plant {
            Some(Plant::Terms) => u64::MAX,
            _ => UNSEEN_ELECTIONS,
        },
        pace_max_permille: match world.plant {
            Some(Plant::Links) => 1_000,
            _ => PACE_MAX,
        },
        keep_log: world.shape.keep_log,
        dial: Arc::new(Dialler(seat.knife.clone())),
        leadership_ms: (world.plant == Some(Plant::I6Quorum)).then_some(3_600_000),
        io: IoMode::Inline,
        volume: OnVolume::new(Arc::new(seat.disk.clone())),
        ..RaftOptions::new(seat.id, seat.address(), &seat.dir)
    };
    options.resync = RESYNC;
    options.removal_patience_ms = REMOVAL_PATIENCE_MS;
    if world.shape.partial {
        options.small_replicas = 0;
    }
    options.watched = Watched::by(Arc::new(Eye::new(Arc::clone(world), seat.id)));
    Ok(options)
}

/// Runs an agent until it is crashed.
pub(crate) async fn agent(world: Arc<World>, at: usize) -> turmoil::Result {
    let seat = world.agents.get(at).ok_or("no such seat")?;
    let boot = seat.boots.load(Ordering::SeqCst);
    world.note(&seat.name, format_args!("starts, boot {boot}"));
    let shutdown = CancellationToken::new();
    let parts = parts(&world, seat, at);
    let agent = Agent::start(parts, shutdown.clone())?;
    seat.set_up(Some(agent.handle.clone()));
    let coordinators = world.coordinators.values();
    let mut handle = agent.handle.clone();
    if world.plant == Some(Plant::Clock) {
        handle.clock = Arc::new(world.clock.clone());
    }
    let (sessions_end, proxy_end) = endpoints::link(seat.balancer.set());
    let sessions = Sessions {
        agent: handle,
        host: seat.info.clone(),
        boot_id: format!("boot-{boot}"),
        cluster: Some(CLUSTER.parse()?),
        coordinators: coordinators.map(CoordinatorSeat::address).collect(),
        dial: Arc::new(Dialler(seat.knife.clone())),
        endpoints: Some(sessions_end),
    };
    let balancer = seat.balancer.clone();
    tokio::select! {
        biased;
        ended = agent.task => ended?,
        () = balancer.serve(Arc::clone(&world), at, proxy_end, boot) => {}
        () = sessions.run(shutdown) => {}
    }
    Err("an agent ended by itself".into())
}

fn parts(world: &World, seat: &AgentSeat, at: usize) -> Parts {
    let sandboxes = seat.dir.join("sandboxes").display().to_string();
    Parts {
        engine: Arc::new(seat.engine.clone()),
        clock: Arc::new(seat.clock.clone()),
        seed: world.shape.seed.wrapping_mul(1_000).wrapping_add(at as u64),
        settings: HostSettings {
            reap_age_ms: REAP_AGE_MS,
            healthy_reset_ms: 5_000,
            ..HostSettings::new(seat.id().clone(), &seat.info.address, &sandboxes)
        },
        mounts: Default::default(),
        state_dir: seat.dir.clone(),
        port_range: PORTS,
        max_parallel: 8,
        patience: Patience::default(),
        sandbox_budget_bytes: 1 << 20,
        log_budget_bytes: 1 << 20,
        collect: Default::default(),
        pace: Pace {
            every: Duration::from_secs(1),
            patience: Duration::from_secs(2),
            ..Pace::default()
        },
    }
}
