//! `paasta token create`: a join token, whose secret is printed once.

use std::time::Duration;

use paasta_process::help::examples;
use paasta_proto::v1::{self, CreateTokenRequest, tokens_client::TokensClient};

use crate::{
    client::request,
    cmd::{Context, asker},
    exit::Exit,
    render,
    terminal::note,
};

/// The longest time that a token may be used.
const TTL_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Make a join token; its secret is printed once
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta token create agent",
        "paasta token create agent --uses 500 --ttl 30days --note 'rack 7'",
        "paasta token create coordinator --replace",
    ],
    "",
))]
pub struct Args {
    /// What may join by it
    #[arg(value_name = "ROLE", value_enum)]
    pub joiner: Joiner,
    /// How long it may be used, as 30m, 1h or 7days
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = ttl)]
    pub ttl: Duration,
    /// How often it may be used
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub uses: u32,
    /// Let it take over the name of a host or coordinator that another key holds
    #[arg(long)]
    pub replace: bool,
    /// A note for those who list it
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
}

/// What may join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Joiner {
    /// A coordinator.
    Coordinator,
    /// An agent.
    Agent,
}

fn ttl(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match (Duration::from_secs(60)..=TTL_MAX).contains(&span) {
        true => Ok(span),
        false => Err("give a time between 1m and 365days".to_owned()),
    }
}

/// Makes the token and prints it alone, for scripts.
///
/// # Errors
/// No coordinator answered, or it was refused.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let joiner = match args.joiner {
        Joiner::Coordinator => v1::Joiner::Coordinator,
        Joiner::Agent => v1::Joiner::Agent,
    };
    let ask = CreateTokenRequest {
        asker: Some(asker::new()),
        joiner: joiner.into(),
        ttl_seconds: args.ttl.as_secs(),
        uses: args.uses,
        replace: args.replace,
        note: args.note.clone(),
        principal: String::new(),
    };
    let times = paasta_common::text::count(u64::from(args.uses), "use");
    let words = format!(
        "{times} within {}; it is printed this once, and is a secret until it is used up",
        humantime::format_duration(args.ttl)
    );
    create(ask, &words, context).await
}

/// Makes a token and prints it, with a note of these words beside it.
///
/// # Errors
/// No coordinator answered, or it was refused.
pub(crate) async fn create(
    ask: CreateTokenRequest,
    words: &str,
    context: &Context,
) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { TokensClient::new(channel).create(ask).await }
    });
    let answer = answer.await?;
    if context.global.json {
        context.print_json(&answer)?;
        return Ok(Exit::Ok);
    }
    context.print(&format!("{}\n", render::plain(&answer.token)))?;
    note(words);
    Ok(Exit::Ok)
}
