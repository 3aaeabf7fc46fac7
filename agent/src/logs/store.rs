//! The files: appended to, rotated by size, removed when the host's budget is exceeded.
//!
//! A line of a file is the time in [`instant::WIDTH`] bytes, one byte that says whether the line
//! goes on in the next (`+`) or not (space) or is no output but says that some is missing (`!`),
//! and what was written. Nothing is synced: what a crash
//! of the host takes, the engine still has, and capture goes on where the files end.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::RunKey;
use crate::engine::{Entry, Stream, instant};

/// Runs whose output is kept when they are dead, whatever its size.
pub const DEAD_MAX: usize = 10_000;
/// How much of the end of a file is looked at to learn where capture goes on.
const TAIL_BYTES: u64 = 256 << 10;
/// The longest line of a file; the engine's own bound, and what is before it.
pub const LINE_MAX: usize = (64 << 10) + instant::WIDTH + 2;
/// Marks a line that says that something is missing.
const GAP: u8 = b'!';
/// How many bytes of the last words are told in the status.
const LAST_WORDS_BYTES: usize = 300;

/// All captured output of a host. Clones are the same.
#[derive(Debug, Clone)]
pub struct LogStore {
    root: PathBuf,
    /// Bytes of one file until the next is begun.
    file_max_bytes: u64,
    /// Files of each output of a run, at most.
    files_max: u32,
    /// Bytes of everything, living runs included; dead ones go to make room.
    budget_bytes: u64,
}

/// Where the capture of one output stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// The time of the last entry, nanoseconds; 0 before the first.
    pub at_ns: u64,
    /// How many entries of exactly that time are kept: the parts of a long line.
    pub count: u32,
}

/// Appends to the files of one run.
#[derive(Debug)]
pub struct RunWriter {
    dir: PathBuf,
    file_max_bytes: u64,
    files_max: u32,
    outputs: [Output; 2],
}

#[derive(Debug)]
struct Output {
    stream: Stream,
    /// The number of the file being written; 0 before the first.
    number: u64,
    file: Option<File>,
    bytes: u64,
    mark: Mark,
}

impl LogStore {
    /// The files below `root`.
    pub fn new(
        root: impl Into<PathBuf>,
        file_max_bytes: u64,
        files_max: u32,
        budget_bytes: u64,
    ) -> Self {
        Self {
            root: root.into(),
            file_max_bytes,
            files_max: files_max.max(1),
            budget_bytes,
        }
    }

    /// Where everything is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of a run.
    pub fn dir(&self, run: &RunKey) -> PathBuf {
        let name = format!("{}-{}", run.replica, run.run);
        self.root.join(run.instance.to_string()).join(name)
    }

    /// Goes on with a run's files, or begins them. Nothing is made before the first line.
    ///
    /// # Errors
    /// What the file system says.
    pub fn writer(&self, run: &RunKey) -> io::Result<RunWriter> {
        let dir = self.dir(run);
        let mut outputs = Stream::ALL.map(|stream| Output {
            stream,
            number: 0,
            file: None,
            bytes: 0,
            mark: Mark::default(),
        });
        for output in &mut outputs {
            output.resume(&dir)?;
        }
        Ok(RunWriter {
            dir,
            file_max_bytes: self.file_max_bytes,
            files_max: self.files_max,
            outputs,
        })
    }

    /// The end of what a run said, complaints first; empty when it said nothing.
    pub fn last_words(&self, run: &RunKey) -> String {
        let dir = self.dir(run);
        let of = |stream| {
            let number = *numbers(&dir, stream).ok()?.last()?;
            let (tail, _) = tail(&path(&dir, stream, number), 8 << 10).ok()?;
            let lines = tail.split(|byte| *byte == b'\n');
            let mut text = Vec::new();
            for line in lines.filter_map(|line| line.get(instant::WIDTH..)) {
                let (flag, line) = line.split_first()?;
                if *flag == GAP {
                    continue;
                }
                text.extend_from_slice(line);
                text.extend((*flag == b' ').then_some(b'\n'));
            }
            let words = last_words(&text);
            (!words.is_empty()).then_some(words)
        };
        of(Stream::Stderr)
            .or_else(|| of(Stream::Stdout))
            .unwrap_or_default()
    }

    /// The runs of an instance that wrote something.
    ///
    /// # Errors
    /// What the file system says.
    pub fn runs(&self, instance: &paasta_common::id::InstanceId) -> io::Result<Vec<RunKey>> {
        let names = names(&self.root.join(instance.to_string()))?;
        let runs = names
            .iter()
            .filter_map(|name| RunKey::of_directory(instance, name));
        Ok(runs.collect())
    }

    /// Removes the files of dead runs, the longest silent first, until everything fits. Returns
    /// how many runs' files went.
    ///
    /// # Errors
    /// What the file system says.
    pub fn trim(&self, alive: &BTreeSet<RunKey>) -> io::Result<usize> {
        let mut dead: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        let mut total = 0u64;
        for instance in names(&self.root)? {
            let dir = self.root.join(&instance);
            let parsed = instance.parse().ok();
            for name in names(&dir)? {
                let path = dir.join(&name);
                let (bytes, written) = size(&path)?;
                total = total.saturating_add(bytes);
                let run = parsed
                    .as_ref()
                    .and_then(|instance| RunKey::of_directory(instance, &name));
                if !run.is_some_and(|run| alive.contains(&run)) {
                    dead.push((written, bytes, path));
                }
            }
        }
        dead.sort();
        let mut removed = 0;
        for (_, bytes, path) in &dead {
            if total <= self.budget_bytes && dead.len() - removed <= DEAD_MAX {
                break;
            }
            fs::remove_dir_all(path)?;
            if let Some(instance) = path.parent() {
                // Only when nothing is left in it.
                let _ = fs::remove_dir(instance);
            }
            total = total.saturating_sub(*bytes);
            removed += 1;
        }
        Ok(removed)
    }
}

impl RunWriter {
    /// Where the capture of an output stands.
    pub fn mark(&self, stream: Stream) -> Mark {
        self.outputs[index(stream)].mark
    }

    /// Appends entries, in order.
    ///
    /// # Errors
    /// What the file system says. Some may have been written: [`LogStore::writer`] finds out.
    pub fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        for stream in Stream::ALL {
            let of_it = entries.iter().filter(|entry| entry.stream == stream);
            let mut text = Vec::new();
            let output = &mut self.outputs[index(stream)];
            for entry in of_it {
                let line = line(entry);
                let full = output.bytes + (text.len() + line.len()) as u64 > self.file_max_bytes;
                if full && output.bytes + text.len() as u64 > 0 {
                    output.write(&self.dir, &std::mem::take(&mut text))?;
                    output.rotate(&self.dir, self.files_max)?;
                }
                text.extend_from_slice(&line);
                if entry.gap {
                    continue;
                }
                output.mark = match output.mark {
                    mark if mark.at_ns == entry.at_ns => Mark {
                        count: mark.count.saturating_add(1),
                        ..mark
                    },
                    _ => Mark {
                        at_ns: entry.at_ns,
                        count: 1,
                    },
                };
            }
            output.write(&self.dir, &text)?;
        }
        Ok(())
    }
}

impl Output {
    fn resume(&mut self, dir: &Path) -> io::Result<()> {
        let numbers = numbers(dir, self.stream)?;
        let Some(number) = numbers.last() else {
            return Ok(());
        };
        self.number = *number;
        let path = path(dir, self.stream, *number);
        let (text, bytes) = tail(&path, TAIL_BYTES)?;
        // A line that was cut off by a crash is captured again.
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        self.bytes = bytes - (text.len() - whole) as u64;
        if self.bytes < bytes {
            open(&path)?.set_len(self.bytes)?;
        }
        let mut known = self.find_mark(&text[..whole]);
        // The pieces of a line may be in several files, and the newest may hold none yet.
        for before in numbers.iter().rev().skip(1) {
            if known {
                break;
            }
            let (text, _) = tail(&self::path(dir, self.stream, *before), TAIL_BYTES)?;
            known = self.find_mark(&text);
        }
        Ok(())
    }

    /// Counts the entries of the newest time from the end of a file on. Says whether one of
    /// another time is before them.
    fn find_mark(&mut self, text: &[u8]) -> bool {
        let times = text
            .split(|byte| *byte == b'\n')
            .rev()
            .filter(|line| line.get(instant::WIDTH) != Some(&GAP))
            .filter_map(|line| instant::parse(line.get(..instant::WIDTH)?));
        for at_ns in times {
            match self.mark {
                Mark { count: 0, .. } => self.mark = Mark { at_ns, count: 1 },
                mark if mark.at_ns == at_ns => self.mark.count += 1,
                _ => return true,
            }
        }
        false
    }

    fn write(&mut self, dir: &Path, text: &[u8]) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                fs::create_dir_all(dir)?;
                self.number = self.number.max(1);
                self.file
                    .insert(open(&path(dir, self.stream, self.number))?)
            }
        };
        file.write_all(text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    fn rotate(&mut self, dir: &Path, files_max: u32) -> io::Result<()> {
        self.file = None;
        self.bytes = 0;
        self.number += 1;
        let oldest = self.number.saturating_sub(u64::from(files_max));
        for number in numbers(dir, self.stream)? {
            if number <= oldest {
                fs::remove_file(path(dir, self.stream, number))?;
            }
        }
        Ok(())
    }
}

/// One line of a file.
fn line(entry: &Entry) -> Vec<u8> {
    let mut line = Vec::with_capacity(instant::WIDTH + 2 + entry.line.len());
    line.extend_from_slice(instant::write(entry.at_ns).as_bytes());
    line.push(match (entry.gap, entry.partial) {
        (true, _) => GAP,
        (false, true) => b'+',
        (false, false) => b' ',
    });
    let room = LINE_MAX - instant::WIDTH - 2;
    let kept = &entry.line[..entry.line.len().min(room)];
    // The engine cuts at newlines; one that got through must not look like another line.
    line.extend(kept.iter().map(|byte| match byte {
        b'\n' => b' ',
        byte => *byte,
    }));
    line.push(b'\n');
    line
}

/// The file of that number.
pub(super) fn path(dir: &Path, stream: Stream, number: u64) -> PathBuf {
    dir.join(format!("{}.{number}", stream.as_str()))
}

/// The numbers of the files of an output, ascending.
pub(super) fn numbers(dir: &Path, stream: Stream) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> = names(dir)?
        .iter()
        .filter_map(|name| {
            let number = name.strip_prefix(stream.as_str())?.strip_prefix('.')?;
            number.parse().ok()
        })
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)
}

/// The end of a file, and the size of all of it.
fn tail(path: &Path, bytes: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(bytes)))?;
    let mut text = Vec::new();
    file.take(bytes).read_to_end(&mut text)?;
    Ok((text, size))
}

/// The names in a directory, which need not be there.
pub(super) fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

/// The bytes of a run's files, and when it last wrote.
fn size(dir: &Path) -> io::Result<(u64, SystemTime)> {
    let (mut bytes, mut written) = (0, SystemTime::UNIX_EPOCH);
    for name in names(dir)? {
        let meta = match fs::metadata(dir.join(name)) {
            // Rotated away since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            meta => meta?,
        };
        bytes += meta.len();
        written = written.max(meta.modified()?);
    }
    Ok((bytes, written))
}

/// The end of a text on one line.
fn last_words(text: &[u8]) -> String {
    let end = &text[text.len().saturating_sub(LAST_WORDS_BYTES)..];
    let text = String::from_utf8_lossy(end);
    let text = text.replace(|c: char| c.is_control() && c != '\n', "");
    text.trim().replace('\n', " | ")
}

#[cfg(test)]
pub(crate) mod tests;
