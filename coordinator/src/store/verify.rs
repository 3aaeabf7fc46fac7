//! Whether the log store still holds everything this node answered for. sled cannot tell: a
//! damaged tail opens without an error and with fewer records.
//!
//! What is noticed here: any acknowledged record that is missing or differs (the durable mark is
//! written before each acknowledgement and carries the chained checksum of all before it), any
//! forgotten vote, any purge forgotten by either side, any hole, any flipped bit in what is left.
//! What is not: records written but not yet acknowledged, which nobody counts on; and, if one slot
//! of the high-water file has been torn as well, records acknowledged in its last write.

use std::collections::BTreeMap;

use prost::Message;

use super::{
    disk::{COMMITTED_KEY, PURGED_KEY, VOTE_KEY},
    error::Damage,
    hardstate::{Ballot, HardState, Mark},
    log::State,
    record::{Assembler, RECORD_PREFIX, Stored, parse_key},
};

/// What a scan of the log store found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) state: State,
    /// The mark of every record, by index.
    marks: BTreeMap<u64, Mark>,
}

/// Reads the whole tree and checks it against itself.
pub(super) fn scan(tree: &sled::Tree) -> Result<Scan, Damage> {
    let mut found = Scan::default();
    let read = |key| tree.get(key).map_err(|error| Damage(error.to_string()));
    if let Some(bytes) = read(VOTE_KEY)? {
        found.state.vote = Some(decode("the vote", &bytes)?);
    }
    if let Some(bytes) = read(PURGED_KEY)? {
        found.state.purged = Some(decode("the purge mark", &bytes)?);
    }
    if let Some(bytes) = read(COMMITTED_KEY)? {
        let mark: Mark = decode("the commit mark", &bytes)?;
        found.state.committed = Some(mark.into());
    }
    let mut assembler = Assembler::default();
    for item in tree.scan_prefix([RECORD_PREFIX]) {
        let (key, value) = item.map_err(|error| Damage(error.to_string()))?;
        if let Some(purged) = found.state.purged
            && parse_key(&key)?.0 <= purged.index
        {
            return Err(Damage(format!(
                "records before {} have come back",
                purged.index + 1
            )));
        }
        if let Some(stored) = assembler.push(&key, &value)? {
            found.add(&stored)?;
        }
    }
    assembler.finish()?;
    Ok(found)
}

impl Scan {
    fn add(&mut self, stored: &Stored) -> Result<(), Damage> {
        let mark = stored.mark();
        if let Some(before) = self.state.last.or(self.state.purged) {
            if before.index + 1 != mark.index {
                let missing = before.index + 1;
                return Err(Damage(format!("record {missing} of the log is missing")));
            }
            if before.term > mark.term {
                return Err(Damage(format!(
                    "record {} is older than the one before",
                    mark.index
                )));
            }
            // After a snapshot replaced the log, nothing is known of the record before.
            if before.chain != 0 && before.chain != stored.previous {
                let index = mark.index;
                return Err(Damage(format!(
                    "record {index} does not continue the one before it"
                )));
            }
        } else if stored.previous != 0 {
            return Err(Damage(format!(
                "the log lacks everything before record {}",
                mark.index
            )));
        }
        self.state.last = Some(mark);
        self.marks.insert(mark.index, mark);
        Ok(())
    }

    /// Compares what was found with what this node promised.
    pub(super) fn check_against(&self, hard: &HardState) -> Result<(), Damage> {
        self.check_vote(hard)?;
        let purged = self.state.purged;
        if let Some(promised) = hard.purged
            && purged.is_none_or(|found| found.index < promised.index)
        {
            return Err(Damage(format!(
                "the log forgot that it was purged up to {}",
                promised.index
            )));
        }
        let Some(promised) = hard.durable else {
            return Ok(());
        };
        if purged.is_some_and(|found| found.index >= promised.index) {
            return Ok(());
        }
        match self.marks.get(&promised.index) {
            Some(found) if *found == promised => Ok(()),
            Some(_) => Err(Damage(format!(
                "record {} is not the one that was acknowledged",
                promised.index
            ))),
            None => Err(Damage(format!(
                "the log must reach record {} but {}",
                promised.index,
                match self.state.last {
                    Some(last) => format!("ends with record {}", last.index),
                    None => "is empty".to_owned(),
                }
            ))),
        }
    }

    fn check_vote(&self, hard: &HardState) -> Result<(), Damage> {
        let found = self.state.vote;
        if let Some(promised) = hard.settled
            && !found.is_some_and(|found| found.covers(&promised))
        {
            return Err(Damage(format!(
                "the log store forgot the vote of term {}",
                promised.term
            )));
        }
        if let Some(found) = found
            && !hard.vote.is_some_and(|vote| vote.covers(&found))
        {
            return Err(Damage(format!(
                "the high-water file forgot the vote of term {}",
                found.term
            )));
        }
        Ok(())
    }
}

fn decode<M: Message + Default>(what: &str, bytes: &[u8]) -> Result<M, Damage> {
    M::decode(bytes).map_err(|error| Damage(format!("{what} cannot be read: {error}")))
}

/// The newest vote of the two places; they differ only if the node died while voting.
pub(super) fn newest_vote(hard: &HardState, found: Option<Ballot>) -> Option<Ballot> {
    hard.vote.or(found)
}
