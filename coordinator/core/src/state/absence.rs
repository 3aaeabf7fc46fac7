//! An instance that readings of the configuration do not have any more: since when, and until when
//! it is waited for. Spans, not moments, are carried from one leader to the next: no two machines'
//! clocks are compared.

use paasta_common::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Why an instance is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// It is not declared any more.
    Undeclared,
    /// It is declared, and no version is deployed for it any more.
    Undeployed,
}

impl Removal {
    /// The word used in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undeclared => "undeclared",
            Self::Undeployed => "undeployed",
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Undeclared => "no longer declared",
            Self::Undeployed => "no longer deployed",
        }
    }
}

/// How long an instance has been absent from the readings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// What the readings say.
    pub removal: Removal,
    /// When it was first missed, for people: by the clock of the leader of then.
    pub since: Timestamp,
    /// The Raft term of the leader that noted it last, by whose clock the next two are.
    pub leadership: u64,
    /// When it was noted last.
    pub noted_at: Timestamp,
    /// How long it had been absent by then, in milliseconds.
    pub waited_ms: u64,
    /// When it will have been absent for long enough to be removed.
    pub until: Timestamp,
}

impl Absence {
    /// How long it has been absent at `now`, a time of the leader of `leadership`; milliseconds.
    /// The time between two leaders does not count.
    pub fn waited_at(&self, leadership: u64, now: Timestamp) -> u64 {
        let since = match self.leadership == leadership {
            true => now.since_ms(self.noted_at),
            false => 0,
        };
        self.waited_ms.saturating_add(since)
    }

    /// Whether it has been absent for long enough at `now`, a time of the leader of `leadership`.
    pub fn is_over(&self, leadership: u64, now: Timestamp) -> bool {
        self.leadership == leadership && now >= self.until
    }
}
