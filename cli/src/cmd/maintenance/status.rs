//! `paasta maintenance status`: how far hosts are emptied.

use paasta_process::help::examples;
use paasta_proto::v1::{
    MaintenanceStatusRequest, MaintenanceStatusResponse, operate_client::OperateClient,
};

use super::EXITS;
use crate::{
    client::{ANSWER_BYTES_MAX, CallError, Coordinators, request},
    cmd::Context,
    exit::Exit,
    render,
};

/// Show how far hosts are emptied, and whether they are safe to stop
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta maintenance status",
        "paasta maintenance status host1.example.com",
    ],
    EXITS,
))]
pub struct Args {
    /// The hosts; all that are being drained when none is named
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,
}

/// Prints what is left on each host and what it waits for.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let answer = ask(&mut coordinators, &args.hosts).await?;
    match context.global.json {
        true => context.print_json(&answer)?,
        false => context.print(&render::maintenance::render(&answer, &context.view))?,
    }
    Ok(match answer.hosts.iter().all(|host| host.safe) {
        true => Exit::Ok,
        false => Exit::Failed,
    })
}

/// How far these hosts are emptied.
///
/// # Errors
/// No coordinator answered, or a host is not known.
pub(super) async fn ask(
    coordinators: &mut Coordinators,
    hosts: &[String],
) -> Result<MaintenanceStatusResponse, CallError> {
    let timeout = coordinators.timeout();
    let ask = MaintenanceStatusRequest {
        hosts: hosts.to_vec(),
    };
    let answer = coordinators.call(|channel| {
        let mut client = OperateClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(ask.clone(), timeout);
        async move { client.maintenance_status(ask).await }
    });
    answer.await
}
