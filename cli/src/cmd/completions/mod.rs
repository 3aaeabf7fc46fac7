//! `paasta completions`: what a shell needs to complete this command line. The script knows verbs
//! and options; names it gets from `paasta completions -- WORDS...`, which asks the cluster.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};
use paasta_process::help::examples;

use super::Context;
use crate::{args, exit::Exit};

mod kind;
mod known;

const NAMES: &str = "\
Names of services, instances, hosts, clusters and deploy groups come from the cluster, within
300 ms, else from the yelpsoa-configs directory; those of contexts from your own files.";

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta completions bash > /etc/bash_completion.d/paasta", "paasta completions fish > ~/.config/fish/completions/paasta.fish"], NAMES))]
pub struct Args {
    /// The shell
    #[arg(required_unless_present = "words")]
    pub shell: Option<Known>,
    /// A command line up to the word that is completed: print the names that fit
    #[arg(last = true, hide = true)]
    pub words: Vec<String>,
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

impl Known {
    /// What asks for names before the script completes options; it comes after the script.
    fn names(self) -> &'static str {
        match self {
            Self::Bash => include_str!("names.bash"),
            Self::Zsh => include_str!("names.zsh"),
            Self::Fish => include_str!("names.fish"),
        }
    }
}

/// Prints the script, or the names that fit.
///
/// # Errors
/// Standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let Some(known) = args.shell else {
        return names(&args.words, context).await;
    };
    let shell = match known {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut args::Args::command(), "paasta", &mut script);
    context.print(&String::from_utf8_lossy(&script))?;
    context.print(known.names())?;
    Ok(Exit::Ok)
}

/// Prints a name a line; nothing where no name is expected, or none is known.
async fn names(words: &[String], context: &Context) -> anyhow::Result<Exit> {
    let Some(wanted) = kind::wanted(&args::Args::command(), words) else {
        return Ok(Exit::Ok);
    };
    let names = known::names(&wanted, context).await;
    let fitting = names.iter().filter(|name| name.starts_with(&wanted.begun));
    // What stands before a comma stays.
    let lines: String = fitting
        .map(|name| format!("{}{name}\n", wanted.before))
        .collect();
    context.print(&lines)?;
    Ok(Exit::Ok)
}
