//! `paasta auth invite`: a token by which a person gets a certificate, and the principal of it.

use std::time::Duration;

use paasta_process::help::examples;
use paasta_proto::v1::{self, CreateTokenRequest, RequestOutcome};

use super::{
    EXITS,
    grant::{self, Principal},
};
use crate::{
    cmd::{Context, asker, token},
    exit::Exit,
    render,
    terminal::note,
};

/// Invite a person or program: make its principal, and a token for `paasta login`
///
/// The token is printed once. It makes its holder this principal: keep it secret until it is used.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta auth invite alice --role admin",
        "paasta auth invite ci --role deployer --scope 'web,web-*' --ttl 10m",
    ],
    EXITS,
))]
pub struct Args {
    /// The principal
    #[command(flatten)]
    pub principal: Principal,
    /// How long the token may be used, as 10m or 1h
    #[arg(long, value_name = "TIME", default_value = "1h")]
    #[arg(value_parser = humantime::parse_duration)]
    pub ttl: Duration,
    /// What it is for
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub note: String,
}

/// Makes both, and prints the token alone, for scripts.
///
/// # Errors
/// No coordinator answered, or the token was refused.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let grant = grant::Args {
        principal: args.principal.clone(),
        ttl: None,
        note: args.note.clone(),
    };
    // The principal first: without one the certificate would count for nothing.
    let granted = grant::ask(&grant, context).await?;
    if granted.outcome() == RequestOutcome::Refused {
        note(&render::plain(&granted.text));
        return Ok(Exit::Failed);
    }
    let cluster = super::cluster(context).await?;
    let ask = CreateTokenRequest {
        asker: Some(asker::new()),
        joiner: v1::Joiner::Person.into(),
        ttl_seconds: args.ttl.as_secs(),
        uses: 1,
        replace: false,
        note: args.note.clone(),
        principal: format!(
            "paasta://{cluster}/{}/{}",
            args.principal.role.word(),
            args.principal.name
        ),
    };
    let words = format!(
        "{}; the token may be used once within {}: `paasta login TOKEN HOST:PORT`",
        render::plain(&granted.text),
        humantime::format_duration(args.ttl)
    );
    token::create::create(ask, &words, context).await
}
