//! `paasta cluster`: making a cluster, asking its coordinators.

use paasta_process::help::examples;

use super::Context;
use crate::exit::Exit;

pub mod init;
pub mod node;

/// The verbs about the cluster itself.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a cluster of the given coordinators; doing it twice changes nothing
    Init(init::Args),
    /// Ask each coordinator what it is
    #[command(after_help = examples(&["paasta cluster node", "paasta cluster node --coordinators 10.0.0.1:7401,10.0.0.2:7401"], ""))]
    Node,
}

/// Runs a verb.
///
/// # Errors
/// What kept it from being done.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Init(args) => init::run(&args, context).await,
        Command::Node => node::run(context).await,
    }
}
