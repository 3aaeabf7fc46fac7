//! `paasta snapshot inspect`: whether a file is whole, and what is in it.

use std::path::PathBuf;

use paasta_process::{help::examples, saved::Saved};

use crate::{cmd::Context, exit::Exit};

/// Check a saved state and say what is in it; no cluster needed
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta snapshot inspect /var/backups/paasta.snapshot", "paasta snapshot inspect /var/backups/paasta.snapshot --json"], ""))]
pub struct Args {
    /// The file that `paasta snapshot save` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Reads all of the file, compares its checksums and prints its head.
///
/// # Errors
/// The file cannot be read, or is not whole.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let saved = Saved::open(&args.file)?;
    super::show(&saved, context)?;
    Ok(Exit::Ok)
}
