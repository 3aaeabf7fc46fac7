//! `paasta maintenance remove`: forgets hosts for good.

use paasta_process::help::examples;
use paasta_proto::v1::{RemoveHostRequest, operate_client::OperateClient};

use super::EXITS;
use crate::{
    cmd::{Context, operate},
    exit::Exit,
};

/// Forget hosts that are empty or lost
///
/// Stop the agent there first: one that still runs registers its host again.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta maintenance remove host1.example.com", "paasta maintenance remove host1.example.com host2.example.com"], EXITS))]
pub struct Args {
    /// The hosts
    #[arg(value_name = "HOST", required = true)]
    pub hosts: Vec<String>,
}

/// Removes the hosts.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let make = |asker, host: &str| RemoveHostRequest {
        asker: Some(asker),
        host: host.to_owned(),
    };
    let send = |mut client: OperateClient<_>, ask| async move { client.remove_host(ask).await };
    operate::each_host(context, &args.hosts, make, send).await
}
