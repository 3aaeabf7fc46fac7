//! `paasta bounce force`: every replica anew.

use paasta_process::help::examples;
use paasta_proto::v1::{ForceBounceRequest, bounces_client::BouncesClient};

use super::{EXITS, Meant};
use crate::{
    cmd::{Context, operate},
    exit::Exit,
};

/// Replace every replica by the bounce method, though nothing changed
///
/// The version that runs comes once more, under an app id of its own, as after `paasta restart`
/// but at once. The next version ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta bounce force hello.main --reason 'new secrets'", "paasta bounce force hello.main hello.worker --reason 'new base image'"], EXITS))]
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
    let make = |asker, instance: &str| ForceBounceRequest {
        asker: Some(asker),
        instance: instance.to_owned(),
        reason: args.meant.reason.clone(),
    };
    let send = |channel, ask| async move { BouncesClient::new(channel).force_bounce(ask).await };
    operate::each(context, ("instance", &args.meant.names()), make, send).await
}
