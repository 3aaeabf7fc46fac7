//! One simulation from beginning to end: the cluster is made, then faults befall it while every
//! safety checker looks on, then everything is healed and must settle.

use std::{
    io, panic,
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use paasta_coordinator::raft;
use paasta_process::simulated;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use turmoil::Sim;

use super::{
    acts::People,
    converge::{satisfied, unsettled},
    fleet::Fleet,
    forger, hosts,
    operator::Act,
    plant::Plant,
    shape::Shape,
    storm::Storm,
    tally::Tally,
    user,
    watch::Watch,
    world::World,
};
use crate::checkers::{Violation, i6_outage::Leading};

/// How far virtual time goes in one step.
const STEP: Duration = Duration::from_millis(10);
/// How long the cluster may take to come to be.
const BIRTH_MS: u64 = 20_000;
/// Before the faults begin, all is quiet for so long.
const CALM_MS: u64 = 4_000;
/// How long a healed cluster may take to settle.
const SETTLING_MS: u64 = 150_000;
/// For how long it must then stay settled.
const STAYING_MS: u64 = 3_000;
/// Between two writes that change nothing.
const WRITE_MS: u64 = 400;
/// Between two rounds of an operator who ends what only operators can end.
const HELP_MS: u64 = 5_000;
/// Between two looks at logs and at whether all is settled.
const LOOK_MS: u64 = 200;

/// What became of one simulation.
#[derive(Debug)]
pub struct Ended {
    /// What was drawn.
    pub shape: Shape,
    /// The same for every run of the seed.
    pub fingerprint: u64,
    /// How many lines the trace has.
    pub lines: u64,
    /// The last lines of it.
    pub last: Vec<String>,
    /// How much virtual time went by, milliseconds.
    pub virtual_ms: u64,
    /// What it came across.
    pub tally: Tally,
    /// What was wrong.
    pub violations: Vec<Violation>,
}

/// Everything that takes part.
struct Simulation<'a> {
    sim: Sim<'a>,
    world: Arc<World>,
    people: People,
    storm: Storm,
    watch: Watch,
    chance: StdRng,
}

/// Runs one seed; once in a process, as chance is fixed for all of it. Disks are below `dir`.
///
/// # Errors
/// When the files of the simulation cannot be written, or the build cannot repeat a run.
pub fn run(seed: u64, plant: Option<Plant>, dir: &Path, aloud: bool) -> io::Result<Ended> {
    if !cfg!(tokio_unstable) {
        return Err(io::Error::other(
            "built without --cfg tokio_unstable, no run can be repeated; .cargo/config.toml sets it unless RUSTFLAGS in the environment takes its place",
        ));
    }
    simulated::fix(seed);
    raft::fix_randomness(seed);
    catch_panics();
    let mut shape = Shape::draw(seed);
    if let Some(plant) = plant {
        shape.provoke(plant);
    }
    let world = Arc::new(World::new(shape.clone(), plant, dir, aloud));
    let mut chance = StdRng::seed_from_u64(seed ^ 0x5151_7a7a);
    let room = u32::try_from(shape.agents)
        .unwrap_or(u32::MAX)
        .saturating_mul(5);
    let fleet = Fleet::draw(world.soa.clone(), &mut chance, room)?;
    let mut simulation = Simulation {
        sim: build(&world, seed),
        world: Arc::clone(&world),
        people: People::new(fleet),
        storm: Storm::new(),
        watch: Watch::default(),
        chance,
    };
    let result = simulation.live()?;
    let mut violations = world.judge.lock().violations().to_vec();
    if let Err(violation) = result
        && !violations.contains(&violation)
    {
        violations.push(violation);
    }
    violations.extend(
        panics()
            .into_iter()
            .map(|text| Violation::new("panic", text)),
    );
    let (fingerprint, lines, last) = world.traced();
    let mut tally = world.judge.lock().tally.clone();
    let (instances, short) = satisfied(&world);
    tally.set("instances", instances as u64);
    tally.set("short_of_room", short as u64);
    Ok(Ended {
        shape,
        fingerprint,
        lines,
        last,
        virtual_ms: world.clock.elapsed_ms(),
        tally,
        violations,
    })
}

fn build<'a>(world: &Arc<World>, seed: u64) -> Sim<'a> {
    let mut sim = turmoil::Builder::new()
        .tick_duration(STEP)
        .simulation_duration(Duration::from_secs(3_600))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(world.shape.latency_ms))
        .epoch(UNIX_EPOCH + Duration::from_secs(1_700_000_000))
        .tcp_capacity(4_096)
        .rng_seed(seed)
        .build();
    for seat in world.coordinators.values() {
        let (world, id) = (Arc::clone(world), seat.id);
        sim.host(seat.name.as_str(), move || {
            hosts::coordinator(Arc::clone(&world), id)
        });
    }
    {
        let world = Arc::clone(world);
        sim.host(user::NAME, move || user::ask(Arc::clone(&world)));
    }
    {
        let world = Arc::clone(world);
        sim.host(forger::NAME, move || forger::send(Arc::clone(&world)));
    }
    for (at, seat) in world.agents.iter().enumerate() {
        let world = Arc::clone(world);
        sim.host(seat.name.as_str(), move || {
            hosts::agent(Arc::clone(&world), at)
        });
    }
    sim
}

type Verdict = Result<(), Violation>;

impl Simulation<'_> {
    fn live(&mut self) -> io::Result<Verdict> {
        self.people.tell_wants(&self.world);
        if let Err(violation) = self.be_born() {
            return Ok(Err(violation));
        }
        if let Err(violation) = self.suffer()? {
            return Ok(Err(violation));
        }
        self.heal()?;
        let leave_one_broken = !self.people.fleet.broken.is_empty();
        self.people.mend(&self.world, true)?;
        if let Err(violation) = self.settle() {
            return Ok(Err(violation));
        }
        if leave_one_broken {
            self.people.mend(&self.world, false)?;
            if let Err(violation) = self.settle() {
                return Ok(Err(violation));
            }
        }
        self.watch.settled(&self.world);
        for (seat, up) in self.world.up() {
            let status = up.leader.consensus.watch().borrow().clone();
            if status.voters.contains_key(&seat.id) {
                let state = up.leader.machine.read().clone();
                self.world.judge.lock().settled(&seat.name, &state);
            }
        }
        Ok(Ok(()))
    }

    /// The first coordinator is told to make the cluster.
    fn be_born(&mut self) -> Verdict {
        self.step()?;
        let voters = 1..=self.world.shape.coordinators;
        let members =
            voters.filter_map(|id| Some((id, self.world.coordinators.get(&id)?.address())));
        let act = Act::Init(members.collect());
        let first = self.world.coordinators.get(&1).and_then(|seat| seat.up());
        let told = first.is_some_and(|up| up.acts.try_send(act).is_ok());
        if !told {
            return Err(Violation::new(
                "birth",
                "the first coordinator did not start",
            ));
        }
        while self.world.clock.elapsed_ms() < BIRTH_MS {
            self.step()?;
            let led = self.world.leader();
            let made = led.is_some_and(|(_, up, _)| up.leader.machine.read().cluster().is_some());
            if made {
                return Ok(());
            }
        }
        Err(Violation::new("birth", "no cluster came to be"))
    }

    fn suffer(&mut self) -> io::Result<Verdict> {
        let begin = self.world.clock.elapsed_ms() + CALM_MS;
        let end = begin + self.world.shape.fault_ms;
        let mut next = begin;
        loop {
            let now = self.world.clock.elapsed_ms();
            if now >= end {
                return Ok(Ok(()));
            }
            if let Err(violation) = self.step() {
                return Ok(Err(violation));
            }
            self.storm.pass(&mut self.sim, &self.world, false);
            self.storm.supervise(&mut self.sim, &self.world);
            self.people.pass(&self.world, false)?;
            if now.is_multiple_of(WRITE_MS) {
                self.people.write_nothing(&self.world);
            }
            self.people
                .switch_off(&mut self.sim, &self.world, &mut self.storm);
            if now >= next {
                let pace = self.world.shape.pace_ms;
                next = now + self.chance.random_range(pace / 2..pace * 3 / 2);
                let kind = self.world.shape.next_kind(&mut self.chance);
                let (sim, world) = (&mut self.sim, &self.world);
                self.storm
                    .befall(sim, world, &mut self.watch, kind, &mut self.chance);
                self.people.act(world, kind, &mut self.chance)?;
            }
        }
    }

    /// Ends every fault.
    fn heal(&mut self) -> io::Result<()> {
        self.world.note("sim", format_args!("heals everything"));
        self.storm.pass(&mut self.sim, &self.world, true);
        debug_assert!(self.storm.is_over());
        self.people.pass(&self.world, true)
    }

    fn settle(&mut self) -> Verdict {
        let begin = self.world.clock.elapsed_ms();
        let mut settled_since = None;
        let mut help_at = begin + CALM_MS;
        let mut last = Violation::new("convergence", "nothing was looked at");
        while self.world.clock.elapsed_ms() < begin + SETTLING_MS {
            self.step()?;
            self.storm.supervise(&mut self.sim, &self.world);
            self.storm.pass(&mut self.sim, &self.world, false);
            let now = self.world.clock.elapsed_ms();
            if !now.is_multiple_of(LOOK_MS) {
                continue;
            }
            if now >= help_at {
                self.people.let_go(&self.world);
                help_at = now + HELP_MS;
            }
            match unsettled(&self.world, &self.people.fleet, &self.watch) {
                Some(reason) => {
                    settled_since = None;
                    last = reason;
                }
                None => {
                    let since = *settled_since.get_or_insert(now);
                    if now >= since + STAYING_MS {
                        self.world.note("sim", format_args!("is settled"));
                        return Ok(());
                    }
                }
            }
        }
        let (waited, what) = (SETTLING_MS / 1_000, last.what);
        let what = format!("not after {waited} s without faults: {what}");
        Err(Violation::new(last.invariant, what))
    }

    /// One step of virtual time, and a look at everything.
    fn step(&mut self) -> Verdict {
        let stepped = self.sim.step();
        let elapsed = u64::try_from(self.sim.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.world.clock.set_elapsed(elapsed);
        self.world.judge.lock().now_ms = elapsed;
        if let Err(error) = stepped {
            return Err(Violation::new("process", error.to_string()));
        }
        if self.watch.look(&self.world) && self.world.plant == Some(Plant::I6) {
            self.storm.give_up(&self.world);
        }
        if self.world.plant == Some(Plant::I3) {
            self.storm.tempt(&self.world);
        }
        // Whichever of the others leads next has only its own clock and the newest date of the state.
        let knows = self.world.up().any(|(seat, up)| {
            let status = up.leader.consensus.status();
            let voters: Vec<u64> = status.voters.keys().copied().collect();
            up.leader.consensus.clock().is_known()
                && self.storm.has_a_way(&self.world, seat, &voters)
        });
        if !knows {
            self.world.judge.lock().time.forget();
        }
        if elapsed.is_multiple_of(LOOK_MS) {
            self.look();
        }
        match self.world.judge.lock().violations().first() {
            Some(violation) => Err(violation.clone()),
            None => Ok(()),
        }
    }

    fn look(&mut self) {
        self.storm.watch_members(&self.world);
        for (seat, up) in self.world.up() {
            let status = up.leader.consensus.status();
            // Without a snapshot the log may not be cut; that it is made later is for the end.
            if status.snapshot_trouble.is_some() {
                continue;
            }
            let (purged, last) = (status.purged.unwrap_or(0), status.last_log.unwrap_or(0));
            self.world
                .judge
                .lock()
                .log_on_disk(&seat.name, purged, last);
            let voters: Vec<u64> = status.voters.keys().copied().collect();
            let has_a_way = self.storm.has_a_way(&self.world, seat, &voters);
            let connected = up.leader.observations.read();
            let connected = connected.hosts.values().filter(|host| host.connected);
            let leading = Leading {
                leads: up.leader.leadership.borrow().is_some(),
                term: status.term,
                sessions: connected.count(),
                pace_permille: status.pace_permille,
            };
            self.world
                .judge
                .lock()
                .leads(&seat.name, has_a_way || voters.is_empty(), leading);
        }
        let led = self.world.leader();
        let made = self.world.up().any(|(_, up)| {
            let status = up.leader.consensus.status();
            status.voters.len() > 1
        });
        let whole = made && self.storm.is_whole(&self.world);
        self.world.judge.lock().led(whole, led.is_some());
        for seat in &self.world.agents {
            seat.engine.age();
            if let Some((_, up, status)) = &led {
                let state = up.leader.machine.read();
                if let Some(order) = state.assignment(seat.id(), status.term) {
                    self.storm.remember(&seat.name, order);
                }
            }
        }
    }
}

static PANICS: OnceLock<Mutex<Vec<String>>> = OnceLock::new();

/// Keeps an account of what panics in this process, wherever it is caught.
fn catch_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let all = PANICS.get_or_init(Mutex::default);
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(info.to_string());
        before(info);
    }));
}

fn panics() -> Vec<String> {
    let all = PANICS.get_or_init(Mutex::default);
    std::mem::take(&mut all.lock().unwrap_or_else(PoisonError::into_inner))
}
