//! `paasta auth`: taking the rights of an identity away, giving them back, and this command's own
//! certificate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use paasta_identity::Credentials;
use paasta_process::help::examples;
use paasta_proto::v1::{
    ListRevokedRequest, OperateResponse, RestoreRequest, RevokeRequest,
    revocations_client::RevocationsClient,
};

use serde_json::json;

use super::{Context, asker, operate};
use crate::{client::request, exit::Exit, render};

/// The exit codes of these verbs.
const EXITS: &str = "\
Exit codes:
  0  done, or there was nothing to do
  1  refused
  3  no coordinator could be reached";

/// The verbs about identities.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Take the rights of an identity away: of an agent, a person, a coordinator
    Revoke(RevokeArgs),
    /// Give an identity its rights back
    Restore(RestoreArgs),
    /// List the identities that are revoked
    Revoked(RevokedArgs),
    /// Show the certificate that this command uses, and what is wrong with it
    Certificate(CertificateArgs),
}

/// Take the rights of an identity away: of an agent, a person, a coordinator
///
/// Its calls are refused at once, and its open connections end within 30 s. The containers of a
/// host whose agent is revoked go on; nothing new is placed there. The entry is kept for 500 days:
/// every certificate that it concerns has expired then.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta auth revoke agent/host-7 --reason 'stolen'",
        "paasta auth revoke admin/alice --issued-before",
    ],
    EXITS,
))]
pub struct RevokeArgs {
    /// The identity
    #[arg(value_name = "ROLE/NAME")]
    pub identity: String,
    /// Only certificates from before now: those that are issued later have rights
    #[arg(long)]
    pub issued_before: bool,
    /// Why; the cluster's events show it
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub reason: String,
    /// Also when the coordinators that are left have no majority
    #[arg(long)]
    pub force: bool,
}

/// Give an identity its rights back
///
/// Certificates that are issued from now on have rights again. Those from before the revocation
/// stay without, as they may be in other hands; a revocation by mistake is undone with
/// --also-before.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta auth restore agent/host-7",
        "paasta auth restore admin/alice --also-before",
    ],
    EXITS,
))]
pub struct RestoreArgs {
    /// The identity
    #[arg(value_name = "ROLE/NAME")]
    pub identity: String,
    /// Also certificates from before the revocation
    #[arg(long)]
    pub also_before: bool,
}

/// List the identities that are revoked
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta auth revoked", "paasta auth revoked --json"], EXITS))]
pub struct RevokedArgs {
    /// Answer without a leader; the answer may be old
    #[arg(long)]
    pub stale: bool,
}

/// Show the certificate that this command uses, and what is wrong with it
///
/// Asks no coordinator: whether the identity is revoked shows only when one is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &["paasta auth certificate", "paasta auth certificate --json"],
    "\
Exit codes:
  0  coordinators of its authority accept it now
  1  there is none, or it cannot be used",
))]
pub struct CertificateArgs {}

/// Runs a verb.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Revoke(args) => revoke(args, context).await,
        Command::Restore(args) => restore(args, context).await,
        Command::Revoked(args) => list(&args, context).await,
        Command::Certificate(CertificateArgs {}) => certificate(context),
    }
}

async fn revoke(args: RevokeArgs, context: &Context) -> anyhow::Result<Exit> {
    let ask = RevokeRequest {
        asker: Some(asker::new()),
        identity: args.identity,
        issued_before: args.issued_before,
        reason: args.reason,
        force: args.force,
    };
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { RevocationsClient::new(channel).revoke(ask).await }
    });
    print(&answer.await?, context)
}

async fn restore(args: RestoreArgs, context: &Context) -> anyhow::Result<Exit> {
    let ask = RestoreRequest {
        asker: Some(asker::new()),
        identity: args.identity,
        also_before: args.also_before,
    };
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { RevocationsClient::new(channel).restore(ask).await }
    });
    print(&answer.await?, context)
}

fn print(answer: &OperateResponse, context: &Context) -> anyhow::Result<Exit> {
    match context.global.json {
        true => context.print_json(answer)?,
        false => context.print(&format!("{}\n", render::plain(&answer.text)))?,
    }
    Ok(operate::verdict(answer.outcome()))
}

async fn list(args: &RevokedArgs, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let stale = args.stale;
    let answer = coordinators.call(|channel| {
        let ask = request(ListRevokedRequest { stale }, timeout);
        async move { RevocationsClient::new(channel).list(ask).await }
    });
    let answer = answer.await?;
    match context.global.json {
        true => context.print_json(&answer)?,
        false => context.print(&render::revoked::render(&answer, &context.view))?,
    }
    Ok(Exit::Ok)
}

fn certificate(context: &Context) -> anyhow::Result<Exit> {
    let Some(files) = context.tls_files()? else {
        anyhow::bail!(
            "this command has no certificate: name its files by --tls-ca, --tls-cert and --tls-key \
             (or PAASTA_TLS_CA, PAASTA_TLS_CERT and PAASTA_TLS_KEY)"
        );
    };
    let credentials = Credentials::read(&files)?;
    let validity = credentials.validity();
    let problem = credentials.check(SystemTime::now()).err();
    let problem = problem.map(|error| error.to_string()).unwrap_or_default();
    let shown = json!({
        "identity": credentials.identity().to_string(),
        "issuer": credentials.issuer(),
        "not_before_ms": millis(validity.not_before),
        "not_after_ms": millis(validity.not_after),
        "certificate": files.certificate,
        "key": files.key,
        "authorities": files.ca,
        "problem": problem,
    });
    match context.global.json {
        true => context.print_json(&shown)?,
        false => {
            let at = |at| render::time::moment(millis(at), &context.view);
            let mut text = format!(
                "Identity:    {}\nIssued by:   {}\nValid:       from {} to {}\nCertificate: {}\nKey:         {}\nAuthorities: {}\n",
                credentials.identity(),
                render::plain(&credentials.issuer()),
                at(validity.not_before),
                at(validity.not_after),
                files.certificate.display(),
                files.key.display(),
                files.ca.display(),
            );
            if !problem.is_empty() {
                text.push_str(&format!("Problem:     {}\n", render::plain(&problem)));
            }
            context.print(&text)?;
        }
    }
    Ok(match problem.is_empty() {
        true => Exit::Ok,
        false => Exit::Failed,
    })
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
