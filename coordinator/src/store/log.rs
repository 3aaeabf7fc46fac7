//! The log and the vote as the consensus protocol uses them. What is appended can be read at once;
//! it is durable, and may be acknowledged, when `done` is called.

use std::{
    io,
    ops::{Bound, Range, RangeBounds},
    sync::{Arc, Weak},
};

use parking_lot::RwLock;
use prost::Message;

use super::{
    disk::{COMMITTED_KEY, Disk, PURGED_KEY},
    error::Damage,
    flush::{Flusher, Job},
    hardstate::{Ballot, HardState, Mark},
    record::{
        Assembler, KEY_BYTES, MAX_BODY_BYTES, Position, Record, Stored, encode, key, parse_key,
    },
};

/// Every how many records the commit position is written down. Each writing costs the disk two more
/// writes, and a position that is a little old costs a restart nothing that anybody notices.
const NOTE_COMMIT_EVERY: u64 = 64;

/// Records removed in one batch when many go at once.
const PURGE_STEP: u64 = 1024;

/// The log of one node. Clones share it; the files close with the last clone.
#[derive(Clone, Debug)]
pub struct Log {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Ends the flushing thread, so it goes before the disk.
    flusher: Flusher,
    /// Read-locked during scans, so that no scan sees half a purge.
    state: RwLock<State>,
    disk: Arc<Disk>,
}

/// What would otherwise be read from disk again and again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    pub(super) last: Option<Mark>,
    pub(super) purged: Option<Mark>,
    pub(super) vote: Option<Ballot>,
    pub(super) committed: Option<Position>,
    /// The commit position that was last written down.
    pub(super) noted: Option<Position>,
}

/// A reference to a log that does not keep its files open.
#[derive(Clone, Debug)]
pub struct LogHandle {
    log: Weak<Inner>,
    disk: Weak<Disk>,
}

impl LogHandle {
    /// The log, if anybody still uses it.
    pub fn upgrade(&self) -> Option<Log> {
        self.log.upgrade().map(|inner| Log { inner })
    }

    /// Whether the last user of the files released them.
    pub fn is_closed(&self) -> bool {
        self.disk.strong_count() == 0
    }
}

impl Log {
    pub(super) fn new(disk: Arc<Disk>, flusher: Flusher, state: State) -> Self {
        Self {
            inner: Arc::new(Inner {
                flusher,
                state: RwLock::new(state),
                disk,
            }),
        }
    }

    /// A reference that does not keep the files open.
    pub fn downgrade(&self) -> LogHandle {
        LogHandle {
            log: Arc::downgrade(&self.inner),
            disk: Arc::downgrade(&self.inner.disk),
        }
    }

    /// What the high-water file holds now.
    pub fn hard_state(&self) -> HardState {
        self.inner.disk.hard()
    }

    /// The last record, or the last purged one if the log is empty.
    pub fn last(&self) -> Option<Position> {
        let state = self.inner.state.read();
        state.last.or(state.purged).map(Position::from)
    }

    /// The last record that was purged.
    pub fn purged(&self) -> Option<Position> {
        self.inner.state.read().purged.map(Position::from)
    }

    /// The last vote.
    pub fn vote(&self) -> Option<Ballot> {
        self.inner.state.read().vote
    }

    /// The last commit position that was noted, a hint: it may be older than the last one given
    /// to [`Self::save_committed`] if the node died since.
    pub fn committed(&self) -> Option<Position> {
        self.inner.state.read().committed
    }

    /// The records whose index is in `range`. With `max_bytes`, stops after the record that
    /// reaches that size, so at least one is returned if there is one.
    ///
    /// # Errors
    /// If the store cannot be read, or a record in the middle is missing or damaged.
    pub fn read(
        &self,
        range: impl RangeBounds<u64>,
        max_bytes: Option<usize>,
    ) -> io::Result<Vec<Record>> {
        let Range { start, end } = half_open(&range);
        let _no_purge_meanwhile = self.inner.state.read();
        let mut assembler = Assembler::default();
        let (mut records, mut bytes) = (Vec::<Record>::new(), 0_usize);
        if start >= end {
            return Ok(records);
        }
        for item in self
            .inner
            .disk
            .tree
            .range(key(start, 0)..=key(end - 1, u16::MAX))
        {
            let (key, value) = item.map_err(io::Error::from)?;
            let Some(stored) = assembler.push(&key, &value).map_err(invalid)? else {
                continue;
            };
            let record = stored.record;
            if let Some(before) = records.last()
                && before.position.index + 1 != record.position.index
            {
                let missing = before.position.index + 1;
                return Err(invalid(Damage(format!("record {missing} is missing"))));
            }
            bytes = bytes.saturating_add(record.body.len());
            records.push(record);
            if max_bytes.is_some_and(|max| bytes >= max) {
                return Ok(records);
            }
        }
        assembler.finish().map_err(invalid)?;
        Ok(records)
    }

    /// Appends records that follow the last one without a gap. They can be read when this returns;
    /// `done` is called when they are durable, or could not be made so.
    ///
    /// # Errors
    /// If they do not follow the last record, one is too large, or the store cannot be written.
    pub async fn append(
        &self,
        records: Vec<Record>,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) -> io::Result<()> {
        let durable = {
            let mut state = self.inner.state.write();
            let mut tail = state.last.or(state.purged);
            let mut writes = Vec::with_capacity(records.len());
            for record in &records {
                tail = Some(add_to(&mut writes, record, tail)?);
            }
            write(&self.inner.disk.tree, writes)?;
            if !records.is_empty() {
                state.last = tail;
            }
            state.last
        };
        let done = Box::new(done);
        self.inner
            .flusher
            .submit(Job::Sync {
                durable,
                purged: None,
                done,
            })
            .await
    }

    /// Remembers a vote; durable when this returns.
    ///
    /// # Errors
    /// If the disk cannot be written.
    pub async fn save_vote(&self, vote: Ballot) -> io::Result<()> {
        self.inner
            .flusher
            .wait_for(|done| Job::Vote(vote, done))
            .await?;
        self.inner.state.write().vote = Some(vote);
        Ok(())
    }

    /// Notes how far the log is committed; now and then, that is written down. Not made durable by
    /// itself: losing it costs only time at the next start.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn save_committed(&self, committed: Option<Position>) -> io::Result<()> {
        let tree = &self.inner.disk.tree;
        let mut state = self.inner.state.write();
        state.committed = committed;
        match committed {
            Some(at) if !is_due(state.noted, at) => return Ok(()),
            Some(Position { term, index }) => {
                let mark = Mark {
                    index,
                    term,
                    chain: 0,
                };
                tree.insert(COMMITTED_KEY, mark.encode_to_vec())
                    .map_err(io::Error::from)?;
            }
            None => {
                tree.remove(COMMITTED_KEY).map_err(io::Error::from)?;
            }
        }
        state.noted = committed;
        Ok(())
    }

    /// Removes every record after `last`, or all with `None`.
    ///
    /// # Errors
    /// If `last` was purged long ago, or the store cannot be written.
    pub async fn truncate_after(&self, last: Option<u64>) -> io::Result<()> {
        if last.is_some_and(|last| self.last().is_none_or(|end| end.index <= last)) {
            return Ok(());
        }
        let keep = match last {
            None => None,
            Some(index) => Some(self.mark_at(index)?),
        };
        // The mark must never claim a record that is about to be removed.
        self.inner
            .flusher
            .wait_for(|done| Job::Lower(keep, done))
            .await?;
        let mut state = self.inner.state.write();
        let mut batch = sled::Batch::default();
        let from = last.map_or(0, |last| last + 1);
        for item in self
            .inner
            .disk
            .tree
            .range(key(from, 0)..=key(u64::MAX, u16::MAX))
        {
            batch.remove(item.map_err(io::Error::from)?.0);
        }
        self.inner
            .disk
            .tree
            .apply_batch(batch)
            .map_err(io::Error::from)?;
        state.last = keep.filter(|keep| state.purged.is_none_or(|gone| gone.index < keep.index));
        Ok(())
    }

    /// Removes every record up to and including `upto`, which may lie beyond the last record when
    /// a snapshot replaced them. Returns before it is durable.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn purge(&self, upto: Position) -> io::Result<()> {
        let purged = {
            let mut state = self.inner.state.write();
            if state.purged.is_some_and(|gone| gone.index >= upto.index) {
                return Ok(());
            }
            let chain = match self.load(upto.index)? {
                Some(stored) if stored.record.position == upto => stored.chain,
                _ => 0,
            };
            let purged = Mark {
                index: upto.index,
                term: upto.term,
                chain,
            };
            self.remove_up_to(purged)?;
            state.purged = Some(purged);
            state.last = state.last.filter(|last| last.index > upto.index);
            purged
        };
        let done = Box::new(|_| {});
        self.inner
            .flusher
            .submit(Job::Sync {
                durable: None,
                purged: Some(purged),
                done,
            })
            .await
    }

    /// Remembers for ever which cluster this store belongs to, and in which epoch of it; durable
    /// when this returns.
    ///
    /// # Errors
    /// If the disk cannot be written.
    pub async fn set_cluster(&self, id: &str, epoch: u64) -> io::Result<()> {
        let id = id.to_owned();
        self.inner
            .flusher
            .wait_for(|done| Job::Cluster(id, epoch, done))
            .await
    }

    /// Removes in steps, each of which leaves a whole log: the mark and the removal of what it
    /// covers are one batch.
    fn remove_up_to(&self, purged: Mark) -> io::Result<()> {
        let tree = &self.inner.disk.tree;
        let range = || tree.range(key(0, 0)..=key(purged.index, u16::MAX)).keys();
        loop {
            let Some(first) = range().next().transpose().map_err(io::Error::from)? else {
                break;
            };
            let first = parse_key(&first).map_err(invalid)?.0;
            let step = first.saturating_add(PURGE_STEP);
            let within = if step < purged.index {
                self.load(step)?
            } else {
                None
            };
            let mark = within.map_or(purged, |stored| stored.mark());
            let mut batch = sled::Batch::default();
            batch.insert(PURGED_KEY, mark.encode_to_vec());
            for item in tree.range(key(first, 0)..=key(mark.index, u16::MAX)).keys() {
                batch.remove(item.map_err(io::Error::from)?);
            }
            tree.apply_batch(batch).map_err(io::Error::from)?;
        }
        tree.insert(PURGED_KEY, purged.encode_to_vec())
            .map_err(io::Error::from)?;
        Ok(())
    }

    fn mark_at(&self, index: u64) -> io::Result<Mark> {
        if let Some(purged) = self
            .inner
            .disk
            .tree
            .get(PURGED_KEY)
            .map_err(io::Error::from)?
        {
            let purged = Mark::decode(&*purged).map_err(io::Error::other)?;
            if purged.index == index {
                return Ok(purged);
            }
        }
        let stored = self.load(index)?;
        stored
            .map(|stored| stored.mark())
            .ok_or_else(|| invalid(Damage(format!("record {index} is missing"))))
    }

    fn load(&self, index: u64) -> io::Result<Option<Stored>> {
        let mut assembler = Assembler::default();
        for item in self
            .inner
            .disk
            .tree
            .range(key(index, 0)..=key(index, u16::MAX))
        {
            let (key, value) = item.map_err(io::Error::from)?;
            if let Some(stored) = assembler.push(&key, &value).map_err(invalid)? {
                return Ok(Some(stored));
            }
        }
        assembler.finish().map_err(invalid)?;
        Ok(None)
    }
}

/// Whether a commit position is far enough from the one written down.
fn is_due(noted: Option<Position>, at: Position) -> bool {
    noted.is_none_or(|noted| at.index.abs_diff(noted.index) >= NOTE_COMMIT_EVERY)
}

/// A key and its value.
type Write = ([u8; KEY_BYTES], Vec<u8>);

/// Writes all or nothing. A batch begins with a buffer of its own, for which the disk is waited
/// for once more when it is flushed: a single write does without.
fn write(tree: &sled::Tree, writes: Vec<Write>) -> io::Result<()> {
    let written = match <[Write; 1]>::try_from(writes) {
        Ok([(key, value)]) => tree.insert(key, value).map(drop),
        Err(writes) => {
            let mut batch = sled::Batch::default();
            for (key, value) in writes {
                batch.insert(&key, value);
            }
            tree.apply_batch(batch)
        }
    };
    written.map_err(io::Error::from)
}

/// Adds what writes `record`; returns its mark.
fn add_to(writes: &mut Vec<Write>, record: &Record, tail: Option<Mark>) -> io::Result<Mark> {
    let Position { term, index } = record.position;
    let refuse = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    if let Some(tail) = tail
        && tail.index + 1 != index
    {
        return Err(refuse(format!(
            "record {index} does not follow record {}",
            tail.index
        )));
    }
    if record.body.len() > MAX_BODY_BYTES {
        return Err(refuse(format!(
            "record {index} has {} bytes",
            record.body.len()
        )));
    }
    let (pieces, chain) = encode(record, tail.map_or(0, |tail| tail.chain));
    for (piece, value) in (0..).zip(pieces) {
        writes.push((key(index, piece), value));
    }
    Ok(Mark { index, term, chain })
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

fn invalid(damage: Damage) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, damage.0)
}
