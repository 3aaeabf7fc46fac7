//! `paasta maintenance undrain`: lets hosts take work again.

use paasta_process::help::examples;
use paasta_proto::v1::{UndrainHostRequest, operate_client::OperateClient};

use super::EXITS;
use crate::{
    cmd::{Context, operate},
    exit::Exit,
};

/// Let hosts take work again
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta maintenance undrain host1.example.com", "paasta maintenance undrain host1.example.com host2.example.com"], EXITS))]
pub struct Args {
    /// The hosts
    #[arg(value_name = "HOST", required = true)]
    pub hosts: Vec<String>,
}

/// Ends the drains.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let make = |asker, host: &str| UndrainHostRequest {
        asker: Some(asker),
        host: host.to_owned(),
    };
    let send = |mut client: OperateClient<_>, ask| async move { client.undrain_host(ask).await };
    operate::each_host(context, &args.hosts, make, send).await
}
