//! `paasta-agent`: runs what the coordinators assign to this host.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use paasta_agent::command::{
    CheckArgs, ExplainArgs, ImagesArgs, JoinArgs, ReapArgs, RunArgs, check, explain, images, join,
    reap, run,
};
use paasta_process::{
    chain::chain,
    help, private,
    telemetry::{self, LogFormat},
};

/// The exit codes, for `--help`.
const EXIT_CODES: &str = "\
Exit codes:
  0  it ended by SIGTERM, or did what was asked
  1  an error";

/// The paasta agent: runs, checks and restarts the containers of one host.
#[derive(Parser)]
#[command(name = "paasta-agent", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
    /// How to log to standard error: text or json.
    #[arg(long, global = true, default_value_t)]
    log_format: LogFormat,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the agent until SIGTERM; its containers go on.
    Run(Box<RunArgs>),
    /// Check what the agent needs here: configuration, certificate, ports, Docker, coordinators.
    Check(Box<CheckArgs>),
    /// Get an identity of a cluster by a join token. The key is made here and stays here.
    Join(Box<JoinArgs>),
    /// Print the exact containers that an assignment leads to.
    Explain(Box<ExplainArgs>),
    /// Remove containers of this host that no replica accounts for, or only name them.
    Reap(Box<ReapArgs>),
    /// Judge the images of services here, and remove those that exceed the budget.
    Images(Box<ImagesArgs>),
    /// Write the man pages into a directory.
    #[command(hide = true)]
    Man {
        /// The directory, made if it is not there.
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    private::keep();
    let result = telemetry::init(cli.log_format)
        .map_err(anyhow::Error::from)
        .and_then(|()| obey(cli.command));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        // What is wrong is printed already.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // The last words, also where logging could not begin.
            let _ = writeln!(io::stderr(), "paasta-agent: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Does what the command says; whether all is well.
fn obey(command: Verb) -> anyhow::Result<bool> {
    let mut is_well = true;
    let said = match command {
        Verb::Run(args) => return run(*args).map(|()| true),
        Verb::Check(args) => {
            let (findings, can_run) = check(*args)?;
            is_well = can_run;
            findings
        }
        Verb::Join(args) => join(*args)?,
        Verb::Explain(args) => explain(*args)?,
        Verb::Reap(args) => reap(*args)?,
        Verb::Images(args) => images(*args)?,
        Verb::Man { directory } => {
            return help::man(Cli::command(), &directory)
                .with_context(|| format!("cannot write to {}", directory.display()))
                .map(|()| true);
        }
    };
    writeln!(io::stdout(), "{}", said.trim_end())?;
    Ok(is_well)
}

#[cfg(test)]
mod tests {
    use paasta_process::reference;

    use super::*;

    #[test]
    fn every_command_has_examples_that_it_takes() {
        assert_eq!(help::faults(&Cli::command()), Vec::<String>::new());
    }
    #[test]
    fn the_reference_has_the_command_line() {
        let command = Cli::command();
        let page = help::markdown(&command);
        let part = "paasta-agent";
        assert_eq!(reference::stale("paasta-agent.md", part, &page), None);
        let codes = help::exit_codes(&command);
        assert_eq!(reference::stale("exit-codes.md", part, &codes), None);
    }
}
