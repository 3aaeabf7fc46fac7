//! The verbs of `paasta-coordinator` that work on a data directory while no coordinator runs on it:
//! what they take and what they say. What they do is in `paasta_coordinator::offline`.

pub(crate) mod check;
pub(crate) mod init;
pub(crate) mod join;
pub(crate) mod place;
pub(crate) mod recover;
pub(crate) mod rejoin;
pub(crate) mod restore;

use std::io::{self, Write};

/// Prints lines to standard output. A reader that went away is no failure.
fn say(lines: &[String]) -> anyhow::Result<()> {
    let mut text = lines.join("\n");
    text.push('\n');
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// What must be done elsewhere after a cluster began again, as a list to follow.
fn next_steps(node: u64, address: &str, data_dir: &str) -> Vec<String> {
    vec![
        "Next:".to_owned(),
        format!(
            "  1. Start it: paasta-coordinator run --node-id {node} --advertise {address} --data-dir {data_dir}"
        ),
        "  2. Make sure that no coordinator of before runs any more; agents and members refuse them."
            .to_owned(),
        "  3. On each other machine: move its data directory aside (`paasta-coordinator rejoin`), start it"
            .to_owned(),
        "     with a new id, then `paasta coordinator add ID=HOST:PORT` and `paasta coordinator promote ID`."
            .to_owned(),
    ]
}
