//! `paasta auth revoked`: the identities whose certificates have no rights.

use paasta_process::help::examples;
use paasta_proto::v1::{ListRevokedRequest, revocations_client::RevocationsClient};

use super::EXITS;
use crate::{client::request, cmd::Context, exit::Exit, render};

/// List the identities that are revoked
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta auth revoked", "paasta auth revoked --json"], EXITS))]
pub struct Args {
    /// Answer without a leader; the answer may be old
    #[arg(long)]
    pub stale: bool,
}

/// Lists them.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let stale = args.stale;
    let answer = coordinators.call(|channel| {
        let ask = request(ListRevokedRequest { stale }, timeout);
        async move { RevocationsClient::new(channel).list(ask).await }
    });
    let answer = answer.await?;
    match context.global.json {
        true => context.print_json(&answer)?,
        false => context.print(&render::revoked::render(&answer, &context.view))?,
    }
    Ok(Exit::Ok)
}
