//! What happened, as lines: all of them go into a fingerprint, by which two runs of one seed are
//! compared, and the last ones are kept to be shown when something is wrong.

use std::{
    collections::VecDeque,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
};

/// How many of the last lines are kept.
const KEPT: usize = 400;

/// The trace of one simulation.
#[derive(Default)]
pub(crate) struct Trace {
    hasher: DefaultHasher,
    lines: u64,
    last: VecDeque<String>,
    aloud: bool,
}

impl Trace {
    /// A trace that is also written to standard error as it comes, if `aloud`.
    pub(crate) fn new(aloud: bool) -> Self {
        Self {
            aloud,
            ..Self::default()
        }
    }

    /// Notes what happened to `whom`, so many milliseconds after the beginning.
    pub(crate) fn note(&mut self, elapsed_ms: u64, whom: &str, what: fmt::Arguments<'_>) {
        let line = format!(
            "{:>7}.{:03} {whom}: {what}",
            elapsed_ms / 1_000,
            elapsed_ms % 1_000
        );
        line.hash(&mut self.hasher);
        self.lines += 1;
        if self.aloud {
            tracing::info!(target: "sim", "{line}");
        }
        if self.last.len() >= KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The same for all runs in which the same happened.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.hasher.finish()
    }

    /// How many lines there were.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// The last of them.
    pub(crate) fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }
}
