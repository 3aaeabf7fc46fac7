//! `paasta events`: what happened last, and what happens from now on.

mod follow;
mod since;

use paasta_common::id::InstanceId;
use paasta_process::help::examples;
use paasta_proto::v1::{EventsRequest, EventsResponse, admin_client::AdminClient};

use super::Context;
use crate::{
    client::{ANSWER_BYTES_MAX, CallError, Coordinators, request},
    exit::Exit,
    render::{self, lines::Lines},
};

const EXAMPLES: &[&str] = &[
    "paasta events -n 20",
    "paasta events -i hello.main --since 2h",
    "paasta events -f --json | jq -r .text",
];

/// Show what happened last in the cluster
#[derive(Debug, clap::Args)]
#[command(after_help = examples(EXAMPLES, ""))]
pub struct Args {
    /// How many events of the past, at most
    #[arg(short = 'n', long = "lines", value_name = "COUNT")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub count: Option<u32>,
    /// Only events of this instance
    #[arg(short, long, value_name = "SERVICE.INSTANCE")]
    pub instance: Option<InstanceId>,
    /// Only events since then: a time as 2025-11-23T13:10:00Z, or how long ago, as 10m
    #[arg(long, value_name = "TIME", value_parser = since::since)]
    pub since: Option<since::Since>,
    /// Go on with what happens, until interrupted; with --json one event per line
    #[arg(short, long)]
    pub follow: bool,
    /// Take the answer of any coordinator, even one without a leader
    #[arg(long, conflicts_with = "follow")]
    pub stale: bool,
}

/// Events of the past when nothing else is said.
const COUNT: u32 = 50;
/// The same with `--since`: all that are kept.
const COUNT_SINCE: u32 = 1_000;

/// Prints the events, oldest first.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let default = if args.since.is_some() {
        COUNT_SINCE
    } else {
        COUNT
    };
    let count = args.count.unwrap_or(default);
    let ask = EventsRequest {
        instance: args
            .instance
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        // Zero stands for the server's bound: one is asked for and dropped.
        limit: count.max(1),
        since_ms: args.since.map_or(0, |since| since.ms()),
        stale: args.stale,
        ..EventsRequest::default()
    };
    let mut past = past(&ask, &mut coordinators).await?;
    if count == 0 {
        past.events.clear();
    }
    if args.follow {
        return follow::run(past, ask.instance, &mut coordinators, context).await;
    }
    if context.global.json {
        context.print_json(&past)?;
    } else {
        let mut lines = Lines::new(&context.view);
        render::events::add(&mut lines, 0, &past.events);
        context.print(&lines.finish())?;
    }
    Ok(Exit::Ok)
}

async fn past(
    ask: &EventsRequest,
    coordinators: &mut Coordinators,
) -> Result<EventsResponse, CallError> {
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(ask.clone(), timeout);
        async move { admin.events(ask).await }
    });
    answer.await
}
