//! One snapshot file: a header that describes and seals the body, and the body. The whole file
//! travels between nodes as it is.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::Arc,
};

use parking_lot::Mutex;

use crate::store::Position;

/// The most bytes of description a snapshot may carry in its header.
pub(super) const MAX_META_BYTES: usize = 1 << 20;

const MAGIC: &[u8; 8] = b"PAASTASN";
const VERSION: u32 = 1;
/// magic 8, version 4, meta length 4, has-last 8, index 8, term 8, body length 8, body crc 4,
/// header crc 4.
pub(super) const HEADER_BYTES: usize = 56;

/// What a snapshot says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last log record whose effect it contains.
    pub last: Option<Position>,
    /// The writer's description, opaque here.
    pub meta: Vec<u8>,
    /// Bytes of the body.
    pub body_bytes: u64,
    body_crc: u32,
}

/// An open snapshot file. Clones share it; it stays readable when the file is removed. A file that
/// never became a node's snapshot is removed with the last clone.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    head: Head,
    /// Where it is, and whether it is still a temporary one.
    place: Mutex<(PathBuf, bool)>,
}

impl SnapshotFile {
    pub(super) fn open(path: &std::path::Path, temporary: bool) -> io::Result<Self> {
        let file = File::open(path)?;
        let head = read_head(&file)?;
        let expected = (HEADER_BYTES + head.meta.len()) as u64 + head.body_bytes;
        let found = file.metadata()?.len();
        if found != expected {
            return Err(invalid(format!("has {found} bytes instead of {expected}")));
        }
        let place = Mutex::new((path.to_owned(), temporary));
        Ok(Self {
            inner: Arc::new(Inner { file, head, place }),
        })
    }

    /// A snapshot of nothing, which needs no room: the directory stands for its file, and nobody
    /// reads it.
    pub(super) fn nothing(dir: &std::path::Path) -> io::Result<Self> {
        let head = Head {
            last: None,
            meta: Vec::new(),
            body_bytes: 0,
            body_crc: 0,
        };
        let place = Mutex::new((dir.to_owned(), false));
        let file = File::open(dir)?;
        Ok(Self {
            inner: Arc::new(Inner { file, head, place }),
        })
    }

    /// What the file says about itself.
    pub fn head(&self) -> &Head {
        &self.inner.head
    }

    /// Bytes of the whole file.
    pub fn total_bytes(&self) -> u64 {
        self.body_start() + self.inner.head.body_bytes
    }

    /// Fills `buffer` from `offset` in the file; returns how many bytes there were.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.file.read_at(buffer, offset)
    }

    /// Reads the body from its beginning.
    pub fn body(&self) -> impl Read + use<> {
        BufReader::new(self.reader(self.body_start()))
    }

    /// Reads the whole body once and compares its checksum.
    ///
    /// # Errors
    /// `InvalidData` if it differs.
    pub fn verify(&self) -> io::Result<()> {
        let mut crc = crc32fast::Hasher::new();
        let mut body = self.body();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match body.read(&mut buffer)? {
                0 => break,
                bytes => crc.update(&buffer[..bytes]),
            }
        }
        if crc.finalize() != self.inner.head.body_crc {
            return Err(invalid(
                "has a body whose checksum does not match".to_owned(),
            ));
        }
        Ok(())
    }

    pub(super) fn path(&self) -> PathBuf {
        self.inner.place.lock().0.clone()
    }

    pub(super) fn raw_reader(&self) -> impl Read + use<> {
        self.reader(0)
    }

    pub(super) fn rename(&self, to: PathBuf) -> io::Result<()> {
        let mut place = self.inner.place.lock();
        fs::rename(&place.0, &to)?;
        *place = (to, false);
        Ok(())
    }

    fn body_start(&self) -> u64 {
        (HEADER_BYTES + self.inner.head.meta.len()) as u64
    }

    fn reader(&self, offset: u64) -> At {
        At {
            file: self.clone(),
            offset,
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let (path, temporary) = self.place.get_mut();
        if *temporary {
            // Best effort; the next start removes it otherwise.
            let _ = fs::remove_file(path);
        }
    }
}

struct At {
    file: SnapshotFile,
    offset: u64,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read_at(buffer, self.offset)?;
        self.offset += bytes as u64;
        Ok(bytes)
    }
}

pub(super) fn encode_header(
    last: Option<Position>,
    meta: &[u8],
    body_bytes: u64,
    body_crc: u32,
) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES + meta.len());
    let place = last.unwrap_or(Position { term: 0, index: 0 });
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSION.to_be_bytes());
    header.extend_from_slice(&(meta.len() as u32).to_be_bytes());
    header.extend_from_slice(&u64::from(last.is_some()).to_be_bytes());
    header.extend_from_slice(&place.index.to_be_bytes());
    header.extend_from_slice(&place.term.to_be_bytes());
    header.extend_from_slice(&body_bytes.to_be_bytes());
    header.extend_from_slice(&body_crc.to_be_bytes());
    let crc = header_crc(&header, meta);
    header.extend_from_slice(&crc.to_be_bytes());
    header.extend_from_slice(meta);
    header
}

fn header_crc(fixed: &[u8], meta: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(fixed);
    crc.update(meta);
    crc.finalize()
}

fn read_head(file: &File) -> io::Result<Head> {
    let mut fixed = [0; HEADER_BYTES];
    file.read_exact_at(&mut fixed, 0)?;
    if &fixed[..8] != MAGIC {
        return Err(invalid("is not a snapshot".to_owned()));
    }
    let version = u32_at(&fixed, 8);
    if version != VERSION {
        return Err(invalid(format!(
            "has format {version}, this version reads {VERSION}"
        )));
    }
    let meta_bytes = u32_at(&fixed, 12) as usize;
    if meta_bytes > MAX_META_BYTES {
        return Err(invalid("has a header that cannot be true".to_owned()));
    }
    let mut meta = vec![0; meta_bytes];
    file.read_exact_at(&mut meta, HEADER_BYTES as u64)?;
    if header_crc(&fixed[..HEADER_BYTES - 4], &meta) != u32_at(&fixed, 52) {
        return Err(invalid(
            "has a header whose checksum does not match".to_owned(),
        ));
    }
    let last = (u64_at(&fixed, 16) != 0).then(|| Position {
        index: u64_at(&fixed, 24),
        term: u64_at(&fixed, 32),
    });
    Ok(Head {
        last,
        meta,
        body_bytes: u64_at(&fixed, 40),
        body_crc: u32_at(&fixed, 48),
    })
}

fn u64_at(header: &[u8; HEADER_BYTES], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&header[at..at + 8]);
    u64::from_be_bytes(bytes)
}

fn u32_at(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&header[at..at + 4]);
    u32::from_be_bytes(bytes)
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
