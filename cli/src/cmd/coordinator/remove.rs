//! `paasta coordinator remove`: a coordinator goes for ever, dead or alive.

use paasta_process::help::examples;
use paasta_proto::v1::{RemoveMemberRequest, members_client::MembersClient};

use super::{Wait, change};
use crate::{client::request, cmd::Context, exit::Exit};

/// Remove a coordinator for ever, dead or alive
///
/// Its id must never be used again. The leader cannot remove itself: hand leadership over first.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta coordinator remove 2"], ""))]
pub struct Args {
    /// Its id
    #[arg(value_name = "ID")]
    pub id: u64,
    /// Also when no majority of those left answers: they could not agree on anything then
    #[arg(long)]
    pub force: bool,
    /// How long it may take.
    #[command(flatten)]
    pub wait: Wait,
}

/// Removes it and prints the members.
///
/// # Errors
/// No coordinator could do it, or it was refused.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let wait = args.wait;
    change(context, wait, |channel| {
        let ask = RemoveMemberRequest {
            id: args.id,
            wait_ms: wait.ms(),
            force: args.force,
        };
        let ask = request(ask, wait.wait + super::SLACK);
        async move { MembersClient::new(channel).remove(ask).await }
    })
    .await
}
