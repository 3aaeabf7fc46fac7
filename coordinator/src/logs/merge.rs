//! Lines of several sources, each in the order of time, to one such sequence. Values only: who
//! reads from where is not known here.

use std::collections::VecDeque;

use paasta_proto::v1::LogLine;

/// Bytes that the last lines may take, at most.
const LAST_BYTES_MAX: usize = 32 << 20;
/// What a line takes beside its text, about.
const LINE_OVERHEAD: usize = 200;

/// The merge. Sources are numbered from 0.
#[derive(Debug, Default)]
pub struct Merge {
    sources: Vec<Source>,
}

#[derive(Debug, Default)]
struct Source {
    lines: VecDeque<LogLine>,
    ended: bool,
}

impl Merge {
    /// Adds a source; returns its number.
    pub fn add(&mut self) -> usize {
        self.sources.push(Source::default());
        self.sources.len() - 1
    }

    /// Lines of a source, later than those before.
    pub fn push(&mut self, at: usize, lines: impl IntoIterator<Item = LogLine>) {
        if let Some(source) = self.sources.get_mut(at) {
            source.lines.extend(lines);
        }
    }

    /// No more lines of this source will come.
    pub fn end(&mut self, at: usize) {
        if let Some(source) = self.sources.get_mut(at) {
            source.ended = true;
        }
    }

    /// Whether lines of this source are needed before the next can be told.
    pub fn needs(&self, at: usize) -> bool {
        let source = self.sources.get(at);
        source.is_some_and(|source| source.lines.is_empty() && !source.ended)
    }

    /// The next line, once it is known that no source has an earlier one.
    pub fn earliest(&mut self) -> Option<LogLine> {
        if self
            .sources
            .iter()
            .any(|source| source.lines.is_empty() && !source.ended)
        {
            return None;
        }
        let heads = self.sources.iter().enumerate();
        let (_, first) = heads
            .filter_map(|(at, source)| Some((source.lines.front()?.at_ns, at)))
            .min()?;
        self.sources[first].lines.pop_front()
    }

    /// Whether every source has ended and been read.
    pub fn is_done(&self) -> bool {
        let mut sources = self.sources.iter();
        sources.all(|source| source.lines.is_empty() && source.ended)
    }
}

/// The last so many lines of a sequence.
#[derive(Debug)]
pub struct Last {
    lines: VecDeque<LogLine>,
    count: usize,
    /// The lines among them whose end is there: a line may come in pieces.
    whole: usize,
    bytes: usize,
    too_large: bool,
}

impl Last {
    /// The last `count` lines.
    pub fn new(count: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            count,
            whole: 0,
            bytes: 0,
            too_large: false,
        }
    }

    /// The next line of the sequence.
    pub fn push(&mut self, line: LogLine) {
        self.bytes += cost(&line);
        self.whole += usize::from(!line.partial);
        self.lines.push_back(line);
        while self.bytes > LAST_BYTES_MAX {
            self.too_large = true;
            if !self.drop_first() {
                break;
            }
        }
        while self.whole > self.count && self.drop_first() {}
    }

    /// Drops the first line, or the first piece of one.
    fn drop_first(&mut self) -> bool {
        let Some(gone) = self.lines.pop_front() else {
            return false;
        };
        self.bytes -= cost(&gone);
        self.whole -= usize::from(!gone.partial);
        true
    }

    /// Whether there are fewer because of their size.
    pub fn is_cut(&self) -> bool {
        self.too_large
    }

    /// The lines, the oldest first.
    pub fn into_lines(self) -> impl Iterator<Item = LogLine> {
        self.lines.into_iter()
    }
}

fn cost(line: &LogLine) -> usize {
    LINE_OVERHEAD + line.message.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(at_ns: u64, bytes: usize) -> LogLine {
        LogLine {
            at_ns,
            message: vec![b'x'; bytes],
            ..LogLine::default()
        }
    }

    fn times(lines: impl IntoIterator<Item = LogLine>) -> Vec<u64> {
        lines.into_iter().map(|line| line.at_ns).collect()
    }

    #[test]
    fn nothing_is_told_before_every_source_has_spoken_or_ended() {
        let mut merge = Merge::default();
        let (a, b) = (merge.add(), merge.add());
        merge.push(a, [line(2, 0), line(5, 0)]);
        assert!(merge.earliest().is_none() && merge.needs(b) && !merge.needs(a));
        merge.push(b, [line(1, 0)]);
        assert_eq!(merge.earliest().map(|line| line.at_ns), Some(1));
        assert!(merge.earliest().is_none(), "b may have one before 2");
        merge.end(b);
        assert_eq!(times(std::iter::from_fn(|| merge.earliest())), [2, 5]);
        assert!(!merge.is_done(), "a may have more");
        merge.end(a);
        assert!(merge.earliest().is_none() && merge.is_done());
    }

    #[test]
    fn a_line_in_pieces_counts_as_one() {
        let piece = |at_ns| LogLine {
            partial: true,
            ..line(at_ns, 1)
        };
        let mut last = Last::new(2);
        let all = [
            line(1, 1),
            piece(2),
            piece(2),
            line(2, 1),
            piece(3),
            line(3, 1),
        ];
        all.into_iter().for_each(|line| last.push(line));
        assert_eq!(times(last.into_lines()), [2, 2, 2, 3, 3]);
    }

    #[test]
    fn the_last_lines_are_bounded_by_count_and_by_bytes() {
        let mut last = Last::new(2);
        (1..=5).for_each(|at| last.push(line(at, 0)));
        assert!(!last.is_cut());
        assert_eq!(times(last.into_lines()), [4, 5]);
        let mut last = Last::new(100);
        (1..=5).for_each(|at| last.push(line(at, LAST_BYTES_MAX / 3)));
        assert!(last.is_cut());
        assert_eq!(times(last.into_lines()), [4, 5]);
        let mut none = Last::new(0);
        none.push(line(1, 0));
        assert_eq!(times(none.into_lines()), Vec::<u64>::new());
    }

    proptest! {
        #[test]
        fn sorted_sources_give_one_sorted_sequence_in_whatever_pieces_they_come(
            mut sources in prop::collection::vec(prop::collection::vec(0u64..1_000, 0..40), 0..6),
            piece in 1usize..7,
        ) {
            let mut merge = Merge::default();
            let mut all: Vec<u64> = sources.iter().flatten().copied().collect();
            all.sort_unstable();
            sources.iter_mut().for_each(|source| source.sort_unstable());
            let numbers: Vec<usize> = sources.iter().map(|_| merge.add()).collect();
            let mut told = Vec::new();
            while !merge.is_done() {
                for at in &numbers {
                    if merge.needs(*at) {
                        let end = piece.min(sources[*at].len());
                        let next: Vec<u64> = sources[*at].drain(..end).collect();
                        match next.is_empty() {
                            true => merge.end(*at),
                            false => merge.push(*at, next.into_iter().map(|at| line(at, 0))),
                        }
                    }
                }
                told.extend(times(std::iter::from_fn(|| merge.earliest())));
            }
            prop_assert_eq!(told, all);
        }
    }
}
