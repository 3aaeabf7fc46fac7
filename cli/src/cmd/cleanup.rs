//! `paasta cleanup`: removes what is no longer declared or deployed. The coordinators do so by
//! themselves after a while, unless it is too much to be meant.

use paasta_process::help::examples;
use paasta_proto::v1::{CleanupRequest, operate_client::OperateClient};

use super::{Context, asker, operate};
use crate::{
    client::{ANSWER_BYTES_MAX, request},
    exit::Exit,
    render,
};

const EXITS: &str = "\
Exit codes:
  0  done, or nothing to do; of --dry-run: it would be done
  1  refused: so many instances would go that it is held back, or the soa
     directory cannot be read
  3  no coordinator could be reached";

/// Remove the instances that are no longer declared or deployed
///
/// The coordinators do that by themselves, through the drain path, when an instance has been absent
/// for `removal_patience_seconds`, unless more than half of all instances would go within an hour:
/// then somebody has to say that it is meant. What comes back within a day comes back with its
/// history, its overrides and an emergency stop.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta cleanup --dry-run", "paasta cleanup --force"], EXITS))]
pub struct Args {
    /// Also what is held back, and what may still come back
    #[arg(short, long)]
    pub force: bool,
    /// Show what is absent and when it is removed, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Removes, or shows what would be removed.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let ask = CleanupRequest {
        asker: Some(asker::new()),
        force: args.force,
        dry_run: args.dry_run,
    };
    let answer = coordinators.call(|channel| {
        let mut client = OperateClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(ask.clone(), timeout);
        async move { client.cleanup(ask).await }
    });
    let answer = answer.await?;
    match context.global.json {
        true => context.print_json(&answer)?,
        false => context.print(&render::cleanup::render(&answer, &context.view))?,
    }
    Ok(operate::verdict(answer.outcome()))
}
