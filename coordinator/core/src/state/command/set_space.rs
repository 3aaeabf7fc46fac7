//! The room of a coordinator's data directory has another level. Proposed only when it changes:
//! how much there is from one second to the next is never a command.

use serde::{Deserialize, Serialize};

use super::Context;
use crate::{
    space::{Level, Space},
    state::{
        ClusterState,
        event::{EventKind, Subject},
        outcome::Outcome,
    },
};

const MIB: u64 = 1 << 20;
/// The most coordinators that are remembered: far more than a cluster has.
const COORDINATORS_MAX: usize = 64;

/// The room of a coordinator's data directory has another level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSpace {
    /// The coordinator's id.
    pub coordinator: u64,
    /// What its room allows now.
    pub level: Level,
    /// How much there is.
    pub space: Space,
}

impl SetSpace {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let levels = &mut state.tables.space;
        let before = levels.get(&self.coordinator).copied().unwrap_or_default();
        if before == self.level {
            return Outcome::Unchanged;
        }
        match self.level {
            Level::Ample => drop(levels.remove(&self.coordinator)),
            level => drop(levels.insert(self.coordinator, level)),
        }
        while levels.len() > COORDINATORS_MAX {
            levels.pop_first();
        }
        let (free, total) = (self.space.free / MIB, self.space.total / MIB);
        let meaning = match self.level {
            Level::Ample => "there is room again",
            Level::Low => "make room: at the reserve, new versions and configurations are refused",
            Level::Reserve => "new versions and configurations are refused until there is room",
            Level::Last => "only what mends the cluster is taken until there is room",
        };
        let text = format!(
            "coordinator {}: {free} of {total} MiB are free in its data directory; {meaning}",
            self.coordinator
        );
        state.note(context, EventKind::Cluster, Subject::Cluster, text);
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{build::Cluster, state::command::Command};

    fn set(coordinator: u64, level: Level) -> Command {
        let space = Space {
            free: 5 * MIB,
            total: 100 * MIB,
        };
        Command::SetSpace(SetSpace {
            coordinator,
            level,
            space,
        })
    }

    #[test]
    fn each_change_is_said_once() {
        let mut cluster = Cluster::new(0);
        let said = |cluster: &Cluster| {
            let events = cluster.state.events();
            events
                .filter(|event| event.text.contains("5 of 100 MiB are free"))
                .count()
        };
        for (command, outcome, events) in [
            (set(1, Level::Ample), Outcome::Unchanged, 0),
            (set(1, Level::Low), Outcome::Applied, 1),
            (set(1, Level::Low), Outcome::Unchanged, 1),
            (set(2, Level::Low), Outcome::Applied, 2),
            (set(1, Level::Last), Outcome::Applied, 3),
            (set(1, Level::Ample), Outcome::Applied, 4),
            (set(1, Level::Ample), Outcome::Unchanged, 4),
        ] {
            assert_eq!(cluster.apply(command.clone()), outcome, "{command:?}");
            assert_eq!(said(&cluster), events, "{command:?}");
        }
        assert_eq!(cluster.state.space_levels().len(), 1);
        for coordinator in 0..200 {
            cluster.apply(set(coordinator, Level::Reserve));
        }
        assert_eq!(cluster.state.space_levels().len(), COORDINATORS_MAX);
    }
}
