//! The durable memory of a host, written before anything is done about it. The only file that
//! names sled, which is why its guard rails are here:
//!
//! - sled's flush does not reach the disk, so each save ends with our own `fdatasync`;
//! - a damaged tail opens without an error and with records missing, so every record carries a
//!   version and a checksum, and a mark beside the ledger says how far it must reach;
//! - opening a damaged one may panic, so that is caught.
//!
//! A ledger that is damaged is set aside, said so, and begun anew: what runs is found again by
//! its labels, and the mark still holds the newest fence, so that nothing older is obeyed.

mod content;
mod kept;
mod mark;
mod writer;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use paasta_agent_core::state::LocalState;
use paasta_common::time::Timestamp;
use paasta_process::{held, simulated};

use content::Content;
use kept::{Delta, Kept};
use mark::Mark;
use writer::Writer;

/// sled keeps up to three segments in memory, and puts a tree page of more than a quarter of one in
/// a file that it never syncs: `content::CHUNK_MAX` keeps pages (at most 20 entries) below that.
const SEGMENT_BYTES: usize = 512 << 10;
const CACHE_BYTES: u64 = 1 << 20;
/// How often a copy of a ledger in use is tried before it counts as unreadable.
const COPY_ATTEMPTS: usize = 5;

/// Why there is no ledger, or why it was not written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another agent has it.
    #[error("{path} is in use by another agent; one agent runs for each state directory")]
    InUse {
        /// The state directory.
        path: String,
    },
    /// The file system.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database, in its own words.
    #[error("cannot {what} the ledger {path}: {words}")]
    Database {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: String,
        /// Why.
        words: String,
    },
    /// The thread that writes.
    #[error("the ledger's writer failed; its panic is in this log")]
    NoWriter,
    /// The mark.
    #[error("cannot write the ledger's mark")]
    Mark(#[from] paasta_process::atomic_file::WriteError),
}

/// An open ledger.
pub struct Ledger {
    root: PathBuf,
    /// None after a save that failed: sled takes no write after it, also when there is room again.
    store: Option<Store>,
    sequence: u64,
    kept: Kept,
    writer: Writer,
    // Held until the ledger is dropped, after the database.
    _lock: File,
}

/// The database, and its file for what sled does not do: waiting for the disk.
struct Store {
    db: sled::Db,
    file: Arc<File>,
}

/// What an opened ledger brought.
#[derive(Debug)]
pub struct Opened {
    /// What the host remembers.
    pub state: LocalState,
    /// Why the last ledger was set aside, and where it is.
    pub damage: Option<Damage>,
}

/// A ledger that could not be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong with it.
    pub reason: String,
    /// Where it is now.
    pub set_aside: PathBuf,
}

impl Ledger {
    /// Opens the ledger of a state directory, making it where there is none.
    ///
    /// # Errors
    /// [`LedgerError`] when it is in use or the directory can not be used. Damage is no error.
    pub fn open(root: &Path, now: Timestamp) -> Result<(Self, Opened), LedgerError> {
        fs::create_dir_all(root).map_err(io_error("create", root))?;
        let lock = lock(root)?;
        let mark = Mark::read(root);
        let (store, content, damage) = open_store(root, &mark, now)?;
        let mut state = content.state;
        // The fence outlives the rest.
        let newest = mark.accepted.filter(|mark| {
            state
                .accepted
                .as_ref()
                .is_none_or(|held| held.admits(mark).is_ok())
        });
        state.accepted = newest.or(state.accepted);
        let ledger = Self {
            root: root.to_owned(),
            store: Some(store),
            sequence: content.sequence.max(mark.sequence),
            kept: content.kept,
            writer: Writer::start().map_err(io_error("start a thread for", root))?,
            _lock: lock,
        };
        Ok((ledger, Opened { state, damage }))
    }

    /// Reads the ledger of a running agent, from a copy: it may lag by the last moments.
    ///
    /// # Errors
    /// [`LedgerError`] when there is none or no whole copy can be had.
    pub fn peek(root: &Path) -> Result<LocalState, LedgerError> {
        let from = root.join("ledger");
        let copy = root.join(format!(".ledger-copy-{}", std::process::id()));
        let mut last = "no attempt was made".to_owned();
        for _ in 0..COPY_ATTEMPTS {
            let mark = Mark::read(root);
            let opened = copy_directory(&from, &copy)
                .map_err(io_error("copy", &from))
                .and_then(|()| match try_open(&copy, &mark) {
                    Ok((_, content)) => Ok(Ok(content.state)),
                    Err(Unusable::Damaged(words)) => Ok(Err(words)),
                    Err(Unusable::Error(error)) => Err(error),
                });
            fs::remove_dir_all(&copy).map_err(io_error("remove", &copy))?;
            match opened? {
                Ok(state) => return Ok(state),
                Err(words) => last = words,
            }
        }
        Err(database("copy", &from, last))
    }

    /// Saves what changed, on the ledger's own thread. Returns whether anything did. After a save
    /// that failed the database is opened again first.
    ///
    /// # Errors
    /// [`LedgerError`]; then nothing may be done that depends on what changed.
    pub async fn save(&mut self, state: &LocalState, now: Timestamp) -> Result<bool, LedgerError> {
        if self.store.is_none() {
            self.reopen(now).await?;
        }
        let Some(changes) = self.changes(state) else {
            return Ok(false);
        };
        match self.writer.write(changes).await {
            Ok(written) => {
                self.saved(written);
                Ok(true)
            }
            Err(error) => {
                // Its lock goes with the last handle.
                self.store = None;
                Err(error)
            }
        }
    }

    /// What the database holds is what the next changes are counted from.
    async fn reopen(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        let root = self.root.clone();
        let opening = simulated::blocking(move || open_store(&root, &Mark::read(&root), now));
        let opened = opening.await.map_err(|_| LedgerError::NoWriter)?;
        let (store, content, damage) = opened?;
        if let Some(Damage { reason, set_aside }) = damage {
            let set_aside = set_aside.display();
            tracing::error!(reason, %set_aside, "the ledger was damaged by a failed write and is set aside; a new one is written");
        }
        self.sequence = self.sequence.max(content.sequence);
        self.kept = content.kept;
        self.store = Some(store);
        Ok(())
    }

    /// Whether saving this state would write anything, and if so what. None also between a
    /// [`save`](Self::save) that failed and the next.
    pub fn changes(&self, state: &LocalState) -> Option<Changes> {
        let store = self.store.as_ref()?;
        let mut delta = self.kept.delta(state);
        if delta.len() == 0 {
            return None;
        }
        let sequence = self.sequence + 1;
        let mut batch = self.kept.batch(&mut delta);
        batch.insert(content::SEQUENCE_KEY, content::sequence(sequence));
        Some(Changes {
            db: store.db.clone(),
            file: Arc::clone(&store.file),
            root: self.root.clone(),
            batch,
            delta,
            mark: Mark::new(sequence, state.accepted.clone()),
        })
    }

    /// Removes the ledger and its mark from the disk: the host that it is of is no more.
    ///
    /// # Errors
    /// [`LedgerError`]; what is left is still a ledger of that host, and can be removed again.
    pub fn remove(mut self) -> Result<(), LedgerError> {
        self.store = None;
        // First: without a ledger, the mark would count the next one as damaged.
        Mark::remove(&self.root)?;
        let path = self.root.join("ledger");
        fs::remove_dir_all(&path).map_err(io_error("remove", &path))
    }

    /// Takes note of changes that were written.
    pub fn saved(&mut self, written: Written) {
        self.sequence = written.sequence;
        self.kept.take(written.delta);
    }
}

/// What a save will write: on a thread that may block.
pub struct Changes {
    db: sled::Db,
    file: Arc<File>,
    root: PathBuf,
    batch: sled::Batch,
    delta: Delta,
    mark: Mark,
}

/// What a save has written.
pub struct Written {
    sequence: u64,
    delta: Delta,
}

impl Changes {
    /// How many entries are written or removed, beside the number of the save.
    pub fn entries(&self) -> usize {
        self.delta.len()
    }

    /// Writes them to the disk. Blocks.
    ///
    /// # Errors
    /// [`LedgerError`]; then nothing may be done that depends on them.
    pub fn write(self) -> Result<Written, LedgerError> {
        let path = self.root.join("ledger");
        let failed = |error: sled::Error| database("write", &path, error.to_string());
        self.db.apply_batch(self.batch).map_err(failed)?;
        self.db.flush().map_err(failed)?;
        self.file.sync_data().map_err(io_error("flush", &path))?;
        let sequence = self.mark.sequence;
        self.mark.write(&self.root)?;
        Ok(Written {
            sequence,
            delta: self.delta,
        })
    }
}

/// Opens the database of a state directory; one that is damaged is set aside for a new one.
fn open_store(
    root: &Path,
    mark: &Mark,
    now: Timestamp,
) -> Result<(Store, Content, Option<Damage>), LedgerError> {
    let (db, content, damage) = match try_open(&root.join("ledger"), mark) {
        Ok((db, content)) => (db, content, None),
        Err(Unusable::Error(error)) => return Err(error),
        Err(Unusable::Damaged(reason)) => {
            let set_aside = root.join(format!("ledger.damaged-{}", now.0));
            let from = root.join("ledger");
            fs::rename(&from, &set_aside).map_err(io_error("set aside", &from))?;
            match try_open(&from, &Mark::default()) {
                Ok((db, content)) => (db, content, Some(Damage { reason, set_aside })),
                Err(Unusable::Error(error)) => return Err(error),
                Err(Unusable::Damaged(words)) => return Err(database("begin", &from, words)),
            }
        }
    };
    let path = root.join("ledger").join("db");
    let file = Arc::new(File::open(&path).map_err(io_error("open", &path))?);
    Ok((Store { db, file }, content, damage))
}

enum Unusable {
    Damaged(String),
    Error(LedgerError),
}

fn try_open(path: &Path, mark: &Mark) -> Result<(sled::Db, Content), Unusable> {
    let config = sled::Config::new()
        .path(path)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    // A flipped bit can make it panic, and then nothing of it is used any more.
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // The directory's own lock is held, so whoever has sled's is about to let go of it.
        let db = held::wait_for(|| config.open(), held::is_lock)?;
        let content = content::decode(db.iter());
        Ok::<_, sled::Error>((db, content))
    }));
    let (db, content) = match read {
        Err(_) => return Err(Unusable::Damaged("opening it panicked".to_owned())),
        Ok(Err(sled::Error::Io(source))) => {
            return Err(Unusable::Error(io_error("open", path)(source)));
        }
        Ok(Err(error)) => return Err(Unusable::Damaged(error.to_string())),
        Ok(Ok((db, content))) => (db, content.map_err(Unusable::Damaged)?),
    };
    match content.sequence < mark.sequence {
        false => Ok((db, content)),
        true => Err(Unusable::Damaged(format!(
            "it ends at save {} and {} were made",
            content.sequence, mark.sequence
        ))),
    }
}

fn lock(root: &Path) -> Result<File, LedgerError> {
    let path = root.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(LedgerError::InUse {
            path: root.display().to_string(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
    }
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_directory(&entry.path(), &target)?,
            // A file that vanishes while it is copied makes the copy incomplete, which shows.
            false => drop(fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LedgerError {
    let path = path.display().to_string();
    move |source| LedgerError::Io { what, path, source }
}

fn database(what: &'static str, path: &Path, words: String) -> LedgerError {
    LedgerError::Database {
        what,
        path: path.display().to_string(),
        words,
    }
}

#[cfg(test)]
mod tests;
