//! Snapshots as plain files: written aside, synced, renamed, the directory synced. The two newest
//! are kept. Values of that size have no business in sled.

mod file;

use std::{
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::{
    durable::sync_dir,
    error::{Damage, StoreError},
    record::Position,
    volume::OnVolume,
};

use file::{HEADER_BYTES, MAX_META_BYTES, encode_header};
pub use file::{Head, SnapshotFile};

/// How many finished snapshots stay on disk.
const KEPT: usize = 2;

/// How many bytes of a snapshot are written between two looks at the room that is left.
const ROOM_STEP_BYTES: u64 = 1 << 20;

const FINISHED: &str = "snap";
const UNFINISHED: &str = "tmp";

/// The snapshots of one node.
#[derive(Clone, Debug)]
pub struct Snapshots {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    volume: OnVolume,
    serial: AtomicU64,
    /// Held while files are renamed, so that the newest on disk is always the one here.
    current: Mutex<Option<SnapshotFile>>,
}

impl Snapshots {
    /// Opens the directory, throws away what was never finished, and reads the newest file once.
    /// `store` is only named in errors.
    pub(super) fn open(dir: &Path, store: &Path, volume: OnVolume) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(StoreError::io("cannot create", dir))?;
        for path in list(dir, UNFINISHED).map_err(StoreError::io("cannot list", dir))? {
            fs::remove_file(&path).map_err(StoreError::io("cannot remove", &path))?;
        }
        let newest = list(dir, FINISHED)
            .map_err(StoreError::io("cannot list", dir))?
            .pop();
        let current = match newest {
            None => None,
            Some(path) => {
                let opened = SnapshotFile::open(&path, false).and_then(|file| {
                    file.verify()?;
                    Ok(file)
                });
                Some(opened.map_err(|error| unreadable(&path, store, error))?)
            }
        };
        let inner = Inner {
            dir: dir.to_owned(),
            volume,
            serial: AtomicU64::new(0),
            current: Mutex::new(current),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The newest snapshot.
    pub fn current(&self) -> Option<SnapshotFile> {
        self.inner.current.lock().clone()
    }

    /// Writes a snapshot that covers the log up to `last` and makes it the current one, unless a
    /// newer one arrived meanwhile. `meta` (at most 1 MiB) is kept in the header. Blocks.
    ///
    /// # Errors
    /// Those of `body` and of the disk; nothing is left behind then.
    pub fn write(
        &self,
        last: Option<Position>,
        meta: &[u8],
        body: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<SnapshotFile> {
        let expected = self.current().map_or(0, |file| file.total_bytes());
        self.room_for(expected)?;
        let path = self.temporary();
        let written = write_file(&path, last, meta, body, self).and_then(|()| {
            let file = SnapshotFile::open(&path, true)?;
            self.keep(file, last)
        });
        if written.is_err() {
            // Best effort; the next open removes it otherwise.
            let _ = fs::remove_file(&path);
        }
        written
    }

    /// Stands for the snapshot that a node does not have yet: nothing can be read from it.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn nothing(&self) -> io::Result<SnapshotFile> {
        SnapshotFile::nothing(&self.inner.dir)
    }

    /// Starts to receive another node's snapshot file, of `bytes` in all. Blocks.
    ///
    /// # Errors
    /// Those of the disk; `StorageFull` where the log would be left without room.
    pub fn receive(&self, bytes: u64) -> io::Result<Incoming> {
        self.room_for(bytes)?;
        let path = self.temporary();
        let file = File::create_new(&path)?;
        Ok(Incoming {
            path,
            file: Some(file),
        })
    }

    /// Whether a snapshot may take so many bytes more.
    fn room_for(&self, bytes: u64) -> io::Result<()> {
        self.inner.volume.admit_snapshot(&self.inner.dir, bytes)
    }

    /// Makes a received snapshot this node's current one. Harmless for one that already is. Blocks.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn adopt(&self, file: SnapshotFile) -> io::Result<SnapshotFile> {
        let last = file.head().last;
        let path = file.path();
        if path.parent() == Some(self.inner.dir.as_path()) {
            if path
                .extension()
                .is_some_and(|extension| extension == FINISHED)
            {
                return Ok(file);
            }
            return self.keep(file, last);
        }
        let copy = self.temporary();
        let mut target = File::create_new(&copy)?;
        io::copy(&mut file.raw_reader(), &mut target)?;
        target.sync_all()?;
        let file = SnapshotFile::open(&copy, true)?;
        file.verify()?;
        self.keep(file, last)
    }

    fn temporary(&self) -> PathBuf {
        let serial = self.inner.serial.fetch_add(1, Ordering::Relaxed);
        self.inner.dir.join(format!("{serial}.{UNFINISHED}"))
    }

    /// Gives a synced temporary file its name, and removes what is too old.
    fn keep(&self, file: SnapshotFile, last: Option<Position>) -> io::Result<SnapshotFile> {
        let mut current = self.inner.current.lock();
        if current
            .as_ref()
            .is_some_and(|current| current.head().last > last)
        {
            return Ok(file);
        }
        let name = last.map_or_else(
            || format!("{:020}-{:020}.{FINISHED}", 0, 0),
            |last| format!("{:020}-{:020}.{FINISHED}", last.index + 1, last.term),
        );
        file.rename(self.inner.dir.join(name))?;
        sync_dir(&self.inner.dir)?;
        *current = Some(file.clone());
        let mut kept = list(&self.inner.dir, FINISHED)?;
        kept.truncate(kept.len().saturating_sub(KEPT));
        for old in kept {
            fs::remove_file(old)?;
        }
        Ok(file)
    }
}

/// A snapshot on its way from another node. Dropping it removes what has arrived.
#[derive(Debug)]
pub struct Incoming {
    path: PathBuf,
    file: Option<File>,
}

impl Incoming {
    /// Writes the next bytes. Blocks.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Err(io::Error::other("the snapshot has already ended")),
        }
    }

    /// Says that all bytes have arrived; checks them and waits for the disk. Blocks.
    ///
    /// # Errors
    /// `InvalidData` if they are not a sound snapshot file.
    pub fn finish(mut self) -> io::Result<SnapshotFile> {
        let file = self
            .file
            .take()
            .ok_or_else(|| io::Error::other("already finished"))?;
        let sound = file.sync_all().and_then(|()| {
            let file = SnapshotFile::open(&self.path, true)?;
            file.verify()?;
            Ok(file)
        });
        if sound.is_err() {
            let _ = fs::remove_file(&self.path);
        }
        sound
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Best effort; the next open removes it otherwise.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn write_file(
    path: &Path,
    last: Option<Position>,
    meta: &[u8],
    body: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    snapshots: &Snapshots,
) -> io::Result<()> {
    if meta.len() > MAX_META_BYTES {
        return Err(io::Error::other(
            "the description of a snapshot is too large",
        ));
    }
    let mut file = File::create_new(path)?;
    // A header of zeros is not a sound one, should this never be finished.
    file.write_all(&vec![0; HEADER_BYTES + meta.len()])?;
    let mut counted = Counted {
        to: BufWriter::new(&mut file),
        snapshots,
        bytes: 0,
        admitted: 0,
        crc: Default::default(),
    };
    body(&mut counted)?;
    counted.flush()?;
    let (bytes, crc) = (counted.bytes, counted.crc.clone().finalize());
    drop(counted);
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&encode_header(last, meta, bytes, crc))?;
    file.sync_all()
}

/// Counts and sums up what passes, and ends where it would take the log's room.
struct Counted<'a, W> {
    to: W,
    snapshots: &'a Snapshots,
    bytes: u64,
    /// Up to how many bytes there was room when that was last looked at.
    admitted: u64,
    crc: crc32fast::Hasher,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes >= self.admitted {
            self.snapshots.room_for(ROOM_STEP_BYTES)?;
            self.admitted = self.bytes + ROOM_STEP_BYTES;
        }
        let written = self.to.write(bytes)?;
        self.bytes += written as u64;
        self.crc.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The files with this extension, oldest first.
fn list(dir: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, store: &Path, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            let Damage(what) = format!("the snapshot {} {error}", path.display()).into();
            StoreError::Damaged {
                dir: store.to_owned(),
                what,
            }
        }
        _ => StoreError::io("cannot read", path)(error),
    }
}

#[cfg(test)]
mod tests;
