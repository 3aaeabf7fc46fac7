//! `paasta token`: join tokens for coordinators and agents.

pub mod create;
pub mod list;
pub mod revoke;

use super::Context;
use crate::exit::Exit;

/// The verbs about join tokens.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a join token; its secret is printed once
    Create(create::Args),
    /// List the join tokens, without their secrets
    #[command(after_help = paasta_process::help::examples(&["paasta token list", "paasta token list --json"], ""))]
    List,
    /// Revoke a join token; what joined by it stays
    Revoke(revoke::Args),
}

/// Runs a verb.
///
/// # Errors
/// What kept it from being done.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Create(args) => create::run(&args, context).await,
        Command::List => list::run(context).await,
        Command::Revoke(args) => revoke::run(&args, context).await,
    }
}
