//! The witness of one coordinator: shows what it does to the judge, after planting whatever is to
//! be planted there.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use paasta_common::{id::HostId, time::Timestamp};
use paasta_coordinator::witness::Witness;
use paasta_coordinator_core::{
    desired::Reading,
    plan::{Plan, observed::Observed},
    state::ClusterState,
};

use super::{
    plant::{self, Plant},
    world::World,
};

/// How many plans a planted planner leaves as they are: something must run first.
const PLANS_BEFORE: u64 = 40;
/// The log indexes at which a planted state is spoilt: not every one holds a command.
const SPOILT_AT: RangeInclusive<u64> = 60..=70;

/// Watches one coordinator.
pub(crate) struct Eye {
    world: Arc<World>,
    seat: u64,
    plans: AtomicU64,
}

/// After so many virtual milliseconds a planted reader overlooks an instance.
const OVERLOOKED_MS: u64 = 15_000;

impl Eye {
    pub(crate) fn new(world: Arc<World>, seat: u64) -> Self {
        Self {
            world,
            seat,
            plans: AtomicU64::new(0),
        }
    }

    fn name(&self) -> &str {
        self.world
            .coordinators
            .get(&self.seat)
            .map_or("?", |seat| &seat.name)
    }

    fn spoil(&self, index: u64, state: &mut ClusterState) {
        if self.world.plant == Some(Plant::I2)
            && SPOILT_AT.contains(&index)
            && let Some(spoilt) = plant::move_a_replica(state)
        {
            *state = spoilt;
        }
    }
}

impl Witness for Eye {
    fn read(&self, reading: &mut Reading) {
        if self.world.plant == Some(Plant::I10) {
            plant::hide_the_rest(reading);
        }
        // What runs by then is missing in every later reading.
        if self.world.plant == Some(Plant::I14) && self.world.clock.elapsed_ms() > OVERLOOKED_MS {
            plant::overlook_an_instance(reading);
        }
    }

    fn planned(&self, state: &ClusterState, seen: &Observed, now: Timestamp, plan: &mut Plan) {
        let times = self.plans.fetch_add(1, Ordering::SeqCst);
        match self.world.plant {
            Some(Plant::I4 | Plant::I14Stops) if times > PLANS_BEFORE => {
                plant::stop_the_happy(state, plan);
            }
            Some(Plant::I13) => plant::stop_what_drains(state, plan),
            Some(Plant::I8) => plan
                .report
                .instances
                .values_mut()
                .for_each(|one| Arc::make_mut(one).waiting.clear()),
            Some(Plant::I12) => plant::change_the_mind(plan, times),
            _ => {}
        }
        if !plan.commands.is_empty() {
            let count = plan.commands.len();
            self.world
                .note(self.name(), format_args!("plans {count} commands"));
        }
        let world = &self.world;
        let routes = |id| world.routes(id);
        world.judge.lock().planned(state, seen, now, plan, routes);
        let mut coordinators = world.coordinators.values();
        if coordinators.all(|seat| !seat.clock.has_jumped()) {
            let set = |host: &HostId| {
                let mut seats = world.agents.iter();
                seats.any(|seat| seat.id() == host && !seat.clock.has_jumped())
            };
            world.judge.lock().ages(seen, now, set);
        }
    }

    fn applied(&self, index: u64, command: &[u8], state: &mut ClusterState) {
        self.spoil(index, state);
        let mut judge = self.world.judge.lock();
        let what = judge.applied(self.name(), index, command, state);
        drop(judge);
        self.world
            .note(self.name(), format_args!("applies {index}: {what}"));
    }

    fn restored(&self, state: &ClusterState) {
        let index = state.last_index();
        self.world.note(
            self.name(),
            format_args!("restores a snapshot up to {index}"),
        );
        self.world.judge.lock().restored(self.name(), state);
    }
}
