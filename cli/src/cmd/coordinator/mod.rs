//! `paasta coordinator`: the coordinators themselves, and changes of who they are.

use std::time::Duration;

use paasta_proto::v1::{
    ChangeMembersResponse, ListMembersRequest, ListMembersResponse, members_client::MembersClient,
};
use tonic::{Response, Status, transport::Channel};

use super::Context;
use crate::{
    client::{Address, CallError, Coordinators, request},
    exit::Exit,
    render,
};

pub mod add;
pub mod list;
pub mod promote;
pub mod remove;
pub mod transfer_leader;

/// What the answer may take beyond the change that was waited for.
const SLACK: Duration = Duration::from_secs(5);

/// The verbs about the coordinators.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show the coordinators: role, log, lag, last answer
    List(list::Args),
    /// Add a coordinator that receives the log without a vote, and wait until it has caught up
    Add(add::Args),
    /// Give a coordinator that has caught up a vote
    Promote(promote::Args),
    /// Remove a coordinator for ever, dead or alive
    Remove(remove::Args),
    /// Hand leadership to another coordinator
    TransferLeader(transfer_leader::Args),
}

/// How long a change may take.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Wait {
    /// How long the change may take, as 60s or 5m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = crate::args::timeout)]
    pub wait: Duration,
}

/// Runs a verb.
///
/// # Errors
/// What kept it from being done.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::List(args) => list::run(&args, context).await,
        Command::Add(args) => add::run(&args, context).await,
        Command::Promote(args) => promote::run(&args, context).await,
        Command::Remove(args) => remove::run(&args, context).await,
        Command::TransferLeader(args) => transfer_leader::run(&args, context).await,
    }
}

impl Wait {
    /// For the request.
    pub(super) fn ms(self) -> u64 {
        u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Makes a change through one coordinator that knows a leader, and prints what came of it.
async fn change<F>(
    context: &Context,
    wait: Wait,
    call: impl FnMut(Channel) -> F,
) -> anyhow::Result<Exit>
where
    F: Future<Output = Result<Response<ChangeMembersResponse>, Status>>,
{
    let (address, _) = ask(context).await?;
    let mut one = context.reaching(vec![address], wait.wait + SLACK)?;
    let answer = one.call(call).await?;
    if context.global.json {
        context.print_json(&answer)?;
        return Ok(Exit::Ok);
    }
    context.print(&format!("{}\n", answer.text))?;
    let members = answer.members.unwrap_or_default();
    context.print(&render::coordinators::render(&members, &context.view))?;
    Ok(Exit::Ok)
}

/// The members, and the first coordinator that could tell: it reaches the leader.
async fn ask(context: &Context) -> anyhow::Result<(Address, ListMembersResponse)> {
    let timeout = context.global.timeout;
    let mut coordinators = context.reaching(context.addresses()?, timeout)?;
    let members = list(&mut coordinators, timeout, false).await?;
    let address = coordinators.answered().cloned();
    let address = address.ok_or_else(|| anyhow::anyhow!("no coordinator answered"))?;
    Ok((address, members))
}

async fn list(
    coordinators: &mut Coordinators,
    timeout: Duration,
    stale: bool,
) -> Result<ListMembersResponse, CallError> {
    let answer = coordinators.call(|channel| {
        let ask = request(ListMembersRequest { stale }, timeout);
        async move { MembersClient::new(channel).list(ask).await }
    });
    answer.await
}
