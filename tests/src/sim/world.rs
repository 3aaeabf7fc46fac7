//! Everything that outlives the processes of a simulation: where they sit, their disks and engines,
//! the clock, the trace and the judge. All of it is on one thread; the locks are for the types.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use paasta_agent::agent::Handle;
use paasta_common::{
    app::Resources,
    host::HostInfo,
    id::{HostId, MachineId, ReplicaId},
};
use paasta_coordinator::{leader::Leader, raft::RaftStatus};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    balancer::Balancer, clock::HostClock, disk::SimDisk, engine::SimEngine, forger::Forgery,
    judge::Judge, network::Knife, operator::Act, plant::Plant, shape::Shape, trace::Trace,
};
use crate::checkers::i13_routed::Route;

/// The room of one coordinator.
pub(crate) struct CoordinatorSeat {
    pub(crate) id: u64,
    /// Its name in the network.
    pub(crate) name: String,
    pub(crate) clock: HostClock,
    pub(crate) knife: Knife,
    pub(crate) dir: PathBuf,
    pub(crate) disk: SimDisk,
    /// It ended by itself: why, and whether its disk had no room for the log then; until it is
    /// started again.
    pub(crate) ended: Mutex<Option<(String, bool)>>,
    /// Its configuration has a volume more than the others'.
    pub(crate) drifts: AtomicBool,
    /// It left the cluster for ever and does not come back.
    pub(crate) left: AtomicBool,
    up: Mutex<Option<Up>>,
}

/// A coordinator that runs.
#[derive(Clone)]
pub(crate) struct Up {
    pub(crate) leader: Leader,
    pub(crate) acts: mpsc::Sender<Act>,
}

/// The room of one agent.
pub(crate) struct AgentSeat {
    pub(crate) name: String,
    pub(crate) info: HostInfo,
    pub(crate) clock: HostClock,
    pub(crate) knife: Knife,
    pub(crate) dir: PathBuf,
    pub(crate) engine: SimEngine,
    pub(crate) balancer: Balancer,
    /// How often the host was booted.
    pub(crate) boots: AtomicU64,
    up: Mutex<Option<Handle>>,
}

/// The simulated world.
pub(crate) struct World {
    pub(crate) shape: Shape,
    pub(crate) plant: Option<Plant>,
    pub(crate) soa: PathBuf,
    pub(crate) clock: HostClock,
    pub(crate) coordinators: BTreeMap<u64, CoordinatorSeat>,
    pub(crate) agents: Vec<AgentSeat>,
    pub(crate) judge: Mutex<Judge>,
    /// Forged messages that are not sent yet.
    pub(crate) forgeries: Mutex<VecDeque<Forgery>>,
    trace: Mutex<Trace>,
}

impl World {
    /// A world of this shape, its disks below `dir`.
    pub(crate) fn new(shape: Shape, plant: Option<Plant>, dir: &Path, aloud: bool) -> Self {
        let clock = HostClock::default();
        let coordinators = shape.coordinator_ids().map(|id| {
            let name = format!("c{id}");
            let seat = CoordinatorSeat {
                id,
                dir: dir.join(&name),
                name,
                disk: SimDisk::greedy(plant == Some(Plant::Disk)),
                ended: Mutex::default(),
                clock: clock.skewed(shape.coordinator_skew_ms(id)),
                knife: Knife::default(),
                drifts: AtomicBool::new(false),
                left: AtomicBool::new(false),
                up: Mutex::default(),
            };
            (id, seat)
        });
        let agents = (1..=shape.agents).map(|number| {
            let clock = clock.skewed(shape.skew_ms(number - 1));
            AgentSeat {
                name: format!("h{number}"),
                info: host(number),
                engine: SimEngine::new(clock.clone()),
                balancer: Balancer::default(),
                clock,
                knife: Knife::default(),
                dir: dir.join(format!("h{number}")),
                boots: AtomicU64::new(1),
                up: Mutex::default(),
            }
        });
        Self {
            coordinators: coordinators.collect(),
            agents: agents.collect(),
            judge: Mutex::new(Judge::new(&shape, plant)),
            forgeries: Mutex::default(),
            soa: dir.join("soa"),
            shape,
            plant,
            clock,
            trace: Mutex::new(Trace::new(aloud)),
        }
    }

    /// Notes something in the trace.
    pub(crate) fn note(&self, whom: &str, what: fmt::Arguments<'_>) {
        self.trace.lock().note(self.clock.elapsed_ms(), whom, what);
    }

    /// The fingerprint of the trace, how many lines it had, and the last of them.
    pub(crate) fn traced(&self) -> (u64, u64, Vec<String>) {
        let trace = self.trace.lock();
        let last = trace.last().map(str::to_owned).collect();
        (trace.fingerprint(), trace.lines(), last)
    }

    /// The load balancers that do something with a replica.
    pub(crate) fn routes(&self, id: ReplicaId) -> Vec<(HostId, Route)> {
        let seats = self.agents.iter();
        seats
            .filter_map(|seat| Some((seat.id().clone(), seat.balancer.route(id)?)))
            .collect()
    }

    /// The coordinators that run, in order.
    pub(crate) fn up(&self) -> impl Iterator<Item = (&CoordinatorSeat, Up)> {
        self.coordinators
            .values()
            .filter_map(|seat| Some((seat, seat.up()?)))
    }

    /// The coordinator that leads: with the newest term, if several think they do.
    pub(crate) fn leader(&self) -> Option<(&CoordinatorSeat, Up, RaftStatus)> {
        let known = self.up().map(|(seat, up)| {
            let status = up.leader.consensus.watch().borrow().clone();
            (seat, up, status)
        });
        known
            .filter(|(_, _, status)| status.is_leader())
            .max_by_key(|(_, _, status)| status.term)
    }
}

impl CoordinatorSeat {
    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.name, super::network::PORT)
    }

    /// The coordinator, if it runs.
    pub(crate) fn up(&self) -> Option<Up> {
        self.up.lock().clone()
    }

    pub(crate) fn set_up(&self, up: Option<Up>) {
        *self.up.lock() = up;
    }

    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }
}

impl AgentSeat {
    /// The agent, if it runs.
    pub(crate) fn up(&self) -> Option<Handle> {
        self.up.lock().clone()
    }

    pub(crate) fn set_up(&self, up: Option<Handle>) {
        *self.up.lock() = up;
    }

    pub(crate) fn id(&self) -> &HostId {
        &self.info.id
    }
}

/// Hosts of 4 cores and 2 GiB, in two regions by turns.
fn host(number: usize) -> HostInfo {
    let region = if number % 2 == 1 { "east" } else { "west" };
    HostInfo {
        id: HostId::new(&format!("h{number}")).expect("a letter and digits make an id"),
        address: format!("10.0.0.{number}"),
        pool: "default".to_owned(),
        attributes: BTreeMap::from([("region".to_owned(), region.to_owned())]),
        capacity: Resources {
            cpus_milli: 4_000,
            mem_mb: 2_048,
            disk_mb: 100_000,
            gpus: 0,
        },
        agent_version: "0.1.0".to_owned(),
        machine: MachineId::new(&format!("{number:032x}")).ok(),
    }
}
