//! The durable memory of a host, written before anything is done about it: the file `ledger` of the
//! state directory, replaced as a whole by each save, and `ledger.before`, the save before it.
//!
//! - `format`: the bytes of a file, with checksums;
//! - `disk`: the system calls of a save;
//! - `choice`: which file counts after a crash or damage;
//! - `writer`: the thread that writes.
//!
//! A ledger of which neither file is whole is set aside, and a new one begins: what runs is found
//! again by its labels. The fence has a checksum of its own in each file and outlives a damaged rest,
//! so that nothing older is obeyed.

mod choice;
mod damage;
mod disk;
mod error;
mod format;
mod sled_0_1;
mod writer;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use paasta_agent_core::state::{LocalState, Record};
use paasta_common::time::Timestamp;
use paasta_process::{chain::chain, held};

use choice::{Choice, Damaged, NewerFormat};
use disk::Found;
use error::io_error;
use format::Contents;
use writer::{Save, Writer};

pub use damage::{Damage, Remains};
pub use error::LedgerError;

/// An open ledger.
pub struct Ledger {
    /// What the newest file holds; none where that is not known, or where the file before it does
    /// not hold the same assignment: then the next save writes both.
    kept: Option<LocalState>,
    /// None for a ledger in memory.
    files: Option<Files>,
}

/// Where a ledger is written.
struct Files {
    root: PathBuf,
    sequence: u64,
    /// The memory that each save is encoded into.
    buffer: Vec<u8>,
    writer: Writer,
    // Held until the ledger is dropped.
    _lock: File,
}

/// What an opened ledger brought.
#[derive(Debug)]
pub struct Opened {
    /// What the host remembers.
    pub state: LocalState,
    /// What was set aside, and why.
    pub damage: Option<Damage>,
}

impl Ledger {
    /// Opens the ledger of a state directory. One that was never written is empty.
    ///
    /// # Errors
    /// [`LedgerError`] when it is in use, in a newer format, or the directory cannot be used.
    /// Damage is no error.
    pub fn open(root: &Path, now: Timestamp) -> Result<(Self, Opened), LedgerError> {
        fs::create_dir_all(root).map_err(io_error("create", root))?;
        let lock = lock(root)?;
        sled_0_1::step_aside(root)?;
        let (newest, before) = read_both(root)?;
        let (choice, damage) = match (&newest, &before) {
            (Found::Missing, Found::Missing) => {
                let (contents, damage) = sled_0_1::read(root, now)?;
                let choice = Choice {
                    contents,
                    ..Choice::default()
                };
                (choice, damage)
            }
            _ => {
                if matches!(newest, Found::Whole(_)) {
                    sled_0_1::remove(root)?;
                }
                let mut choice = choose(root, newest, before)?;
                let damage = match choice.damage.take() {
                    Some(damaged) if damaged.remains == Remains::Fence => {
                        choice.contents.sequence += 1;
                        Some(keep_fence(root, damaged, &choice.contents, now)?)
                    }
                    Some(damaged) => Some(set_aside(root, damaged, now)?),
                    None => None,
                };
                (choice, damage)
            }
        };
        let state = choice.contents.state;
        let kept = choice.settled.then(|| state.clone());
        let files = Files {
            root: root.to_owned(),
            sequence: choice.contents.sequence,
            buffer: Vec::new(),
            writer: Writer::start().map_err(io_error("start a thread for", root))?,
            _lock: lock,
        };
        let ledger = Self {
            kept,
            files: Some(files),
        };
        Ok((ledger, Opened { state, damage }))
    }

    /// An empty ledger without a file and a thread, for hosts that exist as long as their process:
    /// thousands of them in a measurement. It ends with the process, and saves nothing durably.
    #[must_use]
    pub fn in_memory() -> (Self, Opened) {
        let state = LocalState::default();
        let ledger = Self {
            kept: Some(state.clone()),
            files: None,
        };
        let opened = Opened {
            state,
            damage: None,
        };
        (ledger, opened)
    }

    /// Reads the ledger of a running agent: it may lag by the last moments.
    ///
    /// # Errors
    /// [`LedgerError`] when there is none, or none that this version reads.
    pub fn peek(root: &Path) -> Result<LocalState, LedgerError> {
        let path = root.display().to_string();
        if sled_0_1::is_there(root) {
            return Err(LedgerError::Old { path });
        }
        let (newest, before) = read_both(root)?;
        if (&newest, &before) == (&Found::Missing, &Found::Missing) {
            let missing = io::Error::from(io::ErrorKind::NotFound);
            return Err(io_error("read", &root.join(disk::NEWEST))(missing));
        }
        let choice = choose(root, newest, before)?;
        match choice.damage {
            Some(Damaged {
                reason,
                remains: Remains::Fence | Remains::Nothing,
                ..
            }) => Err(LedgerError::Damaged { path, reason }),
            _ => Ok(choice.contents.state),
        }
    }

    /// Saves the state, when it differs from what was saved last. Returns whether it did.
    ///
    /// # Errors
    /// [`LedgerError`]; then nothing may be done that depends on what changed.
    pub async fn save(&mut self, state: &LocalState) -> Result<bool, LedgerError> {
        // Until the save has succeeded it is not known what the files hold.
        let kept = self.kept.take();
        let same_order = kept
            .as_ref()
            .is_some_and(|kept| choice::same_order(kept, state));
        if same_order
            && let Some(kept) = kept
            && same_records(&kept, state)
        {
            self.kept = Some(kept);
            return Ok(false);
        }
        if let Some(files) = &mut self.files {
            files.write(state, !same_order).await?;
        }
        self.kept = Some(state.clone());
        Ok(true)
    }

    /// Removes the ledger from the disk, when the host whose it is exists no longer.
    ///
    /// # Errors
    /// [`LedgerError`]; what is left is still a ledger of that host, and can be removed again.
    pub fn remove(self) -> Result<(), LedgerError> {
        let Some(files) = &self.files else {
            return Ok(());
        };
        sled_0_1::remove(&files.root)?;
        disk::remove(&files.root)
    }
}

impl Files {
    /// Writes the state to the newest file, and to the one before it where `both` says so.
    async fn write(&mut self, state: &LocalState, both: bool) -> Result<(), LedgerError> {
        self.sequence += 1;
        let buffer = std::mem::take(&mut self.buffer);
        let save = Save {
            root: self.root.clone(),
            bytes: format::encode(self.sequence, state, buffer),
            both,
        };
        let (written, bytes) = self.writer.write(save).await;
        self.buffer = bytes;
        written
    }
}

/// Whether a ledger would hold the same records of both.
fn same_records(one: &LocalState, other: &LocalState) -> bool {
    let pairs = one.records.iter().zip(&other.records);
    one.records.len() == other.records.len()
        && pairs.into_iter().all(|((id, record), (other_id, other))| {
            id == other_id && Record::is_kept_as(record, other)
        })
}

fn read_both(root: &Path) -> Result<(Found, Found), LedgerError> {
    let newest = disk::read(root, disk::NEWEST)?;
    let before = disk::read(root, disk::BEFORE)?;
    Ok((newest, before))
}

fn choose(root: &Path, newest: Found, before: Found) -> Result<Choice, LedgerError> {
    choice::choose(newest, before).map_err(|NewerFormat { file, format }| {
        let path = root.join(file).display().to_string();
        LedgerError::NewerFormat { path, format }
    })
}

/// Writes a ledger that holds the fence alone, over files that are not trusted: only their heads
/// hold it, so there is a name of them left until it is written (I3).
fn keep_fence(
    root: &Path,
    damaged: Damaged,
    fence: &Contents,
    now: Timestamp,
) -> Result<Damage, LedgerError> {
    for file in &damaged.files {
        let from = root.join(file);
        let aside = aside(root, file, now);
        disk::remove_file(&aside)?;
        fs::hard_link(&from, aside).map_err(io_error("set aside", &from))?;
    }
    let bytes = format::encode(fence.sequence, &fence.state, Vec::new());
    if let Err(error) = disk::save(root, &bytes, true) {
        // The heads are still there for the next start, and the next save writes all.
        let error = chain(&error);
        tracing::warn!(error, "the fence of a damaged ledger is not written yet");
    }
    Ok(damage(root, damaged, now))
}

/// Renames the files that are not trusted. A damaged file must not become the one before.
fn set_aside(root: &Path, damaged: Damaged, now: Timestamp) -> Result<Damage, LedgerError> {
    for file in &damaged.files {
        let from = root.join(file);
        fs::rename(&from, aside(root, file, now)).map_err(io_error("set aside", &from))?;
    }
    disk::flush_directory(root)?;
    Ok(damage(root, damaged, now))
}

fn aside(root: &Path, file: &str, now: Timestamp) -> PathBuf {
    root.join(format!("{file}.damaged-{}", now.0))
}

fn damage(root: &Path, damaged: Damaged, now: Timestamp) -> Damage {
    let first = damaged.files.first();
    Damage {
        set_aside: first.map_or_else(|| root.to_owned(), |file| aside(root, file, now)),
        reason: damaged.reason,
        remains: damaged.remains,
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
    // A child that is not yet at its own program holds what its parent held when it was made.
    let is_held = |error: &fs::TryLockError| matches!(error, fs::TryLockError::WouldBlock);
    match held::wait_for(|| file.try_lock(), is_held) {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(LedgerError::InUse {
            path: root.display().to_string(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
    }
}

#[cfg(test)]
mod tests;
