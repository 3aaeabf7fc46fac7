//! What a simulation came across, in figures: a mix of faults that never makes anything happen
//! shows here.

use std::{collections::BTreeMap, fmt};

use paasta_coordinator_core::state::command::{BounceStep, Command};

/// Figures by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// One more.
    pub(crate) fn add(&mut self, what: &'static str) {
        self.set(what, self.get(what) + 1);
    }

    pub(crate) fn set(&mut self, what: &'static str, count: u64) {
        self.0.insert(what, count);
    }

    /// How many.
    pub fn get(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// A command was applied for the first time.
    pub(crate) fn command(&mut self, command: &Command) {
        self.add("commands");
        let what = match command {
            Command::Place(_) => "placements",
            Command::HostLost(_) => "hosts_lost",
            Command::HostBack(_) => "hosts_back",
            Command::DrainHost(_) => "drains",
            Command::ReleaseBrake(_) => "brakes_released",
            Command::RemoveInstances(_) => "removals",
            Command::DropInstance(_) => "drops",
            Command::SetProblems(_) => "config_problems",
            Command::RollBack(_) => "reverts",
            Command::ForceBounce(_) => "forced_bounces",
            Command::Bounce(bounce) => match &bounce.step {
                BounceStep::Start { .. } => "bounces",
                BounceStep::Expired { .. } => "bounces_expired",
                BounceStep::Finish { .. } => "bounces_finished",
                BounceStep::Progress { .. } => return,
            },
            _ => return,
        };
        self.add(what);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self
            .0
            .iter()
            .map(|(what, count)| format!("{what}={count}"))
            .collect();
        f.write_str(&all.join(" "))
    }
}
