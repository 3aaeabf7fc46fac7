//! `paasta cleanup`: removes what is no longer declared or deployed. The coordinators do so by
//! themselves, unless it is more than half of everything.

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
  1  refused: more than half of the instances would go, or the soa directory
     cannot be read
  3  no coordinator could be reached, or none that could answer";

/// Remove the instances that are no longer declared or deployed
///
/// The coordinators do that by themselves, through the drain path, unless more than half of all
/// instances would go: then somebody has to say that it is meant.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta cleanup --dry-run", "paasta cleanup --force"], EXITS))]
pub struct Args {
    /// Also when more than half of the instances would go
    #[arg(short, long)]
    pub force: bool,
    /// Show what would be removed, change nothing
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
    Ok(operate::verdict(&answer.outcome))
}
