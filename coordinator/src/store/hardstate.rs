//! The few facts that decide whether this node may vote, and their form on disk.
//!
//! They live outside sled on purpose: it is this file that notices when sled has forgotten.

use prost::Message;

use super::id::StoreId;

/// A vote, in the words of the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Ballot {
    /// The term the vote was given in.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The node it was given to.
    #[prost(uint64, tag = "2")]
    pub node: u64,
    /// Whether that node is known to have won.
    #[prost(bool, tag = "3")]
    pub committed: bool,
}

impl Ballot {
    /// Whether remembering `self` implies that `older` has not been forgotten.
    pub fn covers(&self, older: &Ballot) -> bool {
        if self.term != older.term {
            return self.term > older.term;
        }
        if self.committed != older.committed {
            return self.committed;
        }
        self.node == older.node
    }
}

/// A place in the log together with the chained checksum of the record there, which stands for
/// every record before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Mark {
    /// Index in the log, from 0.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// The term of the record.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// The record's chained checksum; 0 when the record was never on this disk, because a
    /// snapshot replaced it.
    #[prost(uint32, tag = "3")]
    pub chain: u32,
}

/// What the high-water file holds.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct HardState {
    /// The node this store belongs to; it never changes.
    #[prost(uint64, tag = "1")]
    pub node: u64,
    /// The cluster this store belongs to; empty until one is made or first heard from.
    #[prost(string, tag = "2")]
    pub cluster: String,
    /// The last vote, written here before anywhere else.
    #[prost(message, optional, tag = "3")]
    pub vote: Option<Ballot>,
    /// The last vote known to be durable in the log store as well. That store must never show an
    /// older one; it may lag behind `vote` only if the node died while voting.
    #[prost(message, optional, tag = "4")]
    pub settled: Option<Ballot>,
    /// The last durable record. Written before the record is acknowledged, so the log must reach
    /// it, always.
    #[prost(message, optional, tag = "5")]
    pub durable: Option<Mark>,
    /// The last record known to be durably purged.
    #[prost(message, optional, tag = "6")]
    pub purged: Option<Mark>,
    /// How often the cluster was recovered when this store joined it, from 1; 0 as long as there
    /// is no cluster. Stores of different epochs never mix.
    #[prost(uint64, tag = "7")]
    pub epoch: u64,
    /// The id of this store, as text; empty in one that an older version made, until it is opened.
    #[prost(string, tag = "8")]
    pub store: String,
}

impl HardState {
    /// The id of this store; `None` in one that an older version made and none has opened since.
    pub fn store_id(&self) -> Option<StoreId> {
        self.store.parse().ok()
    }

    /// Whether this store has taken no part in any consensus yet.
    pub fn is_pristine(&self) -> bool {
        self.vote.is_none() && self.durable.is_none() && self.purged.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ballot(term: u64, node: u64, committed: bool) -> Ballot {
        Ballot {
            term,
            node,
            committed,
        }
    }

    #[test]
    fn a_ballot_covers_what_it_supersedes_and_nothing_else() {
        let cases = [
            (ballot(2, 1, false), ballot(1, 2, true), true),
            (ballot(1, 2, true), ballot(2, 1, false), false),
            (ballot(3, 1, true), ballot(3, 1, false), true),
            (ballot(3, 1, false), ballot(3, 1, true), false),
            (ballot(3, 2, true), ballot(3, 1, false), true),
            (ballot(3, 1, false), ballot(3, 2, false), false),
            (ballot(3, 1, false), ballot(3, 1, false), true),
        ];
        for (newer, older, expected) in cases {
            assert_eq!(newer.covers(&older), expected, "{newer:?} covers {older:?}");
        }
    }
}
