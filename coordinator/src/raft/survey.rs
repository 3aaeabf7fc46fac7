//! What one member's own store still knows, while its coordinator does not run: for the recovery of
//! a cluster that lost its majority for good.

use std::{collections::BTreeMap, path::Path};

use openraft::{EntryPayload, Membership};

use super::{
    entry::from_record,
    error::RaftError,
    machine::Machine,
    runtime::random_store_id,
    state_machine::read_meta,
    terms::TERM_MAX,
    types::{Command, Node},
};
use crate::store::{FlushTimer, IoMode, OnVolume, Position, Store, StoreOptions, identity_of};

/// Records read from the log at once.
const STEP: u64 = 1024;

/// What a store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The member the store belongs to.
    pub node: u64,
    /// Its cluster.
    pub cluster_id: String,
    /// The cluster's epoch, from 1.
    pub epoch: u64,
    /// The newest term it knows that elections can have made.
    pub term: u64,
    /// The last record, committed or not.
    pub last: Option<Position>,
    /// How far it knew the log to be committed; it may have been further.
    pub committed: Option<u64>,
    /// The last record that its snapshot covers.
    pub snapshot: Option<Position>,
    /// The voters of the newest configuration, and where they were.
    pub voters: BTreeMap<u64, String>,
}

/// Opens the store of `dir`, checks it, applies everything in it to `machine`, and closes it. What
/// was not known to be committed is applied as well: it may have been acknowledged.
///
/// # Errors
/// [`RaftError::Damaged`] if the store cannot be trusted; others if it cannot be read, belongs to
/// no cluster, or its coordinator runs.
pub async fn survey(dir: &Path, machine: &dyn Machine) -> Result<Survey, RaftError> {
    let owner = identity_of(dir)?.ok_or_else(|| nothing(dir, "it holds no coordinator's store"))?;
    let Store { log, snapshots } = Store::open(&StoreOptions {
        dir: dir.to_owned(),
        node: owner.node,
        cluster: None,
        fresh: random_store_id(),
        io: IoMode::Inline,
        timer: FlushTimer::default(),
        volume: OnVolume::default(),
    })?;
    let hard = log.hard_state();
    if hard.cluster.is_empty() {
        return Err(nothing(dir, "this member was never part of a cluster"));
    }
    let mut found = Survey {
        node: hard.node,
        epoch: hard.epoch.max(1),
        term: log.vote().map_or(0, |vote| possible(vote.term)),
        cluster_id: hard.cluster,
        last: log.last(),
        committed: log.committed().map(|at| at.index),
        snapshot: None,
        voters: BTreeMap::new(),
    };
    let mut next = 0;
    if let Some(file) = snapshots.current() {
        machine
            .restore(&mut file.body())
            .map_err(|error| RaftError::Restore(error.to_string()))?;
        let meta = read_meta(&file).map_err(RaftError::Disk)?;
        found.voters = voters(meta.last_membership.membership());
        found.snapshot = file.head().last;
        found.term = found
            .term
            .max(found.snapshot.map_or(0, |last| possible(last.term)));
        next = found.snapshot.map_or(0, |last| last.index + 1);
    }
    found.last = found.last.max(found.snapshot);
    while found.last.is_some_and(|last| next <= last.index) {
        let records = log.read(next..next.saturating_add(STEP), None);
        let records = records.map_err(RaftError::Disk)?;
        if records.is_empty() {
            break;
        }
        for record in records {
            next = record.position.index + 1;
            found.term = found.term.max(possible(record.position.term));
            let entry = from_record(record).map_err(RaftError::Disk)?;
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(Command(command)) => {
                    machine.apply(next - 1, &command);
                }
                EntryPayload::Membership(members) => found.voters = voters(&members),
            }
        }
    }
    Ok(found)
}

/// A term that no election can have made is forgotten: the cluster that begins again has a new
/// epoch, and nobody compares terms of two epochs.
fn possible(term: u64) -> u64 {
    if term > TERM_MAX { 0 } else { term }
}

fn voters(members: &Membership<u64, Node>) -> BTreeMap<u64, String> {
    let voting = members.voter_ids();
    voting
        .filter_map(|id| Some((id, members.get_node(&id)?.address.clone())))
        .collect()
}

fn nothing(dir: &Path, why: &str) -> RaftError {
    RaftError::Options(format!(
        "nothing can be recovered from {}: {why}",
        dir.display()
    ))
}
