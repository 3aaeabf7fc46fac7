//! `paasta brake`: when too many hosts are silent at once, nothing is replaced until they speak or
//! an operator declares them lost.

use paasta_process::help::examples;
use paasta_proto::v1::{BrakeStatusRequest, BrakeStatusResponse, operate_client::OperateClient};

use super::Context;
use crate::{
    client::{ANSWER_BYTES_MAX, CallError, Coordinators, request},
    exit::Exit,
};

pub mod release;
pub mod status;

/// The verbs about the brake.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show whether the brake is on, and which hosts are silent
    #[command(after_help = examples(&["paasta brake status", "paasta brake status --json"], ""))]
    Status,
    /// Declare the silent hosts lost, so that what they ran is started elsewhere
    Release(release::Args),
}

/// Runs a verb.
///
/// # Errors
/// What kept it from being done.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Status => status::run(context).await,
        Command::Release(args) => release::run(&args, context).await,
    }
}

/// The silent hosts, and whether the brake is on.
async fn ask(coordinators: &mut Coordinators) -> Result<BrakeStatusResponse, CallError> {
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let mut client = OperateClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(BrakeStatusRequest {}, timeout);
        async move { client.brake_status(ask).await }
    });
    answer.await
}
