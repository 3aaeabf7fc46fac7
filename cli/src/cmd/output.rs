//! Where a verb's text goes: to the terminal, or kept until the clusters before it have been shown.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::terminal;

/// The most that is kept of one cluster, in bytes.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// What is said when standard output cannot be written to.
const GONE: &str = "cannot write to standard output";

/// Where text, JSON and notes go.
#[derive(Debug, Clone, Default)]
pub enum Output {
    /// To standard output and standard error.
    #[default]
    Standard,
    /// The same, notes with the name of the cluster in front.
    Named(String),
    /// Text to standard output, JSON is kept: it is a part of a whole.
    JsonKept(Arc<Mutex<Kept>>),
    /// Kept.
    Kept(Arc<Mutex<Kept>>),
}

/// What one cluster's verb printed.
#[derive(Debug, Default)]
pub struct Kept {
    /// Its text.
    pub text: String,
    /// Its lines of a moment each, in nanoseconds since the Unix epoch.
    pub lines: Vec<(u64, String)>,
    /// Bytes of text and lines, with what a line takes beside its text.
    bytes: usize,
    /// Its JSON.
    pub json: Option<serde_json::Value>,
    /// Its notes, in their order.
    pub notes: Vec<String>,
}

impl Kept {
    fn take_room(&mut self, bytes: usize) -> anyhow::Result<()> {
        if self.bytes + bytes > KEPT_BYTES_MAX {
            bail!(
                "more than {} MiB to show beside other clusters: choose one by -c",
                KEPT_BYTES_MAX >> 20
            );
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Output {
    /// Prints text. False when no process reads it any more.
    ///
    /// # Errors
    /// It cannot be written, or too much would be kept.
    pub fn print(&self, text: &str) -> anyhow::Result<bool> {
        let Self::Kept(kept) = self else {
            return terminal::print_on(text).context(GONE);
        };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take_room(text.len())?;
        kept.text.push_str(text);
        Ok(true)
    }

    /// Whether it is kept, to be shown beside that of other clusters.
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    /// Prints a line of a moment: where lines are kept, those of all clusters are shown in the order
    /// of time. False when no process reads them any more.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub fn write_at(&self, at_ns: u64, line: &[u8]) -> anyhow::Result<bool> {
        let Self::Kept(kept) = self else {
            return self.write(line);
        };
        if line.is_empty() {
            return Ok(true);
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take_room(line.len() + size_of::<(u64, String)>())?;
        let line = String::from_utf8_lossy(line).into_owned();
        kept.lines.push((at_ns, line));
        Ok(true)
    }

    /// Prints bytes, which may be no text. False when no process reads them any more.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub fn write(&self, bytes: &[u8]) -> anyhow::Result<bool> {
        match self {
            Self::Standard | Self::Named(_) | Self::JsonKept(_) => {
                terminal::write(bytes).context(GONE)
            }
            Self::Kept(_) => self.print(&String::from_utf8_lossy(bytes)),
        }
    }

    /// Prints a value as JSON.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn print_json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let made = "cannot write the answer as JSON";
        match self {
            Self::Standard | Self::Named(_) => {
                let text = serde_json::to_string_pretty(value).context(made)?;
                self.print(&format!("{text}\n")).map(drop)
            }
            Self::Kept(kept) | Self::JsonKept(kept) => {
                let value = serde_json::to_value(value).context(made)?;
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.json = Some(value);
                Ok(())
            }
        }
    }

    /// Prints a line to standard error.
    pub fn note(&self, text: &str) {
        match self {
            Self::Standard | Self::JsonKept(_) => terminal::note(text),
            Self::Named(cluster) => terminal::note(&format!("{cluster}: {text}")),
            Self::Kept(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.notes.push(text.to_owned());
            }
        }
    }

    /// What was kept so far; nothing of what went to the terminal.
    pub fn take(&self) -> Kept {
        match self {
            Self::Standard | Self::Named(_) => Kept::default(),
            Self::Kept(kept) | Self::JsonKept(kept) => {
                std::mem::take(&mut kept.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }
}
