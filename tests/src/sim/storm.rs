//! The faults of a simulation: what befalls the network, the processes, the hosts, the clocks and
//! the engines, and how each of it ends again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
    time::Duration,
};

use paasta_agent::agent::{Happened, Order};
use paasta_agent_core::{labels, observed::ContainerState};
use paasta_common::assignment::Assignment;
use rand::{RngExt, rngs::StdRng};
use tokio::sync::oneshot;
use turmoil::Sim;

use super::{
    disk::Fill,
    forger, intruders,
    plant::{self, Plant},
    shape::Kind,
    watch::Watch,
    world::{AgentSeat, CoordinatorSeat, World},
};
use crate::checkers::members;
use disks::{copy, forget_ledger};
use links::pairs;

/// The most orders kept of each host, to arrive once more.
const ORDERS_KEPT: usize = 50;

/// After so long a process that ended by itself is started again.
const SUPERVISED_MS: u64 = 500;

mod disks;
mod links;

/// How a fault ends.
enum End {
    Start(String),
    Repair(String, String),
    Release(String, String),
    Near,
    RightClock(String),
    MendEngine(String),
    GiveBack(String),
    MakeRoom(String),
}

/// The faults under way.
pub(crate) struct Storm {
    under_way: Vec<(u64, End)>,
    /// From whom nothing reaches whom.
    cut: BTreeSet<(String, String)>,
    /// Coordinators and agents that do not run, by name.
    down: BTreeMap<String, ()>,
    /// Orders that hosts have obeyed.
    orders: BTreeMap<String, Vec<Assignment>>,
    /// Coordinators that have an empty store in place of their own.
    lost_stores: BTreeSet<String>,
    /// What the disks held when a planted fault will say they were last flushed.
    old_disks: bool,
}

impl Storm {
    pub(crate) fn new() -> Self {
        Self {
            under_way: Vec::new(),
            cut: BTreeSet::new(),
            down: BTreeMap::new(),
            orders: BTreeMap::new(),
            lost_stores: BTreeSet::new(),
            old_disks: false,
        }
    }

    /// Whether any fault is under way.
    pub(crate) fn is_over(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Remembers what a leader tells a host.
    pub(crate) fn remember(&mut self, name: &str, order: Assignment) {
        let orders = self.orders.entry(name.to_owned()).or_default();
        let new = orders.last().is_none_or(|last| last.fence != order.fence);
        if new && orders.len() < ORDERS_KEPT {
            orders.push(order);
        }
    }

    /// Begins a fault of this kind. Kinds that are none are left to the operator.
    pub(crate) fn befall(
        &mut self,
        sim: &mut Sim<'_>,
        world: &World,
        watch: &mut Watch,
        kind: Kind,
        chance: &mut StdRng,
    ) {
        let now = world.clock.elapsed_ms();
        let until = |chance: &mut StdRng, range| now + chance.random_range::<u64, _>(range);
        match kind {
            Kind::CrashCoordinator => {
                let Some(seat) = pick_coordinator(world, chance) else {
                    return;
                };
                let until = until(chance, 100..5_000);
                self.crash(sim, world, &seat.name, Some(until));
            }
            Kind::LoseStore => {
                let until = until(chance, 2_000..12_000);
                self.lose_store(sim, world, until, chance);
            }
            Kind::Forge => forger::forge(world, chance),
            Kind::CrashControlPlane => {
                let until = until(chance, 2_000..9_000);
                self.crash_control_plane(sim, world, watch, until);
            }
            Kind::CutCoordinators | Kind::CutOneWay | Kind::SlowLink | Kind::CutAgent => {
                let until = until(chance, 300..8_000);
                self.cut(sim, world, kind, until, chance);
            }
            Kind::CutLeader => {
                let until = until(chance, 3_000..9_000);
                self.cut_leader(sim, world, until, chance);
            }
            Kind::FarApart => {
                let until = until(chance, 6_000..15_000);
                self.far_apart(sim, world, until, chance);
            }
            Kind::BreakConnections => break_connections(world, chance),
            Kind::MassFailure => {
                let until = until(chance, 5_000..12_000);
                let dead = world.agents.len() * 2 / 3;
                let seats: Vec<&AgentSeat> = world.agents.iter().take(dead.max(2)).collect();
                for seat in seats {
                    self.kill_host(sim, world, watch, seat, until);
                }
            }
            Kind::ClockJump => {
                let until = until(chance, 500..8_000);
                self.jump(world, until, chance);
            }
            Kind::FullDisk => {
                let until = until(chance, 1_000..10_000);
                self.fill_disk(world, until, chance);
            }
            Kind::DriftConfig => {
                let until = until(chance, 100..2_000);
                self.drift(sim, world, until, chance);
            }
            Kind::CrashContainer => crash_container(world, watch, chance),
            Kind::StaleOrder => self.repeat_order(world, chance),
            kind => self.befall_agent(sim, world, watch, kind, chance),
        }
    }

    /// The faults that have one agent or its host for a victim.
    fn befall_agent(
        &mut self,
        sim: &mut Sim<'_>,
        world: &World,
        watch: &mut Watch,
        kind: Kind,
        chance: &mut StdRng,
    ) {
        let victims = [
            Kind::CrashAgent,
            Kind::KillHost,
            Kind::EngineFault,
            Kind::Intruder,
        ];
        if !victims.contains(&kind) {
            return;
        }
        let Some(seat) = pick_agent(world, chance) else {
            return;
        };
        let now = world.clock.elapsed_ms();
        match kind {
            Kind::CrashAgent => {
                let until = now + chance.random_range(100..6_000);
                watch.outage.excuse(&seat.name);
                self.crash(sim, world, &seat.name, Some(until));
                if world.plant == Some(Plant::I3) {
                    forget_ledger(seat);
                }
            }
            Kind::KillHost => {
                let until = now + chance.random_range(500..12_000);
                self.kill_host(sim, world, watch, seat, until);
            }
            Kind::EngineFault => {
                let until = now + chance.random_range(500..8_000);
                watch.outage.excuse(&seat.name);
                self.spoil_engine(world, seat, until, chance);
            }
            _ => intruders::come(world, watch, seat, chance),
        }
    }

    /// Ends what is due to end, or everything.
    pub(crate) fn pass(&mut self, sim: &mut Sim<'_>, world: &World, everything: bool) {
        let now = world.clock.elapsed_ms();
        let all = std::mem::take(&mut self.under_way);
        for (until, end) in all {
            if until <= now || everything {
                self.end(sim, world, end);
            } else {
                self.under_way.push((until, end));
            }
        }
    }

    fn end(&mut self, sim: &mut Sim<'_>, world: &World, end: End) {
        match end {
            End::Start(name) => {
                let left = world
                    .coordinators
                    .values()
                    .any(|one| one.name == name && one.has_left());
                if !left && self.down.remove(&name).is_some() {
                    sim.bounce(name.as_str());
                }
            }
            End::Repair(a, b) => {
                world.note(&a, format_args!("reaches {b} again"));
                self.cut.remove(&(a.clone(), b.clone()));
                self.cut.remove(&(b.clone(), a.clone()));
                sim.repair(a.as_str(), b.as_str());
            }
            End::Near => {
                world.note("sim", format_args!("coordinators are near each other"));
                let usual = Duration::from_millis(world.shape.latency_ms);
                for (a, b) in pairs(world) {
                    sim.set_link_latency(a, b, Duration::from_millis(1));
                    sim.set_link_max_message_latency(a, b, usual);
                }
            }
            End::Release(a, b) => {
                world.note(&a, format_args!("is quick to {b} again"));
                sim.release(a.as_str(), b.as_str());
                // That mends the link altogether, and a way that is cut stays cut.
                for (from, to) in [(&a, &b), (&b, &a)] {
                    if self.cut.contains(&(from.clone(), to.clone())) {
                        sim.partition_oneway(from.as_str(), to.as_str());
                    }
                }
            }
            End::RightClock(name) => {
                world.note(&name, format_args!("clock is right again"));
                clock_of(world, &name, 0);
            }
            End::GiveBack(name) => self.give_back(sim, world, &name),
            End::MakeRoom(name) => {
                world.note(&name, format_args!("has room again"));
                for seat in world.coordinators.values().filter(|seat| seat.name == name) {
                    seat.disk.set_fill(Fill::None);
                }
            }
            End::MendEngine(name) => {
                world.note(&name, format_args!("engine works again"));
                let seat = world.agents.iter().find(|seat| seat.name == name);
                if let Some(seat) = seat {
                    seat.engine
                        .fake
                        .faults(|faults| *faults = Default::default());
                }
            }
        }
    }

    /// A coordinator's disk is full; one at a time, so that a majority can write.
    fn fill_disk(&mut self, world: &World, until: u64, chance: &mut StdRng) {
        let Some(seat) = pick_coordinator(world, chance) else {
            return;
        };
        let fills = [Fill::Reserve, Fill::Snapshots, Fill::Snapshots, Fill::All];
        let fill = fills[chance.random_range(0..fills.len())];
        let others = world.coordinators.values();
        if others.into_iter().any(|one| one.disk.fill() != Fill::None) {
            return;
        }
        world.note(&seat.name, format_args!("disk is full: {fill:?}"));
        seat.disk.set_fill(fill);
        self.under_way
            .push((until, End::MakeRoom(seat.name.clone())));
    }

    /// Starts what ended by itself again, as a supervisor of processes does. Only a disk without
    /// room for the log is a reason to end.
    pub(crate) fn supervise(&mut self, sim: &mut Sim<'_>, world: &World) {
        for seat in world.coordinators.values() {
            let Some((why, full)) = seat.ended.lock().take() else {
                continue;
            };
            world.judge.lock().ended(&seat.name, full, &why);
            let until = world.clock.elapsed_ms() + SUPERVISED_MS;
            self.crash(sim, world, &seat.name, Some(until));
        }
    }

    /// Kills a process; it is started again at `until`, or never.
    pub(crate) fn crash(
        &mut self,
        sim: &mut Sim<'_>,
        world: &World,
        name: &str,
        until: Option<u64>,
    ) {
        if self.down.insert(name.to_owned(), ()).is_some() {
            return;
        }
        world.note(name, format_args!("is killed"));
        for seat in world.coordinators.values().filter(|seat| seat.name == name) {
            seat.set_up(None);
        }
        for seat in world.agents.iter().filter(|seat| seat.name == name) {
            seat.set_up(None);
        }
        sim.crash(name);
        if let Some(until) = until {
            self.under_way.push((until, End::Start(name.to_owned())));
        }
    }

    /// A member starts again on an empty directory. One at a time, and only one of those that vote:
    /// what is lost for good an operator would have to replace.
    fn lose_store(&mut self, sim: &mut Sim<'_>, world: &World, until: u64, chance: &mut StdRng) {
        let Some((_, _, status)) = world.leader() else {
            return;
        };
        let seats: Vec<&CoordinatorSeat> = world
            .coordinators
            .values()
            .filter(|seat| !seat.has_left() && status.voters.contains_key(&seat.id))
            .collect();
        if seats.is_empty() || status.changing || !self.lost_stores.is_empty() {
            return;
        }
        let seat = seats[chance.random_range(0..seats.len())];
        let soon = world.clock.elapsed_ms() + chance.random_range(10..500);
        self.crash(sim, world, &seat.name, Some(soon));
        if std::fs::rename(&seat.dir, seat.dir.with_extension("lost")).is_ok() {
            world.note(&seat.name, format_args!("loses its store"));
            self.lost_stores.insert(seat.name.clone());
            self.under_way
                .push((until, End::GiveBack(seat.name.clone())));
        }
    }

    /// The right data directory is there again.
    fn give_back(&mut self, sim: &mut Sim<'_>, world: &World, name: &str) {
        let mut seats = world.coordinators.values();
        let Some(seat) = seats.find(|seat| seat.name == name) else {
            return;
        };
        let was_up = !self.down.contains_key(name);
        if was_up {
            self.crash(sim, world, name, None);
        }
        // What cannot be moved shows as a member that never comes back.
        let _ = std::fs::remove_dir_all(&seat.dir);
        let _ = std::fs::rename(seat.dir.with_extension("lost"), &seat.dir);
        self.lost_stores.remove(name);
        world.note(name, format_args!("has its store again"));
        if was_up {
            self.end(sim, world, End::Start(name.to_owned()));
        }
    }

    /// Looks at what consensus must not have let happen.
    pub(crate) fn watch_members(&self, world: &World) {
        for (seat, up) in world.up() {
            let status = up.leader.consensus.status();
            let mut judge = world.judge.lock();
            judge.blame(members::possible(&seat.name, status.term));
            if self.lost_stores.contains(&seat.name) {
                let last = status.last_log;
                judge.blame(members::took_part(&seat.name, status.term, last));
            }
        }
    }

    /// One coordinator at a time starts again with another configuration, or with its old one.
    fn drift(&mut self, sim: &mut Sim<'_>, world: &World, until: u64, chance: &mut StdRng) {
        let drifts = |seat: &&CoordinatorSeat| seat.drifts.load(Ordering::SeqCst);
        let drifted = world.coordinators.values().find(drifts);
        let Some(seat) = drifted.or_else(|| pick_coordinator(world, chance)) else {
            return;
        };
        let now = drifted.is_none();
        seat.drifts.store(now, Ordering::SeqCst);
        world.note(&seat.name, format_args!("configuration drifts: {now}"));
        world.judge.lock().tally.add("drifts");
        self.crash(sim, world, &seat.name, Some(until));
    }

    fn crash_control_plane(
        &mut self,
        sim: &mut Sim<'_>,
        world: &World,
        watch: &mut Watch,
        until: u64,
    ) {
        for seat in world.coordinators.values().filter(|seat| !seat.has_left()) {
            self.crash(sim, world, &seat.name, Some(until));
        }
        // Those that were down already stay down with the others.
        for (at, end) in &mut self.under_way {
            if matches!(end, End::Start(name) if name.starts_with('c')) {
                *at = until.max(*at);
            }
        }
        watch.control_plane_died(world);
        if world.plant == Some(Plant::I1) {
            self.forget_disks(world);
        }
    }

    /// A planted fault: all disks go back to where they were the first time.
    fn forget_disks(&mut self, world: &World) {
        for seat in world.coordinators.values() {
            let kept = seat.dir.with_extension("kept");
            let (from, to) = match self.old_disks {
                true => (&kept, &seat.dir),
                false => (&seat.dir, &kept),
            };
            // What cannot be copied is not forgotten, and then the fault is not found.
            let _ = std::fs::remove_dir_all(to);
            let _ = copy(from, to);
        }
        self.old_disks = true;
    }

    fn kill_host(
        &mut self,
        sim: &mut Sim<'_>,
        world: &World,
        watch: &mut Watch,
        seat: &AgentSeat,
        until: u64,
    ) {
        if self.down.contains_key(&seat.name) {
            return;
        }
        watch.outage.excuse(&seat.name);
        self.crash(sim, world, &seat.name, Some(until));
        seat.boots.fetch_add(1, Ordering::SeqCst);
        seat.engine.fake.crash_all();
        seat.balancer.die();
        watch.host_died(&seat.name);
    }

    fn jump(&mut self, world: &World, until: u64, chance: &mut StdRng) {
        let coordinators = world.coordinators.values().map(|seat| &seat.name);
        let all: Vec<&String> = coordinators
            .chain(world.agents.iter().map(|seat| &seat.name))
            .collect();
        let name = all[chance.random_range(0..all.len())];
        let size = chance.random_range(200..20_000_i64);
        let by = if chance.random_ratio(1, 2) {
            size
        } else {
            -size
        };
        world.note(name, format_args!("clock jumps by {by} ms"));
        clock_of(world, name, by);
        self.under_way.push((until, End::RightClock(name.clone())));
    }

    fn spoil_engine(&mut self, world: &World, seat: &AgentSeat, until: u64, chance: &mut StdRng) {
        let what = chance.random_range(0..8);
        world.note(&seat.name, format_args!("engine fault {what}"));
        let containers = seat.engine.fake.containers().into_iter();
        let stuck = containers.take(2).flat_map(|(name, held)| [name, held.id]);
        seat.engine.fake.faults(|faults| match what {
            0 => faults.hangs = true,
            1 => faults.refuses = Some("no space left on device".to_owned()),
            2 => faults.answers_are_lost = true,
            3 => faults.hangs_after = true,
            4 => faults.lists_are_late = true,
            5 => (faults.hints_are_lost, faults.lists_are_late) = (true, true),
            6 => faults.stuck.extend(stuck),
            _ => faults.latency = Duration::from_millis(700),
        });
        self.under_way
            .push((until, End::MendEngine(seat.name.clone())));
    }

    /// An order of long ago arrives once more, as if it had been held up somewhere.
    fn repeat_order(&mut self, world: &World, chance: &mut StdRng) {
        let Some(seat) = pick_agent(world, chance) else {
            return;
        };
        let (Some(up), Some(orders)) = (seat.up(), self.orders.get(&seat.name)) else {
            return;
        };
        let order = &orders[chance.random_range(0..orders.len())];
        world.note(
            &seat.name,
            format_args!("gets an old order, {:?}", order.fence),
        );
        give(&up.inbox, order.clone());
    }

    /// A planted fault needs an occasion: an agent that has forgotten what it obeyed hears an old
    /// order before it hears a new one.
    pub(crate) fn tempt(&self, world: &World) {
        for seat in &world.agents {
            let (Some(up), Some(orders)) = (seat.up(), self.orders.get(&seat.name)) else {
                continue;
            };
            let forgot = up.view.borrow().accepted.is_none();
            if let Some(order) = orders.first().filter(|_| forgot) {
                give(&up.inbox, order.clone());
            }
        }
    }

    /// A planted fault: agents that hear of no coordinator let everything go.
    pub(crate) fn give_up(&self, world: &World) {
        for seat in &world.agents {
            let Some(up) = seat.up() else { continue };
            let accepted = up.view.borrow().accepted.clone();
            if let Some(fence) = accepted {
                give(&up.inbox, plant::nothing_to_run(seat.id(), fence));
            }
        }
    }
}

fn give(inbox: &tokio::sync::mpsc::Sender<Happened>, assignment: Assignment) {
    let (reply, _) = oneshot::channel();
    // A full inbox loses the order, as a network does.
    let _ = inbox.try_send(Happened::Order(Order { assignment, reply }));
}

fn pick_coordinator<'w>(world: &'w World, chance: &mut StdRng) -> Option<&'w CoordinatorSeat> {
    let seats: Vec<&CoordinatorSeat> = world
        .coordinators
        .values()
        .filter(|seat| !seat.has_left())
        .collect();
    (!seats.is_empty()).then(|| seats[chance.random_range(0..seats.len())])
}

/// An agent that runs.
fn pick_agent<'w>(world: &'w World, chance: &mut StdRng) -> Option<&'w AgentSeat> {
    let seats: Vec<&AgentSeat> = world
        .agents
        .iter()
        .filter(|seat| seat.up().is_some())
        .collect();
    (!seats.is_empty()).then(|| seats[chance.random_range(0..seats.len())])
}

fn break_connections(world: &World, chance: &mut StdRng) {
    if chance.random_ratio(1, 2) {
        if let Some(seat) = pick_coordinator(world, chance) {
            world.note(&seat.name, format_args!("loses its connections"));
            seat.knife.cut();
        }
    } else if let Some(seat) = pick_agent(world, chance) {
        world.note(&seat.name, format_args!("loses its connections"));
        seat.knife.cut();
    }
}

fn crash_container(world: &World, watch: &mut Watch, chance: &mut StdRng) {
    let Some(seat) = pick_agent(world, chance) else {
        return;
    };
    let running: Vec<String> = seat
        .engine
        .fake
        .containers()
        .into_iter()
        .filter(|(_, one)| {
            one.state == ContainerState::Running && one.spec.labels.contains_key(labels::APP)
        })
        .map(|(name, _)| name)
        .collect();
    if running.is_empty() {
        return;
    }
    let name = &running[chance.random_range(0..running.len())];
    world.note(&seat.name, format_args!("{name} ends by itself"));
    watch.outage.excuse(&seat.name);
    seat.engine.fake.crash(name, 137);
}

fn clock_of(world: &World, name: &str, offset_ms: i64) {
    for seat in world.coordinators.values().filter(|seat| seat.name == name) {
        seat.clock.set_offset(offset_ms);
    }
    for seat in world.agents.iter().filter(|seat| seat.name == name) {
        seat.clock.set_offset(offset_ms);
    }
}
