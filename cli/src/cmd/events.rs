//! `paasta events`: what happened last.

use paasta_common::id::InstanceId;
use paasta_proto::v1::{EventsRequest, admin_client::AdminClient};

use super::Context;
use crate::{
    client::{ANSWER_BYTES_MAX, request},
    exit::Exit,
    render::{self, lines::Lines},
};

/// Show what happened last in the cluster
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many events, at most
    #[arg(
        short = 'n',
        long = "lines",
        value_name = "COUNT",
        default_value_t = 50
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub count: u32,
    /// Only events of this instance
    #[arg(short, long, value_name = "SERVICE.INSTANCE")]
    pub instance: Option<InstanceId>,
}

/// Prints the events, oldest first.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let ask = EventsRequest {
        after: 0,
        instance: args
            .instance
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        limit: args.count,
    };
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(ask.clone(), timeout);
        async move { admin.events(ask).await }
    });
    let response = answer.await?;
    if context.global.json {
        context.print_json(&response)?;
    } else {
        let mut lines = Lines::new(&context.view);
        render::events::add(&mut lines, 0, &response.events);
        context.print(&lines.finish())?;
    }
    Ok(Exit::Ok)
}
