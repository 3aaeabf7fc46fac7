//! What each fault cost: a table for people, JSON under `target/` for machines.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Result;
use serde::Serialize;

use super::clients::Span;
use crate::tidy::root;

/// One fault.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was done.
    pub fault: &'static str,
    /// Terms that began while it lasted and until all was well again.
    pub elections: u64,
    /// The longest time without an acknowledged write, milliseconds.
    pub longest_gap_ms: u128,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Reads that were answered.
    pub reads: u64,
    /// Reads that were refused or not answered in time.
    pub reads_refused: u64,
    /// The fewest replicas that served.
    pub fewest_serving: Option<usize>,
    /// How long it took, with the time until all was well again, milliseconds.
    pub took_ms: u128,
}

impl Row {
    /// A row of what the clients saw.
    pub fn new(
        fault: &'static str,
        elections: u64,
        span: Span,
        fewest_serving: Option<usize>,
        took: Duration,
    ) -> Self {
        Self {
            fault,
            elections,
            longest_gap_ms: span.longest_gap.as_millis(),
            acknowledged: span.acknowledged,
            reads: span.reads,
            reads_refused: span.refused,
            fewest_serving,
            took_ms: took.as_millis(),
        }
    }
}

/// The table.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<36} {:>9} {:>8} {:>7} {:>6} {:>8} {:>7} {:>8}\n",
        "fault", "elections", "gap ms", "writes", "reads", "refused", "fewest", "took ms"
    );
    for row in rows {
        let fewest = row.fewest_serving.map_or("-".to_owned(), |n| n.to_string());
        text.push_str(&format!(
            "{:<36} {:>9} {:>8} {:>7} {:>6} {:>8} {:>7} {:>8}\n",
            row.fault,
            row.elections,
            row.longest_gap_ms,
            row.acknowledged,
            row.reads,
            row.reads_refused,
            fewest,
            row.took_ms
        ));
    }
    text
}

/// Writes `target/hostile.json`; returns where that is.
pub fn save(rows: &[Row]) -> Result<PathBuf> {
    let path = root().join("target/hostile.json");
    fs::create_dir_all(root().join("target"))?;
    fs::write(&path, serde_json::to_string_pretty(rows)? + "\n")?;
    Ok(path)
}
