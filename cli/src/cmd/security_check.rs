//! `paasta security-check`: the operator's own program that looks at a version before it is
//! deployed.

use std::time::Duration;

use anyhow::Context as _;
use paasta_process::help::examples;
use tokio::process::Command;

use super::{Context, step};
use crate::{args::timeout, exit::Exit};

/// Run the operator's security check on a commit
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&[
    "paasta security-check -s hello -c $(git rev-parse HEAD)", "paasta security-check -s hello -c $(git rev-parse HEAD) --step-timeout 30m",
], "\
Runs security_check_command of the system configuration with the service and the commit as its
last two arguments. The exit code is its own; 0 when none is configured; 2 when interrupted."))]
pub struct Args {
    #[command(flatten)]
    of: step::Of,
    /// The commit, in full
    #[arg(short, short_alias = 'k', long, value_name = "SHA", value_parser = step::commit)]
    commit: String,
    /// How long the check may take
    #[arg(long = "step-timeout", value_name = "TIME", default_value = step::LIMIT, value_parser = timeout)]
    limit: Duration,
}

/// Runs the check.
///
/// # Errors
/// It cannot be run.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let service = args.of.service()?;
    let Some(check) = context.system()?.security_check_command else {
        context.print("nothing to run: security_check_command is not configured\n")?;
        return Ok(Exit::Ok);
    };
    let mut words = check.split_whitespace();
    let program = words.next().context("security_check_command is empty")?;
    let mut command = Command::new(program);
    command.args(words).args([service.as_str(), &args.commit]);
    step::run(&mut command, args.limit).await
}
