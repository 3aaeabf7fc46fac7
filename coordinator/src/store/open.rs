//! Opening a store: everything is checked before anything is served, and what cannot be trusted is
//! refused for good.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use paasta_process::held;

use super::{
    disk::Disk,
    durable::{lock, read_marker, sync_dir, write_marker},
    error::{Damage, StoreError},
    flush::{Flusher, IoMode},
    hardstate::HardState,
    id::StoreId,
    log::{Log, State},
    slots::Slots,
    snapshot::Snapshots,
    timing::FlushTimer,
    verify::{Scan, newest_vote, scan},
    volume::OnVolume,
};

/// sled's segments: with these, values up to 64 KiB stay out of the files it never syncs.
const SEGMENT_BYTES: usize = 8 << 20;
/// What sled may keep in memory.
const CACHE_BYTES: u64 = 64 << 20;
/// How often sled's own thread writes what nobody waits for.
const BACKGROUND_FLUSH_MS: u64 = 500;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Where everything lives; created if missing.
    pub dir: PathBuf,
    /// The node this store is for.
    pub node: u64,
    /// The cluster it must belong to, if that is known beforehand.
    pub cluster: Option<String>,
    /// The id that the store gets if it has none: because it is made now, or because an older
    /// version made it.
    pub fresh: StoreId,
    /// Who waits for the disk.
    pub io: IoMode,
    /// Hears how long flushes take.
    pub timer: FlushTimer,
    /// The file system it is on.
    pub volume: OnVolume,
}

/// An open, verified store.
#[derive(Debug)]
pub struct Store {
    /// The log and the vote.
    pub log: Log,
    /// The snapshots beside it.
    pub snapshots: Snapshots,
}

impl Store {
    /// Opens the store of `options.dir`, or makes an empty one. Blocks for as long as it takes to
    /// read the log and the newest snapshot once.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if anything that was promised is gone; the directory is then marked,
    /// so that no later open succeeds. Others if the directory cannot be used now.
    pub fn open(options: &StoreOptions) -> Result<Self, StoreError> {
        let dir = &options.dir;
        fs::create_dir_all(dir).map_err(StoreError::io("cannot create", dir))?;
        let owner = lock(dir)?;
        if let Some(what) = read_marker(dir) {
            return Err(StoreError::Damaged {
                dir: dir.clone(),
                what,
            });
        }
        let opened = open_locked(options, owner);
        if let Err(StoreError::Damaged { dir, what }) = &opened {
            write_marker(dir, what);
        }
        opened
    }
}

/// Whose store is in `dir`, by its high-water file alone; `None` if there is no such file. Nothing
/// is locked, changed or checked but that file.
///
/// # Errors
/// [`StoreError::Damaged`] if the file cannot be trusted; others if it cannot be read.
pub fn identity_of(dir: &Path) -> Result<Option<HardState>, StoreError> {
    match Slots::open(dir)? {
        None => Ok(None),
        Some(Ok(hard)) => Ok(Some(hard.state().clone())),
        Some(Err(Damage(what))) => Err(StoreError::Damaged {
            dir: dir.to_owned(),
            what,
        }),
    }
}

fn open_locked(options: &StoreOptions, owner: File) -> Result<Store, StoreError> {
    let dir = &options.dir;
    let damaged = |Damage(what)| StoreError::Damaged {
        dir: dir.clone(),
        what,
    };
    let log_dir = dir.join("log");
    let mut hard = match Slots::open(dir)? {
        Some(hard) => hard.map_err(damaged)?,
        None if log_dir.exists() => {
            let what = "the file `hardstate` with the vote is missing";
            return Err(damaged(what.into()));
        }
        None => Slots::create(
            dir,
            HardState {
                node: options.node,
                store: options.fresh.to_string(),
                ..HardState::default()
            },
        )?,
    };
    check_owner(options, hard.state())?;
    name_store(&mut hard, options.fresh, dir)?;
    if !hard.state().is_pristine() && !log_dir.join("db").exists() {
        return Err(damaged(
            format!("the log in {} is missing", log_dir.display()).into(),
        ));
    }
    let (db, tree, found) =
        open_sled(&log_dir, options.io).map_err(|error| error.into_store_error(dir, &log_dir))?;
    found.check_against(hard.state()).map_err(damaged)?;
    let snapshots = Snapshots::open(&dir.join("snapshots"), dir, options.volume.clone())?;
    check_snapshot(&found, &snapshots).map_err(damaged)?;
    let data = log_dir.join("db");
    let data = File::open(&data).map_err(StoreError::io("cannot open", &data))?;
    for dir in [&log_dir, dir] {
        sync_dir(dir).map_err(StoreError::io("cannot sync", dir))?;
    }
    let vote = newest_vote(hard.state(), found.state.vote);
    let state = State {
        vote,
        committed: usable_commit(&found),
        noted: usable_commit(&found),
        ..found.state
    };
    let disk = Disk::new(db, tree, data, hard, owner).on(options.volume.clone());
    let disk = Arc::new(disk.timed(options.timer.clone()));
    if let Some(vote) = vote.filter(|_| vote != found.state.vote) {
        disk.vote(vote)
            .map_err(StoreError::io("cannot write", dir))?;
    }
    let flusher = Flusher::start(options.io, Arc::clone(&disk))
        .map_err(StoreError::io("cannot start the flushing thread for", dir))?;
    Ok(Store {
        log: Log::new(disk, flusher, state),
        snapshots,
    })
}

fn check_owner(options: &StoreOptions, hard: &HardState) -> Result<(), StoreError> {
    let dir = options.dir.clone();
    if hard.node != options.node {
        return Err(StoreError::OtherNode {
            dir,
            stored: hard.node,
            given: options.node,
        });
    }
    match &options.cluster {
        Some(given) if !hard.cluster.is_empty() && hard.cluster != *given => {
            let (stored, given) = (hard.cluster.clone(), given.clone());
            Err(StoreError::OtherCluster { dir, stored, given })
        }
        _ => Ok(()),
    }
}

/// Gives a store of an older version its id, before anything is answered under it.
fn name_store(hard: &mut Slots, fresh: StoreId, dir: &Path) -> Result<(), StoreError> {
    let state = hard.state().clone();
    if state.store_id().is_some() {
        return Ok(());
    }
    if !state.store.is_empty() {
        return Err(StoreError::Damaged {
            dir: dir.to_owned(),
            what: "the id of the store in the file `hardstate` is none".to_owned(),
        });
    }
    let named = HardState {
        store: fresh.to_string(),
        ..state
    };
    hard.write(named)
        .map_err(StoreError::io("cannot write", dir))
}

/// Records are purged only after a durable snapshot covers them.
fn check_snapshot(found: &Scan, snapshots: &Snapshots) -> Result<(), Damage> {
    let Some(purged) = found.state.purged else {
        return Ok(());
    };
    let newest = snapshots.current().and_then(|file| file.head().last);
    match newest {
        Some(last) if last.index >= purged.index => Ok(()),
        Some(last) => Err(Damage(format!(
            "the newest snapshot ends at record {} but the log was purged up to {}",
            last.index, purged.index
        ))),
        None => Err(Damage(format!(
            "there is no snapshot although the log was purged up to record {}",
            purged.index
        ))),
    }
}

/// The noted commit position is only a hint, and may be ahead of a log that lost its
/// unacknowledged end.
fn usable_commit(found: &Scan) -> Option<super::Position> {
    let last = found.state.last.or(found.state.purged)?;
    found.state.committed.map(|noted| noted.min(last.into()))
}

/// Why sled did not open.
enum Refusal {
    Damage(Damage),
    Io(io::Error),
}

impl Refusal {
    fn into_store_error(self, dir: &Path, log: &Path) -> StoreError {
        match self {
            Self::Damage(Damage(what)) => StoreError::Damaged {
                dir: dir.to_owned(),
                what,
            },
            Self::Io(source) => StoreError::io("cannot open the log", log)(source),
        }
    }
}

impl From<sled::Error> for Refusal {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) if is_about_access(error.kind()) || held::is_lock(&error) => {
                Self::Io(error)
            }
            other => Self::Damage(Damage(format!("the log does not open: {other}"))),
        }
    }
}

/// Errors that say nothing about what is on the disk.
fn is_about_access(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        kind,
        Kind::PermissionDenied
            | Kind::ReadOnlyFilesystem
            | Kind::StorageFull
            | Kind::QuotaExceeded
            | Kind::OutOfMemory
            | Kind::Interrupted
    )
}

/// sled panics on some damage, at open as well as at the first read, so both happen on a thread
/// whose end is observed.
fn open_sled(dir: &Path, io: IoMode) -> Result<(sled::Db, sled::Tree, Scan), Refusal> {
    let every = match io {
        IoMode::Threaded => Some(BACKGROUND_FLUSH_MS),
        IoMode::Inline => None,
    };
    let config = sled::Config::new()
        .path(dir)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(every)
        .mode(sled::Mode::HighThroughput);
    let opening = thread::Builder::new()
        .name("raft-open".to_owned())
        .spawn(move || {
            // The directory's own lock is held, so the process with sled's lock is about to end.
            let db = held::wait_for(|| config.open(), held::is_lock)?;
            let tree = db.open_tree("log")?;
            let found = scan(&tree).map_err(Refusal::Damage)?;
            Ok((db, tree, found))
        })
        .map_err(Refusal::Io)?;
    opening.join().unwrap_or_else(|panic| {
        let why = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(Refusal::Damage(Damage(format!(
            "the log store panicked while opening: {why}"
        ))))
    })
}
