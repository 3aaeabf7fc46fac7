//! openraft's view of the store's log.

use std::{fmt::Debug, io, ops::RangeBounds};

use openraft::{
    LogState, OptionalSend, RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
};

use super::{
    entry::{from_ballot, from_record, to_ballot, to_log_id, to_position, to_record},
    types::{Entry, LogId, TypeConfig, Vote},
};
use crate::store::{Log, Record};

/// The most bytes of commands in one message to a follower, unless a single one is larger.
const MAX_APPEND_BYTES: usize = 1 << 20;

/// The log and the vote of this node.
#[derive(Clone, Debug)]
pub struct LogStore {
    log: Log,
}

impl LogStore {
    /// On an open log.
    pub fn new(log: Log) -> Self {
        Self { log }
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<Entry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        entries(self.log.read(range, None)?)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        entries(self.log.read(start..end, Some(MAX_APPEND_BYTES))?)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.log.vote().map(from_ballot))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        Ok(LogState {
            last_purged_log_id: self.log.purged().map(to_log_id),
            last_log_id: self.log.last().map(to_log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.log.save_vote(to_ballot(vote)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.log.save_committed(committed.map(to_position))
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.log.committed().map(to_log_id))
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = entries
            .into_iter()
            .map(to_record)
            .collect::<io::Result<Vec<_>>>()?;
        self.log
            .append(records, move |result| flushed.io_completed(result))
            .await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.log.truncate_after(last.map(|last| last.index())).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.log.purge(to_position(upto)).await
    }
}

fn entries(records: Vec<Record>) -> io::Result<Vec<Entry>> {
    records.into_iter().map(from_record).collect()
}
