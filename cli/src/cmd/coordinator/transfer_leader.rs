//! `paasta coordinator transfer-leader`: another coordinator leads, without an election's pause.

use paasta_process::help::examples;
use paasta_proto::v1::{TransferLeaderRequest, members_client::MembersClient};

use super::{Wait, change};
use crate::{client::request, cmd::Context, exit::Exit};

/// Hand leadership to another coordinator
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta coordinator transfer-leader 3", "paasta coordinator transfer-leader   # to any other"], ""))]
pub struct Args {
    /// The id of one with a vote [default: the one that has most of the log]
    #[arg(value_name = "ID")]
    pub to: Option<u64>,
    /// How long it may take.
    #[command(flatten)]
    pub wait: Wait,
}

/// Hands leadership over and prints the members.
///
/// # Errors
/// No coordinator could do it, or it was refused.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let wait = args.wait;
    change(context, wait, |channel| {
        let ask = TransferLeaderRequest {
            to: args.to.unwrap_or(0),
            wait_ms: wait.ms(),
        };
        let ask = request(ask, wait.wait + super::SLACK);
        async move { MembersClient::new(channel).transfer_leader(ask).await }
    })
    .await
}
