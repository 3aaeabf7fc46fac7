//! The faults of the links between coordinators and hosts: cut, one-way, held, far apart.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};
use turmoil::Sim;

use super::{
    super::{
        plant::Plant,
        shape::Kind,
        world::{CoordinatorSeat, World},
    },
    End, Storm, pick_agent,
};

/// How much longer coordinators are far apart where that is the occasion for a planted fault,
/// milliseconds.
const FAR_MORE_MS: u64 = 25_000;

impl Storm {
    pub(super) fn cut(
        &mut self,
        sim: &Sim<'_>,
        world: &World,
        kind: Kind,
        until: u64,
        chance: &mut StdRng,
    ) {
        let names: Vec<&str> = world
            .coordinators
            .values()
            .map(|seat| seat.name.as_str())
            .collect();
        let one = match kind {
            Kind::CutAgent => match pick_agent(world, chance) {
                Some(seat) => seat.name.as_str(),
                None => return,
            },
            _ => names[chance.random_range(0..names.len())],
        };
        let all = chance.random_ratio(1, 2);
        for other in names.iter().filter(|other| **other != one) {
            if !all && chance.random_ratio(1, 2) {
                continue;
            }
            let (a, b) = (one.to_owned(), (*other).to_owned());
            match kind {
                Kind::SlowLink => {
                    world.note(one, format_args!("is slow to {other}"));
                    sim.hold(one, *other);
                    self.under_way.push((until, End::Release(a, b)));
                }
                Kind::CutOneWay => {
                    self.silence(sim, world, one, other);
                    self.under_way.push((until, End::Repair(a, b)));
                }
                _ => {
                    self.silence(sim, world, one, other);
                    self.silence(sim, world, other, one);
                    self.under_way.push((until, End::Repair(a, b)));
                }
            }
        }
    }

    /// Nothing from `one` reaches `other`.
    fn silence(&mut self, sim: &Sim<'_>, world: &World, one: &str, other: &str) {
        world.note(one, format_args!("is not heard by {other}"));
        self.cut.insert((one.to_owned(), other.to_owned()));
        sim.partition_oneway(one, other);
    }

    /// The leader is cut off from every other coordinator; or it is deaf; or it is mute.
    pub(super) fn cut_leader(
        &mut self,
        sim: &Sim<'_>,
        world: &World,
        until: u64,
        chance: &mut StdRng,
    ) {
        let Some((leader, _, _)) = world.leader() else {
            return;
        };
        let how = chance.random_range(0..3);
        for other in world
            .coordinators
            .values()
            .filter(|one| one.id != leader.id)
        {
            if how != 1 {
                self.silence(sim, world, &leader.name, &other.name);
            }
            if how != 2 {
                self.silence(sim, world, &other.name, &leader.name);
            }
            let end = End::Repair(leader.name.clone(), other.name.clone());
            self.under_way.push((until, end));
        }
    }

    /// Whether what the coordinator says reaches a majority of its cluster, itself included, and
    /// what they say reaches it.
    pub(crate) fn has_a_way(&self, world: &World, seat: &CoordinatorSeat, voters: &[u64]) -> bool {
        let reached = voters.iter().filter(|id| {
            let Some(other) = world.coordinators.get(id) else {
                return false;
            };
            let (a, b) = (seat.name.clone(), other.name.clone());
            let both_ways =
                !self.cut.contains(&(a.clone(), b.clone())) && !self.cut.contains(&(b, a));
            other.id == seat.id || (other.up().is_some() && both_ways)
        });
        reached.count() * 2 > voters.len()
    }

    /// Whether all coordinators that have not left run, have their disks and reach each other,
    /// however long a message takes.
    pub(crate) fn is_whole(&self, world: &World) -> bool {
        let hurts = |end: &End| match end {
            End::Near | End::RightClock(_) | End::MendEngine(_) => false,
            End::Start(name) => world.coordinators.values().any(|one| one.name == *name),
            End::Repair(..) | End::Release(..) | End::GiveBack(_) | End::MakeRoom(_) => true,
        };
        let seats = world.coordinators.values();
        let mut all = seats.filter(|seat| !seat.has_left());
        self.cut.is_empty()
            && !self.under_way.iter().any(|(_, end)| hurts(end))
            && all.all(|seat| seat.up().is_some())
    }

    /// The coordinators are as far from each other as they may be.
    pub(super) fn far_apart(
        &mut self,
        sim: &Sim<'_>,
        world: &World,
        until: u64,
        chance: &mut StdRng,
    ) {
        if self
            .under_way
            .iter()
            .any(|(_, end)| matches!(end, End::Near))
        {
            return;
        }
        let drawn: u64 = chance.random_range(60..=125);
        // A planted fault needs an occasion: a leader that is killed while it is far.
        let (one_way_ms, until) = match world.plant {
            Some(Plant::Links) => (125, until + FAR_MORE_MS),
            _ => (drawn, until),
        };
        let one_way = Duration::from_millis(one_way_ms);
        world.note("sim", format_args!("coordinators are {one_way:?} apart"));
        for (a, b) in pairs(world) {
            sim.set_link_latency(a, b, one_way);
        }
        self.under_way.push((until, End::Near));
    }
}

/// Every two coordinators.
pub(super) fn pairs(world: &World) -> Vec<(&str, &str)> {
    let names: Vec<&str> = world
        .coordinators
        .values()
        .map(|one| one.name.as_str())
        .collect();
    let mut pairs = Vec::new();
    for (at, a) in names.iter().enumerate() {
        pairs.extend(names[at + 1..].iter().map(|b| (*a, *b)));
    }
    pairs
}
