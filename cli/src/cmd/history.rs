//! `paasta history`: what was asked of an instance, by whom and when.

use paasta_process::help::examples;
use paasta_proto::v1::{HistoryRequest, deploys_client::DeploysClient};

use super::{Context, which::Which};
use crate::{client::request, exit::Exit, render};

/// Show what was asked of an instance, by whom and when
///
/// Deploys, starts and stops with their tags, changes of yelpsoa-configs with the fields that
/// changed, overrides and rollbacks. The last 20 are remembered.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta history hello.main -n 5", "paasta history -s hello"], ""))]
pub struct Args {
    /// Which instance
    #[command(flatten)]
    pub which: Which,
    /// How many changes, at most
    #[arg(
        short = 'n',
        long = "lines",
        value_name = "COUNT",
        default_value_t = 20
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub count: u32,
}

/// Prints the changes, oldest first.
///
/// # Errors
/// No coordinator answered, or there is no such instance.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let ask = HistoryRequest {
        instance: args.which.one()?.to_string(),
        limit: args.count,
    };
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { DeploysClient::new(channel).history(ask).await }
    });
    let answer = answer.await?;
    if context.global.json {
        context.print_json(&answer)?;
    } else {
        context.print(&render::history::render(&answer, &context.view))?;
    }
    Ok(Exit::Ok)
}
