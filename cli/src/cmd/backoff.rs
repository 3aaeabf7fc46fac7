//! `paasta backoff`: what waits ever longer for its next try can be told to try now.

use paasta_common::id::InstanceId;
use paasta_process::help::examples;
use paasta_proto::v1::{ResetBackoffRequest, operate_client::OperateClient};

use super::{Context, asker, operate};
use crate::{client::request, exit::Exit, render};

/// The exit codes of these verbs.
const EXITS: &str = "\
Exit codes:
  0  done, or there was nothing to do
  1  refused, or not known
  3  no coordinator could be reached";

/// The verbs about replicas that failed and wait.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Forget the failures of an instance: what waits for its next try is started at once
    Reset(ResetArgs),
}

/// Forget the failures of an instance: what waits for its next try is started at once
///
/// For when the cause of the failures is mended. Replicas that run are not touched; those that fail
/// again begin with the shortest delay. A new version begins with none in any case.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta backoff reset hello.main",
        "paasta backoff reset hello.main --host host1.example.com",
    ],
    EXITS,
))]
pub struct ResetArgs {
    /// The instance
    #[arg(value_name = "SERVICE.INSTANCE")]
    pub instance: InstanceId,
    /// Only on this host [default: on all]
    #[arg(
        long,
        value_name = "HOST",
        default_value = "",
        hide_default_value = true
    )]
    pub host: String,
}

/// Runs a verb.
///
/// # Errors
/// No coordinator answered, it is not known, or standard output is gone.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<Exit> {
    let Command::Reset(args) = command;
    let ask = ResetBackoffRequest {
        asker: Some(asker::new()),
        instance: args.instance.to_string(),
        host: args.host,
    };
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { OperateClient::new(channel).reset_backoff(ask).await }
    });
    let answer = answer.await?;
    match context.global.json {
        true => context.print_json(&answer)?,
        false => context.print(&format!("{}\n", render::plain(&answer.text)))?,
    }
    Ok(operate::verdict(answer.outcome()))
}
