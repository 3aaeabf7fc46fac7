//! `paasta check-replication`: whether instances have enough replicas.

use paasta_common::id::InstanceId;
use paasta_process::help::examples;
use paasta_proto::v1::{
    CheckReplicationRequest, ReplicationLevel, ReplicationStatus, operate_client::OperateClient,
};

use super::Context;
use crate::{
    client::{ANSWER_BYTES_MAX, request},
    exit::Exit,
    render,
};

const EXITS: &str = "\
Exit codes:
  0  every instance that was checked has enough replicas
  1  an instance that was named is not known or not deployed
  2  an instance has fewer replicas than its replication_threshold allows, in
     all or in one of the locations where its clients look for it
  3  no coordinator could be reached";

/// Say whether instances have enough replicas, in all and in each location
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta check-replication",
        "paasta check-replication hello.main hello.worker --all",
    ],
    EXITS,
))]
pub struct Args {
    /// The instances; all that are deployed when none is named
    #[arg(value_name = "SERVICE.INSTANCE")]
    pub instances: Vec<InstanceId>,
    /// Show also those that have enough
    #[arg(short, long)]
    pub all: bool,
}

/// Prints the instances that lack replicas, or all that were checked.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let ask = CheckReplicationRequest {
        instances: args.instances.iter().map(ToString::to_string).collect(),
    };
    let answer = coordinators.call(|channel| {
        let mut client = OperateClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(ask.clone(), timeout);
        async move { client.check_replication(ask).await }
    });
    let mut answer = answer.await?;
    let exit = verdict(&answer.instances);
    let checked = answer.instances.len();
    if !args.all && args.instances.is_empty() {
        answer
            .instances
            .retain(|one| one.status() != ReplicationLevel::Ok);
    }
    match context.global.json {
        true => context.print_json(&answer)?,
        false => context.print(&render::replication::render(
            &answer,
            checked,
            &context.view,
        ))?,
    }
    Ok(exit)
}

fn verdict(instances: &[ReplicationStatus]) -> Exit {
    let exits = instances.iter().map(|one| match one.status() {
        ReplicationLevel::Critical => Exit::Unwell,
        ReplicationLevel::NotDeployed => Exit::Failed,
        ReplicationLevel::Ok | ReplicationLevel::Unknown | ReplicationLevel::Unspecified => {
            Exit::Ok
        }
    });
    exits.max().unwrap_or(Exit::Ok)
}
