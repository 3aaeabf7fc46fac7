//! What one seed draws: how large the cluster is, how it is set, and which faults befall it. Each
//! seed has a mix of its own, so that faults meet that no fixed mix would bring together.

use std::fmt;

use paasta_common::overcommit::{Overcommit, Pools};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::plant::Plant;

/// The shape of one simulation.
#[derive(Debug, Clone)]
pub struct Shape {
    /// The seed.
    pub seed: u64,
    /// Coordinators that vote from the beginning: 3 or 5.
    pub coordinators: u64,
    /// One more that is there and belongs to no cluster yet.
    pub spare: bool,
    /// Agents.
    pub agents: usize,
    /// For how long faults befall the cluster, milliseconds.
    pub fault_ms: u64,
    /// The longest a message takes, milliseconds.
    pub latency_ms: u64,
    /// Log records between two snapshots.
    pub snapshot_every: u64,
    /// Log records that are kept behind a snapshot.
    pub keep_log: u64,
    /// By how much the clocks of hosts are wrong, all the time, by turns, milliseconds. Those of
    /// coordinators are a quarter of it wrong.
    pub skews_ms: Vec<i64>,
    /// Whether leaders plan only what changed, as they do in large clusters.
    pub partial: bool,
    /// The kinds of faults and acts, and the weight of each; one that is absent does not occur.
    pub mix: Vec<(Kind, u32)>,
    /// Between two faults, on average, milliseconds.
    pub pace_ms: u64,
}

/// A kind of fault, or of act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A coordinator is killed and comes back.
    CrashCoordinator,
    /// All of them are, at once.
    CrashControlPlane,
    /// A coordinator comes back with an empty data directory, until the right one is found.
    LoseStore,
    /// A member sends what no honest member sends.
    Forge,
    /// A coordinator is cut off from some of the others.
    CutCoordinators,
    /// Messages go one way only.
    CutOneWay,
    /// The leader is cut off from all the others, or hears none of them, or is heard by none.
    CutLeader,
    /// A link is held up: nothing is lost, all is late.
    SlowLink,
    /// Every message between coordinators takes long, always the same.
    FarApart,
    /// Connections break in the middle of what is said.
    BreakConnections,
    /// An agent is cut off from the coordinators.
    CutAgent,
    /// An agent is killed and comes back; its containers live.
    CrashAgent,
    /// A host dies with its containers and comes back.
    KillHost,
    /// Many do at once.
    MassFailure,
    /// A clock jumps.
    ClockJump,
    /// The disk of a coordinator is full: to the reserve, for snapshots, or for everything.
    FullDisk,
    /// A container engine hangs, before or after it has done what it was asked; refuses; loses its
    /// answers; lists late and tells of nothing; is slow; or hangs for some containers only.
    EngineFault,
    /// A container ends by itself.
    CrashContainer,
    /// An order of long ago arrives once more.
    StaleOrder,
    /// A container appears that nobody ordered.
    Intruder,
    /// A new version, good or bad.
    Deploy,
    /// More or fewer replicas, another method, stop, start, declare, remove.
    Change,
    /// A file of the soa directory is broken, or mended.
    BreakConfig,
    /// The configuration of a coordinator is made another one than the others', or like them again.
    DriftConfig,
    /// A file of the soa directory is written slowly: cut off for a while.
    TearFile,
    /// Directories of the soa directory go one after the other, and come back.
    RemoveFiles,
    /// An operator drains a host, or undrains it.
    Maintenance,
    /// An operator makes an older version the desired one.
    Revert,
    /// Leadership is handed on.
    Transfer,
    /// A coordinator joins, or leaves for ever.
    Members,
}

/// All kinds, with how likely each is where it occurs.
const KINDS: [(Kind, u32); 30] = [
    (Kind::CrashCoordinator, 6),
    (Kind::CrashControlPlane, 1),
    (Kind::LoseStore, 2),
    (Kind::Forge, 2),
    (Kind::CutCoordinators, 6),
    (Kind::CutOneWay, 3),
    (Kind::CutLeader, 2),
    (Kind::SlowLink, 3),
    (Kind::FarApart, 1),
    (Kind::BreakConnections, 3),
    (Kind::CutAgent, 4),
    (Kind::CrashAgent, 4),
    (Kind::KillHost, 3),
    (Kind::MassFailure, 1),
    (Kind::ClockJump, 2),
    (Kind::EngineFault, 4),
    (Kind::CrashContainer, 3),
    (Kind::StaleOrder, 2),
    (Kind::Intruder, 2),
    (Kind::Deploy, 8),
    (Kind::Change, 6),
    (Kind::BreakConfig, 3),
    (Kind::DriftConfig, 2),
    (Kind::TearFile, 4),
    (Kind::RemoveFiles, 2),
    (Kind::Maintenance, 4),
    (Kind::Revert, 2),
    (Kind::Transfer, 2),
    (Kind::Members, 3),
    (Kind::FullDisk, 3),
];

impl Shape {
    /// Draws the shape of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let agents = match chance.random_range(0..10) {
            0..6 => chance.random_range(3..=6),
            6..9 => chance.random_range(7..=15),
            _ => chance.random_range(16..=50),
        };
        let mut mix: Vec<(Kind, u32)> = Vec::new();
        for (kind, weight) in KINDS {
            // Deploys make something happen at all; anything else may be left out.
            if kind == Kind::Deploy || chance.random_ratio(2, 3) {
                mix.push((kind, weight));
            }
        }
        Self {
            seed,
            coordinators: if chance.random_ratio(1, 4) { 5 } else { 3 },
            spare: chance.random_ratio(1, 2),
            agents,
            fault_ms: chance.random_range(15_000..=30_000),
            latency_ms: [10, 20, 40][chance.random_range(0..3)],
            snapshot_every: [30, 80, 200, 1_000][chance.random_range(0..4)],
            keep_log: [5, 20, 50][chance.random_range(0..3)],
            skews_ms: skews(seed),
            partial: chance.random_ratio(1, 3),
            mix,
            pace_ms: [400, 800, 1_600][chance.random_range(0..3)],
        }
    }

    /// Sees to it that a planted fault has an occasion to show.
    pub(crate) fn provoke(&mut self, plant: Plant) {
        let needed = match plant {
            Plant::I1 | Plant::I6 => vec![Kind::CrashControlPlane],
            Plant::I3 => vec![Kind::CrashAgent, Kind::StaleOrder],
            Plant::I5 => vec![Kind::Intruder],
            Plant::I6Quorum => vec![Kind::CutLeader],
            Plant::I7 => vec![Kind::MassFailure],
            Plant::I10 => vec![Kind::BreakConfig],
            Plant::Stores => vec![Kind::LoseStore],
            Plant::Terms => vec![Kind::Forge],
            Plant::Clock => {
                self.skews_ms = skews(0);
                Vec::new()
            }
            Plant::Disk => vec![Kind::FullDisk],
            Plant::I13 => vec![Kind::Deploy],
            Plant::I2
            | Plant::I4
            | Plant::I8
            | Plant::I9
            | Plant::I12
            | Plant::Links
            | Plant::I14
            | Plant::I14Stops => Vec::new(),
        };
        if plant == Plant::I12 {
            self.partial = false;
        }
        if plant == Plant::Disk {
            (self.snapshot_every, self.keep_log) = (30, 5);
        }
        if plant == Plant::I9 {
            (self.snapshot_every, self.keep_log, self.fault_ms) = (30, 5, 30_000);
        }
        if plant == Plant::Links {
            // Nothing else may be the reason that there is no leader, and all must run for a while.
            let mix = [
                (Kind::Deploy, 24),
                (Kind::FarApart, 6),
                (Kind::CrashControlPlane, 3),
            ];
            (self.mix, self.fault_ms, self.pace_ms) = (mix.to_vec(), 45_000, 1_600);
        }
        self.mix.retain(|(kind, _)| !needed.contains(kind));
        self.mix.extend(needed.into_iter().map(|kind| (kind, 12)));
    }

    /// The skew of an agent's clock.
    pub(crate) fn skew_ms(&self, at: usize) -> i64 {
        let all = &self.skews_ms;
        all.get(at % all.len().max(1)).copied().unwrap_or(0)
    }

    /// The skew of a coordinator's clock.
    pub(crate) fn coordinator_skew_ms(&self, id: u64) -> i64 {
        self.skew_ms(usize::try_from(id).unwrap_or(0)) / 4
    }

    /// In every third cluster more cores are given out than there are, in every other third fewer.
    pub(crate) fn pools(&self) -> Pools {
        let cpus_milli = [1_000, 1_500, 750][(self.seed % 3) as usize];
        let factors = Overcommit {
            cpus_milli,
            ..Overcommit::default()
        };
        let pools = [("default".to_owned(), factors)].into_iter();
        pools.filter(|(_, factors)| !factors.is_none()).collect()
    }

    /// Every coordinator's number, the spare one's last.
    pub(crate) fn coordinator_ids(&self) -> impl Iterator<Item = u64> + use<> {
        1..=self.coordinators + u64::from(self.spare)
    }

    /// Draws what befalls the cluster next.
    pub(crate) fn next_kind(&self, chance: &mut StdRng) -> Kind {
        let total: u32 = self.mix.iter().map(|(_, weight)| weight).sum();
        let mut at = chance.random_range(0..total);
        for (kind, weight) in &self.mix {
            if at < *weight {
                return *kind;
            }
            at -= weight;
        }
        Kind::Deploy
    }
}

/// In every third cluster some hosts are hours ahead and some behind.
fn skews(seed: u64) -> Vec<i64> {
    const HOUR_MS: i64 = 3_600_000;
    match seed % 3 {
        0 => vec![2 * HOUR_MS, 0, -2 * HOUR_MS, 3_000],
        _ => Vec::new(),
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = self
            .mix
            .iter()
            .map(|(kind, _)| format!("{kind:?}"))
            .collect();
        write!(
            f,
            "{} coordinators{}{}, {} agents{}, {} s of faults every {} ms, latency up to {} ms, snapshots every {} records; {}",
            self.coordinators,
            if self.spare { " and a spare one" } else { "" },
            if self.partial {
                ", planning what changed"
            } else {
                ""
            },
            self.agents,
            if self.skews_ms.is_empty() {
                ""
            } else {
                " with clocks hours off"
            },
            self.fault_ms / 1_000,
            self.pace_ms,
            self.latency_ms,
            self.snapshot_every,
            kinds.join(" ")
        )
    }
}
