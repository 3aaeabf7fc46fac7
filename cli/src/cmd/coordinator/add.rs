//! `paasta coordinator add`: a new coordinator, without a vote at first.

use paasta_process::help::examples;
use paasta_proto::v1::{AddMemberRequest, members_client::MembersClient};

use super::{Wait, change};
use crate::{
    client::request,
    cmd::{Context, cluster::init::Member},
    exit::Exit,
};

/// Add a coordinator that receives the log without a vote, and wait until it has caught up
///
/// It must run already, with an empty data directory and an id that was never used in this
/// cluster. Give it a vote with `paasta coordinator promote`.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta coordinator add 4=10.0.0.4:7401", "paasta coordinator add 5=[fd00::5]:7401"], ""))]
pub struct Args {
    /// Its id and the address at which the others reach it
    #[arg(value_name = "ID=HOST:PORT")]
    pub member: Member,
    /// How long it may take.
    #[command(flatten)]
    pub wait: Wait,
}

/// Adds it and prints the members.
///
/// # Errors
/// No coordinator could do it, or it was refused.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let wait = args.wait;
    change(context, wait, |channel| {
        let ask = AddMemberRequest {
            id: args.member.id(),
            address: args.member.address().to_string(),
            wait_ms: wait.ms(),
        };
        let ask = request(ask, wait.wait + super::SLACK);
        async move { MembersClient::new(channel).add(ask).await }
    })
    .await
}
