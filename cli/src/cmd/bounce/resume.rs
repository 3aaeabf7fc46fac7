//! `paasta bounce resume`: what was held or rolled back goes on.

use paasta_process::help::examples;
use paasta_proto::v1::{ResumeBounceRequest, bounces_client::BouncesClient};

use super::{EXITS, Meant};
use crate::{
    cmd::{Context, operate},
    exit::Exit,
};

/// Let a bounce go on that is held or overdue, or go forward again after a rollback
///
/// A held bounce gets a new deadline. An instance that was rolled back, by itself or by hand, goes to
/// the configured version once more.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta bounce resume hello.main", "paasta bounce resume hello.main --reason 'the database is back'"], EXITS))]
pub struct Args {
    /// Which, and why.
    #[command(flatten)]
    pub meant: Meant,
}

/// Asks for each instance.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let make = |asker, instance: &str| ResumeBounceRequest {
        asker: Some(asker),
        instance: instance.to_owned(),
        reason: args.meant.reason.clone(),
    };
    let send = |channel, ask| async move { BouncesClient::new(channel).resume_bounce(ask).await };
    operate::each(context, ("instance", &args.meant.names()), make, send).await
}
