//! The files of the audit log: `audit.jsonl`, and those before it, `audit.jsonl.1` being the last
//! of them. Each is appended to only, has a bounded size, and is its owner's only.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use paasta_process::private;

use super::record::Record;

/// The current file.
const NAME: &str = "audit.jsonl";
/// Bytes that one look back reads, at most.
const LOOK_BYTES_MAX: u64 = 16 << 20;

/// Where the audit log is, and how much of it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The directory.
    pub dir: PathBuf,
    /// Bytes of one file, at most.
    pub file_bytes: u64,
    /// Files that are kept beside the current one.
    pub files: u32,
}

/// The current file, open.
#[derive(Debug)]
pub(super) struct Log {
    place: Place,
    open: Option<(File, u64)>,
}

impl Place {
    fn current(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    fn before(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{NAME}.{number}"))
    }

    /// The newest records that `wanted` selects, at most `limit`, oldest first. A line that cannot
    /// be read is passed over: it was cut by the end of a process.
    ///
    /// # Errors
    /// What the file system says; a file that is not there has no records.
    pub(crate) fn newest(
        &self,
        limit: usize,
        wanted: impl Fn(&Record) -> bool,
    ) -> io::Result<Vec<Record>> {
        let mut found = VecDeque::new();
        let mut budget = LOOK_BYTES_MAX;
        let before = (1..=self.files).map(|number| self.before(number));
        for path in std::iter::once(self.current()).chain(before) {
            if found.len() >= limit || budget == 0 {
                break;
            }
            let text = tail(&path, &mut budget)?;
            for line in text.rsplit(|byte| *byte == b'\n') {
                let record = serde_json::from_slice(line).ok();
                if let Some(record) = record.filter(&wanted) {
                    found.push_front(record);
                }
                if found.len() >= limit {
                    break;
                }
            }
        }
        Ok(found.into())
    }
}

/// The end of a file, as much as the budget has; less what was read.
fn tail(path: &Path, budget: &mut u64) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(*budget)))?;
    let mut text = Vec::new();
    file.take(*budget).read_to_end(&mut text)?;
    *budget = budget.saturating_sub(u64::try_from(text.len()).unwrap_or(u64::MAX));
    Ok(text)
}

impl Log {
    pub(super) fn new(place: Place) -> Self {
        Self { place, open: None }
    }

    /// Appends whole lines and flushes them to the disk. After an error the file is opened anew.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let result = self.write(lines);
        if result.is_err() {
            self.open = None;
        }
        result
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let more = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let full = self.place.file_bytes.saturating_sub(more);
        let (mut file, size) = match self.open.take() {
            Some(open) => open,
            None => self.begin()?,
        };
        if size > 0 && size > full {
            drop(file);
            self.rotate()?;
            (file, _) = self.begin()?;
        }
        file.write_all(lines)?;
        file.sync_data()?;
        let size = file.metadata()?.len();
        self.open = Some((file, size));
        Ok(())
    }

    /// Opens the current file. What a process left unfinished there is a line of its own.
    fn begin(&self) -> io::Result<(File, u64)> {
        private::directory(&self.place.dir)?;
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(self.place.current())?;
        let size = file.metadata()?.len();
        if size > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok((file, size))
    }

    fn rotate(&self) -> io::Result<()> {
        for number in (1..self.place.files).rev() {
            replace(&self.place.before(number), &self.place.before(number + 1))?;
        }
        match self.place.files {
            0 => fs::remove_file(self.place.current()),
            _ => replace(&self.place.current(), &self.place.before(1)),
        }
    }
}

fn replace(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
