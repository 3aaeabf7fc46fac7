//! How much room a coordinator's data directory has, what that means, and which commands are
//! still taken: a full disk stops a coordinator, so what may wait is refused before.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::state::command::Command;

const MIB: u64 = 1 << 20;
/// The reserve is this part of the file system, within the two bounds that follow.
const RESERVE_SHARE: u64 = 20;
/// The least reserve: a few segments of the log.
const RESERVE_MIN: u64 = 32 * MIB;
/// The largest reserve: more is never needed to mend a cluster.
const RESERVE_MAX: u64 = 1024 * MIB;
/// On a small file system the reserve is never more than this part of it.
const RESERVE_PART_MAX: u64 = 4;
/// Room is low below this part of the file system.
const LOW_SHARE: u64 = 10;
/// A level ends when there is this much more than the room at which it began, in percent: what
/// lies at the bound does not go back and forth.
const MARGIN_PERCENT: u64 = 25;

/// The room of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// What a process without privileges may still write.
    pub free: u64,
    /// The size of the file system.
    pub total: u64,
}

/// What the room of a data directory allows.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Everything.
    #[default]
    Ample,
    /// Everything; an operator should make room: less than 10 % are free.
    Low,
    /// The reserve is reached: new versions and configurations are refused.
    Reserve,
    /// Half of the reserve is used up: only what mends the cluster is taken.
    Last,
}

impl Level {
    /// All of them, the best first.
    pub const ALL: [Self; 4] = [Self::Ample, Self::Low, Self::Reserve, Self::Last];

    /// The word used in status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ample => "ok",
            Self::Low => "low",
            Self::Reserve => "reserve",
            Self::Last => "full",
        }
    }

    /// The level after `before`, when there is this much room now.
    #[must_use]
    pub fn next(before: Self, space: Space) -> Self {
        let at = |margin: u64| {
            let below = |bytes: u64| space.free < bytes.saturating_add(bytes / 100 * margin);
            let levels = [Self::Last, Self::Reserve, Self::Low];
            let found = levels
                .into_iter()
                .find(|level| below(level.begins_at(space)));
            found.unwrap_or(Self::Ample)
        };
        // Worse at once, better only with a margin.
        at(0).max(at(MARGIN_PERCENT).min(before))
    }

    /// Free bytes below which it begins.
    fn begins_at(self, space: Space) -> u64 {
        let reserve = reserve_bytes(space.total);
        match self {
            Self::Ample => u64::MAX,
            Self::Low => (space.total / LOW_SHARE).max(reserve + reserve / 2),
            Self::Reserve => reserve,
            Self::Last => reserve / 2,
        }
    }

    /// Whether this command is taken at this level.
    #[must_use]
    pub fn admits(self, command: &Command) -> bool {
        match self {
            Self::Ample | Self::Low => true,
            Self::Reserve => weight(command) < Weight::Changes,
            Self::Last => weight(command) == Weight::Mends,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many bytes of a file system of `total` are the reserve, in which writes that can wait are
/// refused.
#[must_use]
pub fn reserve_bytes(total: u64) -> u64 {
    (total / RESERVE_SHARE)
        .clamp(RESERVE_MIN, RESERVE_MAX)
        .min(total / RESERVE_PART_MAX)
}

/// How many free bytes a snapshot must leave to the log.
#[must_use]
pub fn log_bytes(total: u64) -> u64 {
    reserve_bytes(total) / 4
}

/// The level that writes of a leader go by: its own, or the one that a majority of the voters is
/// not better than, whichever is worse. A follower that is not heard of counts as one with room.
#[must_use]
pub fn gate(own: Level, others: &[Level]) -> Level {
    let mut all = others.to_vec();
    all.push(own);
    all.sort_unstable();
    let majority = all.len() / 2;
    all.get(majority).copied().unwrap_or(own).max(own)
}

/// What a command does for the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Takes something away, or is needed to mend the cluster.
    Mends,
    /// Keeps running what runs, or is what an operator does in an emergency.
    Keeps,
    /// Brings something new that can wait.
    Changes,
}

fn weight(command: &Command) -> Weight {
    match command {
        Command::Init(_)
        | Command::RemoveHost(_)
        | Command::ReleaseBrake(_)
        | Command::RemoveInstances(_)
        | Command::DropInstance(_)
        | Command::SetSpace(_)
        | Command::SetWant(_)
        | Command::NoteAbsence(_)
        | Command::Forget(_)
        | Command::SetAuthorities(_)
        | Command::RevokeToken(_)
        | Command::RemovePrincipal(_)
        | Command::RevokeIdentity(_)
        | Command::RestoreIdentity(_) => Weight::Mends,
        Command::RegisterHost(_)
        | Command::HostLost(_)
        | Command::HostBack(_)
        | Command::DrainHost(_)
        | Command::UndrainHost(_)
        | Command::ResetBackoff(_)
        | Command::RollBack(_)
        | Command::ResumeBounce(_)
        | Command::SetOverride(_)
        | Command::SetProblems(_)
        | Command::SetAlert(_)
        | Command::RefuseHost(_)
        | Command::SetHostTrouble(_)
        | Command::PaceBounces(_)
        | Command::RenewNode(_)
        | Command::CreateToken(_)
        | Command::UseToken(_)
        | Command::SetPrincipal(_)
        | Command::Place(_)
        | Command::Bounce(_) => Weight::Keeps,
        Command::SetInstance(_)
        | Command::ForceBounce(_)
        | Command::SetPools(_)
        | Command::SetSettings(_)
        | Command::NoteClock(_)
        | Command::NoteTroubles(_)
        | Command::SetVersions(_) => Weight::Changes,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::state::command::{ForceBounce, Forget, HostLost, RemoveInstances};

    const GIB: u64 = 1 << 30;

    fn at(before: Level, free: u64) -> Level {
        Level::next(
            before,
            Space {
                free,
                total: 10 * GIB,
            },
        )
    }

    #[test]
    fn levels_begin_at_their_bounds_and_end_with_a_margin() {
        let reserve = reserve_bytes(10 * GIB);
        assert_eq!(reserve, 512 * MIB);
        assert_eq!(at(Level::Ample, 2 * GIB), Level::Ample);
        assert_eq!(at(Level::Ample, GIB - 1), Level::Low);
        assert_eq!(at(Level::Ample, reserve - 1), Level::Reserve);
        assert_eq!(at(Level::Ample, reserve / 2 - 1), Level::Last);
        assert_eq!(at(Level::Last, reserve / 2 + 1), Level::Last, "no margin");
        assert_eq!(at(Level::Last, reserve * 2 / 3), Level::Reserve);
        assert_eq!(at(Level::Reserve, reserve + 1), Level::Reserve);
        assert_eq!(at(Level::Reserve, reserve * 3 / 2), Level::Low);
        assert_eq!(at(Level::Low, GIB + 1), Level::Low);
        assert_eq!(at(Level::Low, GIB * 3 / 2), Level::Ample);
        assert_eq!(at(Level::Last, 2 * GIB), Level::Ample, "all at once");
    }

    #[test]
    fn small_and_large_file_systems_have_a_reserve_in_proportion() {
        assert_eq!(reserve_bytes(64 * MIB), 16 * MIB);
        assert_eq!(reserve_bytes(256 * MIB), 32 * MIB);
        assert_eq!(reserve_bytes(100_000 * GIB), GIB);
        assert_eq!(reserve_bytes(0), 0);
        assert_eq!(
            Level::next(Level::Ample, Space { free: 0, total: 0 }),
            Level::Ample,
            "a file system that tells nothing refuses nothing"
        );
    }

    #[test]
    fn a_majority_without_room_holds_the_leader_back() {
        use Level::{Ample, Last, Low, Reserve};
        assert_eq!(gate(Ample, &[]), Ample);
        assert_eq!(
            gate(Ample, &[Last, Ample]),
            Ample,
            "one of three may be full"
        );
        assert_eq!(gate(Ample, &[Last, Reserve]), Reserve);
        assert_eq!(
            gate(Last, &[Ample, Ample]),
            Last,
            "its own log is on its disk"
        );
        assert_eq!(gate(Low, &[Last, Last, Ample, Ample]), Low);
        assert_eq!(gate(Low, &[Last, Last, Last, Ample]), Last);
    }

    #[test]
    fn what_mends_is_taken_to_the_end() {
        let mending = [
            Command::RemoveInstances(RemoveInstances {
                ids: BTreeSet::new(),
                force: false,
                rule: None,
            }),
            Command::Forget(Forget {
                replicas: Vec::new(),
            }),
        ];
        let keeping = Command::HostLost(HostLost {
            host: crate::build::host_id(1),
        });
        let changing = Command::ForceBounce(ForceBounce {
            instance: crate::build::main_instance(),
            reason: String::new(),
        });
        for level in Level::ALL {
            assert!(mending.iter().all(|command| level.admits(command)));
            assert_eq!(level.admits(&keeping), level < Level::Last, "{level}");
            assert_eq!(level.admits(&changing), level < Level::Reserve, "{level}");
        }
    }
}
