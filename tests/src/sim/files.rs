//! What befalls the soa directory though nobody means it: files that are written slowly, directories
//! that go one after the other and come back. What users want stays what it was.

use std::io;

use rand::{RngExt, rngs::StdRng};

use super::{fleet::Fleet, hosts::REMOVAL_PATIENCE_MS, shape::Kind, world::World};

/// A file that is cut off rests for less than this: what rests for longer is what somebody means.
const CUT_MS: u64 = 900;
/// Between two directories that go, at most.
const PIECE_MS: u64 = 700;

/// What is still to be done to the files, each at its time.
#[derive(Default)]
pub(crate) struct Files(Vec<(u64, Step)>);

enum Step {
    Remove(String),
    Restore(String),
}

impl Files {
    /// Begins something of this kind.
    pub(crate) fn befall(
        &mut self,
        world: &World,
        fleet: &mut Fleet,
        kind: Kind,
        chance: &mut StdRng,
    ) -> io::Result<()> {
        match kind {
            Kind::TearFile => self.tear(world, fleet, chance),
            Kind::RemoveFiles => {
                self.remove(world, fleet, chance);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn tear(&mut self, world: &World, fleet: &mut Fleet, chance: &mut StdRng) -> io::Result<()> {
        // One thing at a time, so that it is known what the guard has to hold back.
        if !self.0.is_empty() {
            return Ok(());
        }
        let services = fleet.services();
        let service = services[chance.random_range(0..services.len())].clone();
        let empty = chance.random_ratio(1, 2);
        let for_ms = match empty {
            true => chance.random_range(50..REMOVAL_PATIENCE_MS),
            false => chance.random_range(50..CUT_MS),
        };
        let part = if empty {
            0
        } else {
            chance.random_range(1..100)
        };
        if !fleet.tear(&service, part)? {
            return Ok(());
        }
        let note = format_args!("the file of {service} is cut off at {part} % for {for_ms} ms");
        world.note("user", note);
        world.judge.lock().tally.add("torn_files");
        let back = world.clock.elapsed_ms() + for_ms;
        self.0.push((back, Step::Restore(service)));
        Ok(())
    }

    /// Some directories for less than the patience, or all of them for longer.
    fn remove(&mut self, world: &World, fleet: &Fleet, chance: &mut StdRng) {
        if !self.0.is_empty() {
            return;
        }
        let mut services = fleet.services();
        let all = chance.random_ratio(1, 2);
        if !all {
            services.truncate(chance.random_range(1..=services.len()));
        }
        let mut at = world.clock.elapsed_ms();
        let back = match all {
            true => at + 2 * REMOVAL_PATIENCE_MS + chance.random_range(0..REMOVAL_PATIENCE_MS),
            false => at + chance.random_range(500..REMOVAL_PATIENCE_MS - 500),
        };
        world.note(
            "user",
            format_args!("the directories of {services:?} go until {back}"),
        );
        world.judge.lock().tally.add("removed_directories");
        for service in services {
            self.0.push((at, Step::Remove(service.clone())));
            self.0.push((back, Step::Restore(service)));
            at = (at + chance.random_range(50..PIECE_MS)).min(back);
        }
    }

    /// Does what is due, or ends everything.
    pub(crate) fn pass(
        &mut self,
        world: &World,
        fleet: &mut Fleet,
        everything: bool,
    ) -> io::Result<()> {
        let now = world.clock.elapsed_ms();
        for (at, step) in std::mem::take(&mut self.0) {
            match step {
                Step::Remove(_) if everything => {}
                Step::Remove(service) if at <= now => fleet.take_away(&service)?,
                Step::Restore(service) if at <= now || everything => fleet.restore(&service)?,
                step => self.0.push((at, step)),
            }
        }
        Ok(())
    }
}
