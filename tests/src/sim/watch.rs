//! Looks at the hosts after every step: what agents obey, what was done to containers, what has
//! become of intruders.

use std::collections::{BTreeMap, BTreeSet};

use paasta_agent::engine::fake::Deed;
use paasta_agent_core::{labels, observed::ContainerState};
use paasta_common::report::{Health, Phase};

use super::{
    fleet::Quality,
    world::{AgentSeat, World},
};
use crate::checkers::{Violation, i5_orphans, i5_orphans::Intruder, i6_outage::Outage};

/// How long after the last coordinator died its last orders may still be carried out.
const LAST_ORDERS_MS: u64 = 1_500;

/// What is remembered of the hosts between two looks.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) outage: Outage,
    /// Since when no coordinator runs, and whether what runs is being watched.
    dead_since: Option<(u64, bool)>,
    intruders: BTreeMap<String, Vec<Intruder>>,
    intruders_so_far: u64,
}

impl Watch {
    /// The last coordinator has just died.
    pub(crate) fn control_plane_died(&mut self, world: &World) {
        self.dead_since = Some((world.clock.elapsed_ms(), false));
    }

    pub(crate) fn intruders_so_far(&self) -> u64 {
        self.intruders_so_far
    }

    pub(crate) fn intruder(&mut self, host: &str, intruder: Intruder) {
        self.intruders_so_far += 1;
        self.intruders
            .entry(host.to_owned())
            .or_default()
            .push(intruder);
    }

    /// The host died, and everything on it.
    pub(crate) fn host_died(&mut self, host: &str) {
        self.intruders.remove(host);
    }

    /// Looks at every host. True when the control plane has been dead for so long that what runs is
    /// watched from now on.
    pub(crate) fn look(&mut self, world: &World) -> bool {
        let began = self.watch_outage(world);
        for seat in &world.agents {
            if let Some(up) = seat.up() {
                let view = up.view.borrow().clone();
                let now_ms = world.clock.elapsed_ms();
                let running = view.reports.values().filter(|one| one.started_at.is_some());
                let runs = running.map(|one| (one.id, one.run));
                world.judge.lock().births.seen(seat.id(), runs, now_ms);
                let accepted = view.accepted.clone();
                if let Some(fence) = accepted {
                    world.judge.lock().obeyed(&seat.name, &fence);
                }
            }
            self.look_at(world, seat);
        }
        began
    }

    fn look_at(&mut self, world: &World, seat: &AgentSeat) {
        let mut found: Vec<Violation> = Vec::new();
        for deed in seat.engine.fake.take_deeds() {
            world.note(&seat.name, format_args!("{deed:?}"));
            let (Deed::Stopped(name) | Deed::Removed(name)) = deed else {
                continue;
            };
            for one in self.intruders.get_mut(&seat.name).into_iter().flatten() {
                one.alive &= one.name != name;
            }
            found.extend(self.outage.ended(&seat.name, &name));
        }
        if let Some(intruders) = self.intruders.get(&seat.name) {
            found.extend(i5_orphans::strangers(&seat.name, intruders));
        }
        if !found.is_empty() {
            world.judge.lock().blame(found);
        }
    }

    fn watch_outage(&mut self, world: &World) -> bool {
        let Some((since, watching)) = self.dead_since else {
            return false;
        };
        if world.up().next().is_some() {
            self.dead_since = None;
            self.outage = Outage::default();
            return false;
        }
        if watching || world.clock.elapsed_ms() < since + LAST_ORDERS_MS {
            return false;
        }
        self.dead_since = Some((since, true));
        for seat in &world.agents {
            if let Some(running) = well(seat) {
                self.outage.begin(&seat.name, running);
            }
        }
        true
    }

    /// Everything is healed and the reap age long past.
    pub(crate) fn settled(&self, world: &World) {
        for (host, intruders) in &self.intruders {
            world
                .judge
                .lock()
                .blame(i5_orphans::orphans(host, intruders));
        }
    }

    /// Whether an orphan is still there.
    pub(crate) fn orphan(&self) -> Option<&str> {
        let all = self.intruders.values().flatten();
        let mut orphans = all.filter(|one| one.ours && one.alive);
        orphans.next().map(|one| one.name.as_str())
    }
}

/// The containers of the host that run well and are to go on doing so.
fn well(seat: &AgentSeat) -> Option<BTreeSet<String>> {
    let view = seat.up()?.view.borrow().clone();
    let containers = seat.engine.fake.containers();
    let well = containers.into_iter().filter(|(_, container)| {
        let replica = container.spec.labels.get(labels::REPLICA);
        let replica = replica.and_then(|text| text.parse().ok());
        let report = replica.and_then(|id| view.reports.get(&id));
        container.state == ContainerState::Running
            && Quality::of_image(&container.spec.image) == Quality::Good
            && report.is_some_and(|report| {
                report.phase == Phase::Running
                    && matches!(report.health, Health::Healthy | Health::Unchecked)
                    && report.container.as_ref() == Some(&container.id)
            })
    });
    Some(well.map(|(name, _)| name).collect())
}
