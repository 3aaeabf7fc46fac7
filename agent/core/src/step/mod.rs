//! One step: take what ended, meet what is there, move every replica on, reap.

mod adopt;
mod events;
mod replica;
mod world;

use std::collections::BTreeSet;

use paasta_common::time::Timestamp;

use crate::{
    actions::{Action, Actions},
    images,
    observed::Observed,
    ports, reap,
    settings::HostSettings,
    state::{LocalState, Stage},
};
use world::{Turn, World};

/// Decides what happens next on this host. Changes `state`, which is to be written before any of
/// the actions is begun.
pub fn step(
    state: &mut LocalState,
    settings: &HostSettings,
    observed: &Observed,
    now: Timestamp,
) -> Actions {
    let world = World {
        assignment: state.assignment.as_ref(),
        settings,
        observed,
        now,
    };
    let mut images = std::mem::take(&mut state.images);
    let mut turn = Turn {
        ready: events::take(&world, &mut state.records, &mut images),
        refetches: images,
        pulls: BTreeSet::new(),
        taken: BTreeSet::new(),
        actions: Actions::default(),
    };
    adopt::adopt(&world, &mut state.records);
    let mut records = std::mem::take(&mut state.records);
    turn.taken = ports::taken(&records, observed);
    records.retain(|id, record| {
        replica::advance(&world, &mut turn, *id, record);
        // What is gone is kept as long as it is assigned: that is how it is told.
        record.stage != Stage::Gone || world.assigned(*id).is_some()
    });
    let mut actions = turn.actions;
    state.records = records;
    state.images = turn.refetches;
    images::forget(state);
    let awaited = images::awaited(state);
    let unwanted = observed.pulling.iter();
    let unwanted = unwanted.filter(|image| !awaited.contains(image.as_str()));
    actions
        .actions
        .extend(unwanted.map(|image| Action::CancelPull {
            image: image.clone(),
        }));
    reap::reap(state, settings, observed, now, &mut actions);
    actions
}

#[cfg(test)]
mod tests;
