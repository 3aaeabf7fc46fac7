//! `paasta bounce rollback`: back to the version before.

use paasta_common::id::AppId;
use paasta_process::help::examples;
use paasta_proto::v1::{RollBackRequest, bounces_client::BouncesClient};

use super::{EXITS, Meant};
use crate::{
    cmd::{Context, operate},
    exit::Exit,
};

/// Go back to the version before, until the next one
///
/// Without --to, that is the last version of which every replica was happy. It is in force until
/// another version is deployed, or `paasta bounce resume`. Replicas of it that still run are kept.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta bounce rollback hello.main --reason 'answers slowly'",
        "paasta bounce rollback hello.main --to hello.main.git0a1b2c3d.config4e5f6a7b",
    ],
    EXITS,
))]
pub struct Args {
    /// Which, and why.
    #[command(flatten)]
    pub meant: Meant,
    /// The app to go back to, one that `paasta status` still shows
    #[arg(long, value_name = "APP")]
    pub to: Option<AppId>,
}

/// Asks for each instance.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let make = |asker, instance: &str| RollBackRequest {
        asker: Some(asker),
        instance: instance.to_owned(),
        reason: args.meant.reason.clone(),
        app: args
            .to
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    };
    let send = |channel, ask| async move { BouncesClient::new(channel).roll_back(ask).await };
    operate::each(context, ("instance", &args.meant.names()), make, send).await
}
