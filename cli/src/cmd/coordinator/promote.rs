//! `paasta coordinator promote`: a vote for a coordinator that has caught up.

use paasta_process::help::examples;
use paasta_proto::v1::{PromoteMemberRequest, members_client::MembersClient};

use super::{Wait, change};
use crate::{client::request, cmd::Context, exit::Exit};

/// Give a coordinator that has caught up a vote
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta coordinator promote 4", "paasta coordinator promote 4 --timeout 1m"], ""))]
pub struct Args {
    /// Its id
    #[arg(value_name = "ID")]
    pub id: u64,
    /// How long it may take.
    #[command(flatten)]
    pub wait: Wait,
}

/// Promotes it and prints the members.
///
/// # Errors
/// No coordinator could do it, or it was refused.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let wait = args.wait;
    change(context, wait, |channel| {
        let ask = PromoteMemberRequest {
            id: args.id,
            wait_ms: wait.ms(),
        };
        let ask = request(ask, wait.wait + super::SLACK);
        async move { MembersClient::new(channel).promote(ask).await }
    })
    .await
}
