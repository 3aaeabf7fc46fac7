//! The file that `paasta snapshot save` writes and `paasta-coordinator restore` reads: what the
//! cluster was, its state, and a checksum at the end, so that a file cut short is known as one.
//!
//! A head that people and tools can read without knowing the state (`paasta snapshot inspect`)
//! comes first. What the state's bytes mean is not known here.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"PAASTAST";
const END: &[u8; 8] = b"PAASTAND";
/// Its owner's only.
const MODE: u32 = 0o600;
/// The newest form of the file that this version writes and reads.
const VERSION: u32 = 1;
/// The most bytes a head may have: a guard against lengths that are not lengths.
const HEAD_BYTES_MAX: usize = 1 << 20;
/// magic 8, version 4, head length 4, head crc 4.
const FIXED_BYTES: u64 = 20;
/// body length 8, body crc 4, magic 8.
const END_BYTES: u64 = 20;

/// What a saved state says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The cluster's id.
    pub cluster_id: String,
    /// The cluster's name.
    pub cluster: String,
    /// How often it had been recovered, from 1.
    pub epoch: u64,
    /// The last command the state contains.
    pub index: u64,
    /// The Raft term in which it was saved.
    pub term: u64,
    /// When it was saved, milliseconds since 1970.
    pub saved_at_ms: u64,
    /// The coordinator that saved it.
    pub saved_by: u64,
    /// The version of that coordinator.
    pub version: String,
    /// The coordinators with a vote, and where they were.
    pub coordinators: BTreeMap<u64, String>,
    /// How many of each thing the state holds.
    pub counts: Counts,
}

/// How many of each thing a state holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Declared instances, and those being removed.
    pub instances: u64,
    /// Apps.
    pub apps: u64,
    /// Hosts.
    pub hosts: u64,
    /// Replicas.
    pub replicas: u64,
}

/// Why a saved state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// The file cannot be read or written.
    #[error("cannot {doing} {path}")]
    Io {
        /// As a verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// It is not one, or not whole.
    #[error("{path} is not a whole saved state: {what}; save one anew, or use another copy")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A newer version wrote it.
    #[error(
        "{path} has format {found}, this version reads up to {VERSION}: use the version that wrote it"
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// Writes the form of the file to any stream: head, then whatever is written, then the checksum.
pub struct Writer<W: Write> {
    to: W,
    bytes: u64,
    crc: crc32fast::Hasher,
}

impl<W: Write> Writer<W> {
    /// Writes the head.
    ///
    /// # Errors
    /// The stream's.
    pub fn begin(mut to: W, head: &Head) -> io::Result<Self> {
        let head = serde_json::to_vec(head).map_err(io::Error::other)?;
        let length = u32::try_from(head.len())
            .ok()
            .filter(|length| *length as usize <= HEAD_BYTES_MAX)
            .ok_or_else(|| io::Error::other("the head of a saved state is too large"))?;
        to.write_all(MAGIC)?;
        to.write_all(&VERSION.to_be_bytes())?;
        to.write_all(&length.to_be_bytes())?;
        to.write_all(&crc32fast::hash(&head).to_be_bytes())?;
        to.write_all(&head)?;
        Ok(Self {
            to,
            bytes: 0,
            crc: crc32fast::Hasher::new(),
        })
    }

    /// Writes the end, without which the file is not whole.
    ///
    /// # Errors
    /// The stream's.
    pub fn end(mut self) -> io::Result<W> {
        self.to.write_all(&self.bytes.to_be_bytes())?;
        self.to.write_all(&self.crc.finalize().to_be_bytes())?;
        self.to.write_all(END)?;
        self.to.flush()?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written as u64;
        self.crc.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A whole saved state: its checksums were compared.
#[derive(Debug)]
pub struct Saved {
    head: Head,
    file: File,
    body_at: u64,
    body_bytes: u64,
    checksum: u32,
}

impl Saved {
    /// Opens a file and reads all of it once.
    ///
    /// # Errors
    /// [`SavedError`]: it cannot be read, or is not whole.
    pub fn open(path: &Path) -> Result<Self, SavedError> {
        let read = |source| failed("read", path)(source);
        let file = File::open(path).map_err(failed("open", path))?;
        let total = file.metadata().map_err(read)?.len();
        let (head, body_at) = read_head(&file, path, total)?;
        let end_at = total - END_BYTES;
        if end_at < body_at {
            return Err(damaged(path, "it was cut short"));
        }
        let mut end = [0; END_BYTES as usize];
        read_at(&file, end_at, &mut end).map_err(read)?;
        if &end[12..] != END {
            return Err(damaged(path, "it was cut short: its end is missing"));
        }
        let body_bytes = u64::from_be_bytes(first(&end[..8]));
        let checksum = u32::from_be_bytes(first(&end[8..12]));
        if body_bytes != end_at - body_at {
            return Err(damaged(path, "its length is not the one it says"));
        }
        let saved = Self {
            head,
            file,
            body_at,
            body_bytes,
            checksum,
        };
        if saved.sum().map_err(read)? != checksum {
            return Err(damaged(path, "its checksum does not match"));
        }
        Ok(saved)
    }

    /// What it says about itself.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Bytes of the state.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// The state's CRC-32.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Reads the state from its beginning. One reader at a time.
    ///
    /// # Errors
    /// The file's.
    pub fn body(&self) -> io::Result<impl Read + use<'_>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.body_at))?;
        Ok(BufReader::new(file.take(self.body_bytes)))
    }

    fn sum(&self) -> io::Result<u32> {
        let mut crc = crc32fast::Hasher::new();
        let mut body = self.body()?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match body.read(&mut buffer)? {
                0 => return Ok(crc.finalize()),
                bytes => crc.update(&buffer[..bytes]),
            }
        }
    }
}

/// A saved state on its way to its place: beside it until it is whole. Dropping it removes it.
#[derive(Debug)]
pub struct Incoming {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<File>,
}

impl Incoming {
    /// Begins a file that shall be at `path`; whatever is there now stays until [`Self::finish`].
    ///
    /// # Errors
    /// [`SavedError::Io`].
    pub fn begin(path: &Path) -> Result<Self, SavedError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = directory(path).join(format!(".{name}.{}.tmp", std::process::id()));
        // The state holds every service's environment.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(MODE)
            .open(&temporary)
            .map_err(failed("create", &temporary))?;
        file.set_permissions(fs::Permissions::from_mode(MODE))
            .map_err(failed("create", &temporary))?;
        Ok(Self {
            path: path.to_owned(),
            temporary,
            file: Some(file),
        })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// [`SavedError::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SavedError> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.write_all(bytes)
            .map_err(failed("write", &self.temporary))
    }

    /// Checks that the file is whole, makes it durable and gives it its name.
    ///
    /// # Errors
    /// [`SavedError`]; nothing is left behind, and what was at the path is as it was.
    pub fn finish(mut self) -> Result<Saved, SavedError> {
        if let Some(file) = &self.file {
            file.sync_all().map_err(failed("flush", &self.temporary))?;
        }
        let saved = Saved::open(&self.temporary)?;
        fs::rename(&self.temporary, &self.path).map_err(failed("replace", &self.path))?;
        self.file = None;
        let directory = directory(&self.path);
        File::open(directory)
            .and_then(|opened| opened.sync_all())
            .map_err(failed("flush", directory))?;
        Ok(saved)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.file.is_some() {
            // The error that matters was reported; a leftover would only be litter.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn read_head(file: &File, path: &Path, total: u64) -> Result<(Head, u64), SavedError> {
    if total < FIXED_BYTES + END_BYTES {
        return Err(damaged(path, "it is too short to be one"));
    }
    let mut fixed = [0; FIXED_BYTES as usize];
    read_at(file, 0, &mut fixed).map_err(failed("read", path))?;
    if &fixed[..8] != MAGIC {
        return Err(damaged(path, "it does not begin like one"));
    }
    let found = u32::from_be_bytes(first(&fixed[8..12]));
    if found != VERSION {
        let path = path.to_owned();
        return Err(SavedError::TooNew { path, found });
    }
    let length = u32::from_be_bytes(first(&fixed[12..16])) as usize;
    if length > HEAD_BYTES_MAX || FIXED_BYTES + length as u64 + END_BYTES > total {
        return Err(damaged(path, "its head has a length that cannot be"));
    }
    let mut head = vec![0; length];
    read_at(file, FIXED_BYTES, &mut head).map_err(failed("read", path))?;
    if crc32fast::hash(&head) != u32::from_be_bytes(first(&fixed[16..20])) {
        return Err(damaged(path, "the checksum of its head does not match"));
    }
    let head = serde_json::from_slice(&head).map_err(|error| damaged(path, &error.to_string()))?;
    Ok((head, FIXED_BYTES + length as u64))
}

fn read_at(mut file: &File, at: u64, buffer: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(buffer)
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SavedError {
    let path = path.to_owned();
    move |source| SavedError::Io {
        doing,
        path,
        source,
    }
}

fn damaged(path: &Path, what: &str) -> SavedError {
    SavedError::Damaged {
        path: path.to_owned(),
        what: what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            cluster_id: "c1".to_owned(),
            cluster: "demo".to_owned(),
            epoch: 1,
            index: 42,
            term: 3,
            saved_at_ms: 1_700_000_000_000,
            saved_by: 2,
            version: "0.1.0".to_owned(),
            coordinators: BTreeMap::from([(1, "a:1".to_owned())]),
            counts: Counts::default(),
        }
    }

    fn bytes(body: &[u8]) -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new(), &head()).unwrap();
        writer.write_all(body).unwrap();
        writer.end().unwrap()
    }

    fn save(path: &Path, bytes: &[u8]) -> Result<Saved, SavedError> {
        let mut incoming = Incoming::begin(path)?;
        for part in bytes.chunks(7) {
            incoming.write(part)?;
        }
        incoming.finish()
    }

    #[test]
    fn what_was_saved_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        for body in [&b""[..], b"the state", &[7; 200_000]] {
            let saved = save(&path, &bytes(body)).unwrap();
            assert_eq!(saved.head(), &head());
            let again = Saved::open(&path).unwrap();
            let mut read = Vec::new();
            again.body().unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, body);
            assert_eq!(again.body_bytes(), body.len() as u64);
            assert_eq!(again.checksum(), crc32fast::hash(body));
        }
    }

    #[test]
    fn no_part_and_no_flipped_bit_passes_for_a_whole_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let whole = bytes(b"the state of a cluster");
        fs::write(&path, &whole).unwrap();
        let mut bad: Vec<Vec<u8>> = (0..whole.len()).map(|to| whole[..to].to_vec()).collect();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            bad.push(flipped);
        }
        bad.push([whole.clone(), vec![0]].concat());
        for bytes in bad {
            save(&path, &bytes).expect_err("it is not whole");
            assert_eq!(fs::read(&path).unwrap(), whole, "the old file stays");
        }
        let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn the_file_is_its_owners_only_whatever_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        save(&path, &bytes(b"new")).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
    }

    #[test]
    fn an_error_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        fs::write(&path, b"something else entirely, and long enough for it").unwrap();
        let error = Saved::open(&path).unwrap_err().to_string();
        assert!(error.contains("use another copy"), "{error}");
        let mut newer = bytes(b"x");
        newer[11] = 9;
        fs::write(&path, newer).unwrap();
        assert!(matches!(
            Saved::open(&path),
            Err(SavedError::TooNew { found: 9, .. })
        ));
    }
}
