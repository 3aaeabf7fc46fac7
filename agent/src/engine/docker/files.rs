//! dockerd's own files of what a container wrote, read as they are written and rotated. Following
//! them by dockerd's API loses what is written while a file is rotated, and all that comes after.
//!
//! The file that is read and every newer one are held open, so that a rotation takes nothing away
//! that was there at the last look. What a rotation removed between two looks is gone: then the
//! next entry has a gap before it. Everything here blocks.

use std::{
    borrow::Cow,
    collections::VecDeque,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use serde::Deserialize;

use crate::engine::{Entry, Stream, instant};

/// What is read at once, bytes.
const CHUNK: usize = 256 << 10;
/// How much is read between two looks for rotated files, bytes.
const LOOK_EVERY: u64 = 1 << 20;
/// Files beyond those that dockerd keeps that are held open, at most: their disk is not free
/// before they are read.
const AHEAD_MAX: usize = 4;
/// The longest line of a file, bytes: dockerd cuts what is written into pieces of 16 KiB, each
/// byte of which takes six at most.
const LINE_MAX: usize = 256 << 10;
/// How much before the place where reading goes on is compared with what was there, bytes.
const TAIL: usize = 64;
/// How much of a file is looked at to learn when it begins, bytes.
const HEAD: u64 = LINE_MAX as u64;

/// One line of dockerd's files.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// A file that is held open, and how far it was read.
struct Held {
    file: File,
    id: (u64, u64),
    offset: u64,
    /// The last bytes before the offset: no two lines have the same, as each has its time.
    tail: Vec<u8>,
    /// Why something is missing between it and the file before it.
    gap: Option<&'static str>,
}

impl Held {
    /// Whether what was read is still before what is read next.
    fn is_same(&self) -> io::Result<bool> {
        let mut now = vec![0; self.tail.len()];
        let at = self.offset.saturating_sub(self.tail.len() as u64);
        match self.file.read_exact_at(&mut now, at) {
            Ok(()) => Ok(now == self.tail),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn advance(&mut self, chunk: &[u8]) {
        self.offset += chunk.len() as u64;
        self.tail.extend_from_slice(chunk);
        let more = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..more);
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.offset = 0;
        self.tail.clear();
        Ok(())
    }
}

/// What one look into the files came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// These entries.
    Entries(Vec<Entry>),
    /// Nothing more is written now.
    Dry,
    /// The files are gone, with their container.
    Gone,
}

/// Reads the files of one container.
pub(super) struct Files {
    path: PathBuf,
    files_max: usize,
    since_ns: u64,
    reading: Option<Held>,
    /// Newer files, the oldest first.
    ahead: VecDeque<Held>,
    begun: Vec<u8>,
    /// Read since the last look.
    unlooked: u64,
    /// Why something is missing before the next entry.
    gap: Option<&'static str>,
    looked: bool,
}

const ROTATED: &str = "the container runtime removed it before it was captured";
const UNREADABLE: &str = "a line in the files of the container runtime cannot be read";
const MAYBE: &str = "the container runtime may have removed some before it was captured";

impl Files {
    /// The files that begin with the name `path`, of which dockerd keeps `files_max`, from the
    /// second on in which they were written at `since_s`.
    pub(super) fn new(path: PathBuf, files_max: usize, since_s: u64) -> Self {
        Self {
            path,
            files_max: files_max.max(1),
            since_ns: since_s.saturating_mul(1_000_000_000),
            reading: None,
            ahead: VecDeque::new(),
            begun: Vec::new(),
            unlooked: 0,
            gap: None,
            looked: false,
        }
    }

    /// Reads on, about [`CHUNK`] bytes.
    pub(super) fn read(&mut self) -> io::Result<Progress> {
        if !self.looked || self.unlooked >= LOOK_EVERY {
            self.look()?;
        }
        loop {
            let Some(held) = &mut self.reading else {
                return Ok(match self.path.parent().is_some_and(Path::exists) {
                    true => Progress::Dry,
                    false => Progress::Gone,
                });
            };
            let mut chunk = vec![0; CHUNK];
            let count = held.file.read(&mut chunk)?;
            // dockerd empties the only file that it keeps instead of beginning another.
            if self.files_max == 1 && !held.is_same()? {
                held.restart()?;
                self.begun.clear();
                self.gap = Some(ROTATED);
                continue;
            }
            if count > 0 {
                held.advance(&chunk[..count]);
                self.unlooked += count as u64;
                let entries = self.take(&chunk[..count]);
                if entries.is_empty() {
                    continue;
                }
                return Ok(Progress::Entries(entries));
            }
            if self.ahead.is_empty() {
                if !self.look()? {
                    return Ok(match self.path.parent().is_some_and(Path::exists) {
                        true => Progress::Dry,
                        false => Progress::Gone,
                    });
                }
                // It was written on before the newer one was begun.
                continue;
            }
            // Nothing is written to a file once there is a newer one.
            if !std::mem::take(&mut self.begun).is_empty() {
                self.gap = Some(UNREADABLE);
            }
            self.reading = self.ahead.pop_front();
            let gap = self.reading.as_ref().and_then(|held| held.gap);
            self.gap = gap.or(self.gap);
        }
    }

    /// Looks for files that were begun since. Returns whether there is something more to read.
    fn look(&mut self) -> io::Result<bool> {
        self.unlooked = 0;
        let newest = self.ahead.back().or(self.reading.as_ref());
        let known = newest.map(|held| held.id);
        if let Some(known) = known {
            match fs::metadata(&self.path) {
                Ok(meta) if (meta.dev(), meta.ino()) == known => {
                    return Ok(self.has_more(&meta));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            }
            if self.ahead.len() >= self.files_max + AHEAD_MAX {
                return Ok(true);
            }
        }
        let mut found = self.list()?;
        match known {
            Some(known) => match found.iter().position(|held| held.id == known) {
                Some(at) => drop(found.drain(..=at)),
                // The successor of the newest known one may be among those that are gone.
                None if found.is_empty() => return Ok(false),
                None => {
                    if let Some(first) = found.first_mut() {
                        first.gap = Some(ROTATED);
                    }
                }
            },
            None => self.begin(&mut found)?,
        }
        let more = !found.is_empty();
        self.ahead.extend(found);
        if self.reading.is_none() {
            self.reading = self.ahead.pop_front();
        }
        self.looked = self.reading.is_some();
        Ok(more)
    }

    /// Whether there is more to read of the files that are known.
    fn has_more(&self, meta: &fs::Metadata) -> bool {
        let last = self.reading.as_ref().filter(|_| self.ahead.is_empty());
        last.is_none_or(|held| meta.len() > held.offset)
    }

    /// Where to begin among the files that are there.
    fn begin(&mut self, found: &mut Vec<Held>) -> io::Result<()> {
        let is_full = self.files_max > 1 && found.len() >= self.files_max;
        if self.since_ns == 0 && is_full {
            self.gap = Some(MAYBE);
        }
        // A file that another follows is passed over when that other begins before.
        while let [_, next, ..] = &mut found[..] {
            let begins = first_time(&mut next.file)?;
            if begins.is_none_or(|at_ns| at_ns > self.since_ns) {
                break;
            }
            drop(found.remove(0));
        }
        Ok(())
    }

    /// All files, the oldest first. The newest is opened first: a rotation meanwhile shows a file
    /// twice rather than not at all.
    fn list(&self) -> io::Result<Vec<Held>> {
        let mut found: Vec<Held> = Vec::new();
        for number in 0..self.files_max {
            let path = match number {
                0 => self.path.clone(),
                number => {
                    let mut name = self.path.clone().into_os_string();
                    name.push(format!(".{number}"));
                    PathBuf::from(name)
                }
            };
            let file = match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            let meta = file.metadata()?;
            let id = (meta.dev(), meta.ino());
            if found.iter().all(|held| held.id != id) {
                found.push(Held {
                    file,
                    id,
                    offset: 0,
                    tail: Vec::new(),
                    gap: None,
                });
            }
        }
        found.reverse();
        Ok(found)
    }

    /// The entries that end in this chunk.
    fn take(&mut self, chunk: &[u8]) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut rest = chunk;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(at + 1);
            rest = after;
            let parsed = match self.begun.is_empty() {
                true => entry(line),
                false => {
                    self.begun.extend_from_slice(line);
                    entry(&std::mem::take(&mut self.begun))
                }
            };
            match parsed {
                Some(entry) if entry.at_ns < self.since_ns => {}
                Some(entry) => {
                    let gap = self.gap.take();
                    entries.extend(gap.map(|words| Entry::gap_before(&entry, words)));
                    entries.push(entry);
                }
                None => self.gap = Some(UNREADABLE),
            }
        }
        if self.begun.len() + rest.len() > LINE_MAX {
            // No line is that long: it goes on to be none until it ends.
            self.begun.truncate(LINE_MAX);
            self.gap = Some(UNREADABLE);
        } else {
            self.begun.extend_from_slice(rest);
        }
        entries
    }
}

fn entry(line: &[u8]) -> Option<Entry> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let stream = Stream::ALL
        .into_iter()
        .find(|stream| stream.as_str() == line.stream)?;
    let whole = line.log.strip_suffix('\n');
    Some(Entry {
        at_ns: instant::parse(line.time.as_bytes())?,
        stream,
        line: Bytes::copy_from_slice(whole.unwrap_or(&line.log).as_bytes()),
        partial: whole.is_none(),
        gap: false,
    })
}

/// The time of the first entry of a file, which is then read from its beginning.
fn first_time(file: &mut File) -> io::Result<Option<u64>> {
    let mut head = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    let line = head.split_inclusive(|byte| *byte == b'\n').next();
    Ok(line.and_then(entry).map(|entry| entry.at_ns))
}

#[cfg(test)]
mod tests;
