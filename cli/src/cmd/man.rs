//! `paasta man`: the man pages, made from the command line itself, so that they cannot differ.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory as _;
use paasta_process::help::{self, examples};

use super::Context;
use crate::{args, exit::Exit};

/// Write the man pages
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&[
    "paasta man /usr/local/share/man/man1", "paasta man ./man",
], "\
One page for paasta and one for each command, paasta-status(1) and so on."))]
pub struct Args {
    /// The directory, made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes a page for every command.
///
/// # Errors
/// A page cannot be written.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let directory = &args.directory;
    help::man(args::Args::command(), directory)
        .with_context(|| format!("cannot write the man pages to {}", directory.display()))?;
    context.print(&format!("the man pages are in {}\n", directory.display()))?;
    Ok(Exit::Ok)
}
