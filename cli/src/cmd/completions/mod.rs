//! `paasta completions`: what a shell needs to complete this command line.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};
use paasta_process::help::examples;

use crate::{args, exit::Exit, terminal};

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta completions bash > /etc/bash_completion.d/paasta", "paasta completions fish > ~/.config/fish/completions/paasta.fish"], ""))]
pub struct Args {
    /// The shell
    pub shell: Known,
}

/// The shells that are known.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Known {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Prints the script.
///
/// # Errors
/// Standard output is gone.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let shell = match args.shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut args::Args::command(), "paasta", &mut script);
    terminal::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
