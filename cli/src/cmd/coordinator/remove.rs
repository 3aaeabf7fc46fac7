//! `paasta coordinator remove`: a coordinator goes for ever, dead or alive.

use std::io::IsTerminal as _;

use anyhow::bail;
use paasta_process::help::examples;
use paasta_proto::v1::{RemoveMemberRequest, members_client::MembersClient};

use super::{Wait, change, list};
use crate::{
    client::request,
    cmd::{Context, confirm::confirm},
    exit::Exit,
    terminal::note,
};

/// Remove a coordinator for ever, dead or alive
///
/// One that still answers is removed only after a question, or with --yes where nobody can be asked.
/// Its id must never be used again. The leader cannot remove itself: hand leadership over first.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta coordinator remove 2", "paasta coordinator remove 2 --yes"], ""))]
pub struct Args {
    /// Its id
    #[arg(value_name = "ID")]
    pub id: u64,
    /// Also when no majority of those left answers: they could not agree on anything then
    #[arg(long)]
    pub force: bool,
    /// Do not ask, when it is alive
    #[arg(short, long)]
    pub yes: bool,
    /// How long it may take.
    #[command(flatten)]
    pub wait: Wait,
}

/// Whether a coordinator that is alive is meant to go: asked on a terminal, refused elsewhere.
async fn meant(id: u64, context: &Context) -> anyhow::Result<bool> {
    let (_, members) = super::ask(context).await?;
    let mut all = members.members.iter();
    let Some(member) = all.find(|one| one.id == id && list::answers(&members, one)) else {
        // Dead, or no member at all, which the leader says.
        return Ok(true);
    };
    let (address, left) = (&member.address, members.tolerates);
    if !std::io::stdin().is_terminal() {
        bail!(
            "coordinator {id} at {address} is alive: stop it first, or give --yes to remove it all \
             the same"
        );
    }
    let question = format!(
        "Coordinator {id} at {address} is alive; {left} of the voters may fail now, before it goes. \
         Remove it for ever?"
    );
    Ok(confirm(&question)?)
}

/// Removes it and prints the members.
///
/// # Errors
/// No coordinator could do it, or it was refused.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let wait = args.wait;
    if !args.yes && !meant(args.id, context).await? {
        note("nothing was changed");
        return Ok(Exit::Failed);
    }
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
