//! `paasta maintenance drain`: empties hosts, and waits for that when asked to.

use std::time::Duration;

use paasta_process::help::examples;
use paasta_proto::v1::{DrainHostRequest, MaintenanceStatusResponse};
use tokio::time::{Instant, sleep};

use super::{EXITS, status};
use crate::{
    cmd::{Context, operate},
    exit::Exit,
    render,
    terminal::note,
};

/// Between two looks at a host that is being emptied.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Empty hosts: what runs there leaves as its replacements elsewhere are happy
///
/// Nothing new is placed there. At most a quarter of an instance (two replicas at least) moves at
/// the same time. Without room elsewhere nothing leaves: status says what is missing.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta maintenance drain host1.example.com --reason 'new kernel' --wait",
        "paasta maintenance drain host1.example.com host2.example.com --for 2h",
    ],
    EXITS,
))]
pub struct Args {
    /// The hosts
    #[arg(value_name = "HOST", required = true)]
    pub hosts: Vec<String>,
    /// After this time they take work again, as 1h or 2days [default: not by themselves]
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub time: Option<Duration>,
    /// Why, for those who see it later
    #[arg(long, value_name = "TEXT", default_value = "maintenance")]
    pub reason: String,
    /// Show the progress until they are safe to stop
    #[arg(long)]
    pub wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "TIME", default_value = "1h", requires = "wait")]
    #[arg(value_parser = humantime::parse_duration)]
    pub within: Duration,
}

/// Drains, and waits when asked to.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let for_ms = args.time.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
    });
    let make = |asker, host: &str| DrainHostRequest {
        asker: Some(asker),
        host: host.to_owned(),
        reason: args.reason.clone(),
        for_ms,
    };
    let send = |mut client: paasta_proto::v1::operate_client::OperateClient<_>, ask| async move {
        client.drain_host(ask).await
    };
    let done = operate::each_host(context, &args.hosts, make, send).await?;
    match (args.wait, done) {
        (true, Exit::Ok) => wait(args, context).await,
        _ => Ok(done),
    }
}

/// Shows what changes until every host is safe.
async fn wait(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let until = Instant::now() + args.within;
    let mut shown = String::new();
    loop {
        let answer = status::ask(&mut coordinators, &args.hosts).await?;
        let safe = answer.hosts.iter().all(|host| host.safe);
        let text = render::maintenance::progress(&answer, &context.view);
        if !context.global.json && text != shown {
            context.print(&text)?;
            shown = text;
        }
        if safe || Instant::now() + LOOK_EVERY > until {
            return finish(args, context, &answer, safe);
        }
        sleep(LOOK_EVERY).await;
    }
}

fn finish(
    args: &Args,
    context: &Context,
    answer: &MaintenanceStatusResponse,
    safe: bool,
) -> anyhow::Result<Exit> {
    if context.global.json {
        context.print_json(answer)?;
    }
    if safe {
        return Ok(Exit::Ok);
    }
    note(&format!(
        "not safe to stop after {:?}; the drain goes on: see `paasta maintenance status`",
        args.within
    ));
    Ok(Exit::Failed)
}
