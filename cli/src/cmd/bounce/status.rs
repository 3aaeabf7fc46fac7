//! `paasta bounce status`: the bounces that are under way, held or rolled back.

use paasta_common::id::InstanceId;
use paasta_process::help::examples;
use paasta_proto::v1::{
    BounceState, BounceStatusRequest, InstanceBounce, WaitingKind, bounces_client::BouncesClient,
};

use super::EXITS;
use crate::{
    client::{ANSWER_BYTES_MAX, request},
    cmd::Context,
    exit::Exit,
    render,
};

/// Show the bounces that are under way, held or rolled back
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta bounce status",
        "paasta bounce status hello.main",
    ],
    EXITS,
))]
pub struct Args {
    /// The instances; all of which there is something to say when none is named
    #[arg(value_name = "SERVICE.INSTANCE")]
    pub instances: Vec<InstanceId>,
}

/// Prints how far each is, its numbers, and what it waits for.
///
/// # Errors
/// No coordinator answered, an instance is not known, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let ask = BounceStatusRequest {
        instances: args.instances.iter().map(ToString::to_string).collect(),
    };
    let answer = coordinators.call(|channel| {
        let mut client = BouncesClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(ask.clone(), timeout);
        async move { client.bounce_status(ask).await }
    });
    let answer = answer.await?;
    match context.global.json {
        true => context.print_json(&answer)?,
        false => context.print(&render::bounces::render(&answer, &context.view))?,
    }
    Ok(match answer.instances.iter().any(needs_someone) {
        true => Exit::Unwell,
        false => Exit::Ok,
    })
}

/// Whether it will not end by itself, or not in time.
fn needs_someone(one: &InstanceBounce) -> bool {
    let stuck = |state| match state {
        BounceState::Held | BounceState::Overdue => true,
        BounceState::Going | BounceState::RollingBack | BounceState::Unspecified => false,
    };
    let rolled_back = one
        .waiting
        .iter()
        .any(|waiting| waiting.kind() == WaitingKind::Pinned);
    rolled_back
        || one
            .bounce
            .as_ref()
            .is_some_and(|bounce| stuck(bounce.state()))
}
