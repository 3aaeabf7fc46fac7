//! `paasta snapshot`: copies of the cluster's state, to be kept elsewhere. A new cluster is made of
//! one by `paasta-coordinator restore`.

use paasta_process::saved::Saved;
use serde::Serialize;

use super::Context;
use crate::exit::Exit;

pub mod inspect;
pub mod save;

/// The verbs about saved states.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Save the cluster's state to a file
    Save(save::Args),
    /// Check a saved state and say what is in it; no cluster needed
    Inspect(inspect::Args),
}

/// Runs a verb.
///
/// # Errors
/// What kept it from being done.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Save(args) => save::run(&args, context).await,
        Command::Inspect(args) => inspect::run(&args, context),
    }
}

/// A saved state, for `--json`.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    head: &'a paasta_process::saved::Head,
    state_bytes: u64,
    crc32: String,
}

fn show(saved: &Saved, context: &Context) -> anyhow::Result<()> {
    match context.global.json {
        true => context.print_json(&Shown {
            head: saved.head(),
            state_bytes: saved.body_bytes(),
            crc32: format!("{:08x}", saved.checksum()),
        }),
        false => context.print(&crate::render::saved::render(saved, &context.view)),
    }
}
