//! `paasta emergency-stop`, `-start`, `-restart` and `-scale`: straight to the coordinators, when git
//! or yelpsoa-configs is too slow or away.

use paasta_common::id::{InstanceId, InstanceName, ServiceName};
use paasta_process::help::examples;
use paasta_proto::v1::OverrideAction;

use super::{Context, fleet, overrides::ask};
use crate::{exit::Exit, terminal::note};

/// How long what these verbs do lasts.
pub const UNTIL: &str = "It lasts until the next deploy, start, stop or restart, or a change of \
                         the instance's number or of what its containers are. `paasta status` \
                         shows it, with who and when.";

/// Which instance.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The service
    #[arg(short, long, value_name = "SERVICE")]
    pub service: ServiceName,
    /// The instance
    #[arg(short, long, value_name = "INSTANCE", default_value = "main")]
    pub instance: InstanceName,
    /// The cluster [default: that of the options or of the current context]
    #[arg(short, long, alias = "clusters", value_name = "CLUSTER")]
    pub cluster: Option<String>,
}

/// Which instance, and how many replicas.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta emergency-scale -s hello -i main -n 10",
        "paasta emergency-scale -s hello -i main --delta -2",
    ],
    UNTIL,
))]
#[command(group = clap::ArgGroup::new("number").required(true))]
pub struct ScaleArgs {
    /// Which instance
    #[command(flatten)]
    pub which: Args,
    /// How many replicas; at most ten times as many as are configured, or ten
    #[arg(short = 'n', long, value_name = "COUNT", group = "number")]
    pub count: Option<u32>,
    /// How many more (or fewer, when negative) than are wanted now
    #[arg(
        long,
        value_name = "COUNT",
        group = "number",
        allow_hyphen_values = true
    )]
    pub delta: Option<i32>,
}

impl Args {
    fn id(&self) -> InstanceId {
        InstanceId::new(self.service.clone(), self.instance.clone())
    }

    /// Asks the cluster that is meant.
    async fn ask(
        &self,
        action: OverrideAction,
        (count, delta): (Option<u32>, Option<i32>),
        context: &Context,
    ) -> anyhow::Result<Exit> {
        let context = fleet::one(context, self.cluster.as_deref()).await?;
        ask(&context, &self.id(), action, count, delta).await
    }
}

/// Stops all replicas.
///
/// # Errors
/// No coordinator answers, or the answer cannot be printed.
pub async fn stop(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let exit = args
        .ask(OverrideAction::Stop, (None, None), context)
        .await?;
    if exit == Exit::Ok {
        note("the next deploy or change of the configuration starts it again");
    }
    Ok(exit)
}

/// Starts as many replicas as are configured, also what git stopped.
///
/// # Errors
/// No coordinator answers, or the answer cannot be printed.
pub async fn start(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    args.ask(OverrideAction::Start, (None, None), context).await
}

/// Stops all replicas, then starts them.
///
/// # Errors
/// No coordinator answers, or the answer cannot be printed.
pub async fn restart(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    args.ask(OverrideAction::Restart, (None, None), context)
        .await
}

/// Runs another number of replicas.
///
/// # Errors
/// No coordinator answers, or the answer cannot be printed.
pub async fn scale(args: &ScaleArgs, context: &Context) -> anyhow::Result<Exit> {
    let number = (args.count, args.delta);
    args.which.ask(OverrideAction::Scale, number, context).await
}
