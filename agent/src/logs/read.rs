//! Reading back: the lines of several runs and both outputs in the order of time, from the last so
//! many or from a moment on, and what comes after. Memory is bounded by the number of runs, not by
//! the size of the files. Everything here blocks.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use paasta_common::id::{InstanceId, ReplicaId};

use super::{
    RunKey,
    store::{LINE_MAX, LogStore, numbers, path},
};
use crate::engine::{Stream, instant};

/// Runs that one query reads, the newest; older ones are named as left out.
pub const RUNS_MAX: usize = 100;
/// What is read at once when looking for the last lines.
const BLOCK: u64 = 64 << 10;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Of these instances.
    pub instances: BTreeSet<InstanceId>,
    /// Of these outputs.
    pub streams: Vec<Stream>,
    /// From here on, nanoseconds since the Unix epoch.
    pub since_ns: u64,
    /// Up to here; 0 for no end.
    pub until_ns: u64,
    /// The last so many; 0 for all.
    pub lines: usize,
    /// Of this replica only.
    pub replica: Option<ReplicaId>,
}

/// A line, or a part of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// Which output.
    pub stream: Stream,
    /// Whose.
    pub run: RunKey,
    /// What.
    pub line: Vec<u8>,
    /// It goes on in the next record of this run and output.
    pub partial: bool,
}

/// A query under way.
pub struct Reader {
    store: LogStore,
    query: Query,
    sources: BTreeMap<(RunKey, Stream), Source>,
    left_out: usize,
}

/// One output of one run.
struct Source {
    dir: PathBuf,
    stream: Stream,
    /// The file being read; 0 before the first.
    number: u64,
    file: Option<BufReader<File>>,
    /// Where to begin in the file that is opened first.
    offset: u64,
    head: Option<(u64, bool, Vec<u8>)>,
    /// There is no more for now: not looked at again for every line of others.
    dry: bool,
}

/// Where a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at_ns: u64,
    /// The number of its source.
    source: usize,
    /// The number of the file.
    number: u64,
    /// The place in it.
    offset: u64,
}

impl Reader {
    /// Finds where to begin.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(store: LogStore, query: Query) -> io::Result<Self> {
        let mut reader = Self {
            store,
            query,
            sources: BTreeMap::new(),
            left_out: 0,
        };
        reader.look_for_runs()?;
        match reader.query.lines {
            0 => reader.begin_at_since()?,
            lines => reader.begin_at_last(lines)?,
        }
        Ok(reader)
    }

    /// How many runs are not read because there are too many.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The next records, in the order of time, about `bytes` of them; empty when there is nothing
    /// more now.
    ///
    /// # Errors
    /// What the file system says.
    pub fn next(&mut self, bytes: usize) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        let mut taken = 0;
        self.sources
            .values_mut()
            .for_each(|source| source.dry = false);
        while taken < bytes {
            for source in self.sources.values_mut() {
                source.fill(self.query.since_ns)?;
            }
            let heads = self.sources.iter();
            let first = heads
                .filter_map(|(key, source)| Some((source.head.as_ref()?.0, key.clone())))
                .min();
            let Some((at_ns, key)) = first else { break };
            if self.query.until_ns > 0 && at_ns > self.query.until_ns {
                break;
            }
            let source = self.sources.get_mut(&key);
            let Some((_, partial, line)) = source.and_then(|source| source.head.take()) else {
                break;
            };
            taken += line.len() + instant::WIDTH;
            let (run, stream) = key;
            records.push(Record {
                at_ns,
                stream,
                run,
                line,
                partial,
            });
        }
        Ok(records)
    }

    /// Looks for runs that began since; they are read from their beginning.
    ///
    /// # Errors
    /// What the file system says.
    pub fn look_for_runs(&mut self) -> io::Result<()> {
        let mut runs = Vec::new();
        for instance in &self.query.instances {
            runs.extend(self.store.runs(instance)?);
        }
        runs.retain(|run| {
            self.query
                .replica
                .is_none_or(|replica| replica == run.replica)
        });
        // Ids and numbers grow: the newest last.
        runs.sort_by_key(|run| (run.replica, run.run));
        self.left_out = runs.len().saturating_sub(RUNS_MAX);
        runs.drain(..self.left_out);
        let kept: BTreeSet<&RunKey> = runs.iter().collect();
        self.sources.retain(|(run, _), _| kept.contains(run));
        for run in &runs {
            for stream in &self.query.streams {
                let dir = self.store.dir(run);
                let source = self.sources.entry((run.clone(), *stream));
                source.or_insert_with(|| Source::new(dir, *stream));
            }
        }
        Ok(())
    }

    /// Nothing before the moment asked for is read where whole files can be passed over.
    fn begin_at_since(&mut self) -> io::Result<()> {
        let since_ns = self.query.since_ns;
        for source in self.sources.values_mut() {
            for number in numbers(&source.dir, source.stream)? {
                let begins = first_time(&path(&source.dir, source.stream, number))?;
                if begins.is_none_or(|at_ns| at_ns > since_ns) && source.number > 0 {
                    break;
                }
                source.number = number;
            }
        }
        Ok(())
    }

    /// Of all sources together the last so many lines.
    fn begin_at_last(&mut self, lines: usize) -> io::Result<()> {
        let mut last: BinaryHeap<Reverse<Place>> = BinaryHeap::new();
        for (at, source) in self.sources.values_mut().enumerate() {
            let full = last.len() >= lines;
            let oldest = last.peek().map(|Reverse(place)| place.at_ns);
            let since_ns = match oldest.filter(|_| full) {
                Some(oldest) => oldest.max(self.query.since_ns),
                None => self.query.since_ns,
            };
            for place in source.last_lines(lines, since_ns, self.query.until_ns)? {
                last.push(Reverse(Place {
                    source: at,
                    ..place
                }));
                if last.len() > lines {
                    last.pop();
                }
            }
        }
        let mut places: Vec<Place> = last.into_iter().map(|Reverse(place)| place).collect();
        places.sort_by_key(|place| Reverse((place.number, place.offset)));
        let mut sources: Vec<&mut Source> = self.sources.values_mut().collect();
        for place in places {
            if let Some(source) = sources.get_mut(place.source) {
                (source.number, source.offset) = (place.number, place.offset);
            }
        }
        Ok(())
    }
}

impl Source {
    fn new(dir: PathBuf, stream: Stream) -> Self {
        Self {
            dir,
            stream,
            number: 0,
            file: None,
            offset: 0,
            head: None,
            dry: false,
        }
    }

    fn begin_at_end(&mut self, last: Option<u64>) -> io::Result<()> {
        let Some(number) = last else { return Ok(()) };
        self.number = number;
        self.offset = std::fs::metadata(path(&self.dir, self.stream, number))?.len();
        Ok(())
    }

    /// Where the last so many lines begin, the newest first. A line that was cut into pieces is
    /// one line, in however many files its pieces are.
    fn last_lines(&mut self, lines: usize, since_ns: u64, until_ns: u64) -> io::Result<Vec<Place>> {
        let numbers = numbers(&self.dir, self.stream)?;
        // At the end, for what is yet to come, unless something is found.
        self.begin_at_end(numbers.last().copied())?;
        let mut places: Vec<Place> = Vec::new();
        for number in numbers.into_iter().rev() {
            let path = path(&self.dir, self.stream, number);
            let more = backwards(&path, |at_ns, goes_on, offset| {
                if until_ns > 0 && at_ns > until_ns {
                    return true;
                }
                if at_ns < since_ns {
                    return false;
                }
                let place = Place {
                    at_ns,
                    source: 0,
                    number,
                    offset,
                };
                let is_full = places.len() >= lines;
                match places.last_mut() {
                    // What follows a piece is the rest of its line.
                    Some(rest) if goes_on => *rest = place,
                    _ if is_full => return false,
                    _ => places.push(place),
                }
                true
            })?;
            if !more {
                break;
            }
        }
        Ok(places)
    }

    /// Reads the next line, if there is one and none is held.
    fn fill(&mut self, since_ns: u64) -> io::Result<()> {
        while self.head.is_none() && !self.dry {
            if self.file.is_none() && !self.open()? {
                self.dry = true;
                return Ok(());
            }
            let Some(file) = &mut self.file else {
                return Ok(());
            };
            match read_line(file)? {
                Some(line) => self.head = parse(&line).filter(|(at_ns, ..)| *at_ns >= since_ns),
                None => {
                    self.dry = !self.next_file()?;
                }
            }
        }
        Ok(())
    }

    /// Opens the file where reading begins; the oldest one that is left when that is gone.
    fn open(&mut self) -> io::Result<bool> {
        let numbers = numbers(&self.dir, self.stream)?;
        let Some(number) = numbers.into_iter().find(|number| *number >= self.number) else {
            return Ok(false);
        };
        if number != self.number {
            self.offset = 0;
        }
        self.number = number;
        let mut file = match File::open(path(&self.dir, self.stream, number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        file.seek(SeekFrom::Start(self.offset))?;
        self.file = Some(BufReader::new(file));
        Ok(true)
    }

    /// Goes on to the next file, if the present one is not the last.
    fn next_file(&mut self) -> io::Result<bool> {
        let numbers = numbers(&self.dir, self.stream)?;
        let Some(next) = numbers.into_iter().find(|number| *number > self.number) else {
            return Ok(false);
        };
        // The last lines may have been written between the end and this look.
        if let Some(file) = &mut self.file
            && let Some(line) = read_line(file)?
        {
            self.head = parse(&line);
            return Ok(true);
        }
        (self.number, self.offset, self.file) = (next, 0, None);
        Ok(true)
    }
}

/// The next whole line, without its end; none when it is not wholly written yet.
fn read_line(file: &mut BufReader<File>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let bound = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
    file.by_ref().take(bound).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(Some(line)),
        // Longer than any line can be: a spoilt file, passed over in pieces.
        Some(_) if line.len() + 1 >= LINE_MAX => Ok(Some(Vec::new())),
        Some(_) => {
            let back = i64::try_from(line.len() + 1).unwrap_or(i64::MAX);
            file.seek_relative(-back)?;
            Ok(None)
        }
        None => Ok(None),
    }
}

fn parse(line: &[u8]) -> Option<(u64, bool, Vec<u8>)> {
    let at_ns = instant::parse(line.get(..instant::WIDTH)?)?;
    let (flag, text) = line.get(instant::WIDTH..)?.split_first()?;
    Some((at_ns, *flag == b'+', text.to_vec()))
}

fn first_time(path: &Path) -> io::Result<Option<u64>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = [0; instant::WIDTH];
    match file.read_exact(&mut text) {
        Ok(()) => Ok(instant::parse(&text)),
        Err(_) => Ok(None),
    }
}

/// Shows each whole line of a file, the last first, until told to stop: its time, whether it is a
/// piece that goes on in the next, and its place. Says whether it was not.
fn backwards(path: &Path, mut show: impl FnMut(u64, bool, u64) -> bool) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        file => file?,
    };
    let size = file.metadata()?.len();
    let width = instant::WIDTH as u64 + 1;
    let mut end = size;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        file.by_ref()
            .take(end - start + width)
            .read_to_end(&mut block)?;
        let within = usize::try_from(end - start).unwrap_or(block.len());
        let newlines = block[..within.min(block.len())]
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at + 1);
        let first = (start == 0).then_some(0);
        for at in newlines.chain(first) {
            let Some((flag, text)) = block
                .get(at..at + instant::WIDTH + 1)
                .and_then(<[u8]>::split_last)
            else {
                continue;
            };
            if let Some(at_ns) = instant::parse(text)
                && !show(at_ns, *flag == b'+', start + at as u64)
            {
                return Ok(false);
            }
        }
        end = start;
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
