//! `paasta maintenance`: emptying hosts before they are taken away.

use super::Context;
use crate::exit::Exit;

pub mod drain;
pub mod remove;
pub mod status;
pub mod undrain;

/// The exit codes of these verbs.
const EXITS: &str = "\
Exit codes:
  0  done; or, of status and of drain --wait: every host is safe to stop
  1  refused, not known, or not safe to stop
  3  no coordinator could be reached";

/// The verbs about hosts that are to be taken away.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Empty hosts: what runs there leaves as its replacements elsewhere are happy
    Drain(drain::Args),
    /// Let hosts take work again
    Undrain(undrain::Args),
    /// Show how far hosts are emptied, and whether they are safe to stop
    Status(status::Args),
    /// Forget hosts that are empty or lost
    Remove(remove::Args),
}

/// Runs a verb.
///
/// # Errors
/// What kept it from being done.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Drain(args) => drain::run(&args, context).await,
        Command::Undrain(args) => undrain::run(&args, context).await,
        Command::Status(args) => status::run(&args, context).await,
        Command::Remove(args) => remove::run(&args, context).await,
    }
}
