//! `paasta auth grant`: makes a principal, or changes one.

use std::time::Duration;

use paasta_process::{
    clock::{Clock, SystemClock},
    help::examples,
};
use paasta_proto::v1::{
    OperateResponse, PrincipalRole, SetPrincipalRequest, principals_client::PrincipalsClient,
};

use super::EXITS;
use crate::{
    client::request,
    cmd::{Context, asker, operate},
    exit::Exit,
};

/// Make a principal, or change its role and scopes
///
/// What is given replaces what was: role, scopes, end and note. A change counts at once; streams that
/// are open end within 30 s. The first principal makes the admin who makes it a principal too; the last
/// admin is never taken away.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta auth grant alice --role admin",
        "paasta auth grant ci --role deployer --scope 'web,web-*,api.main' --note 'Jenkins'",
        "paasta auth grant bob --role reader --scope '*' --ttl 90days",
    ],
    EXITS,
))]
pub struct Args {
    /// The principal
    #[command(flatten)]
    pub principal: Principal,
    /// For how long, as 12h or 90days [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub ttl: Option<Duration>,
    /// What it is for
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub note: String,
}

/// A principal, as it is to be.
#[derive(Debug, Clone, clap::Args)]
pub struct Principal {
    /// The name in its certificate, paasta://CLUSTER/ROLE/NAME
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What it may be
    #[arg(long, value_name = "ROLE")]
    pub role: Role,
    /// SERVICE or SERVICE.INSTANCE, with * for any characters of one of the two
    #[arg(long = "scope", value_name = "SCOPE,...", value_delimiter = ',')]
    #[arg(required_if_eq_any([("role", "deployer"), ("role", "reader")]))]
    pub scopes: Vec<String>,
}

/// A role that a person or program may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Everything
    Admin,
    /// Deploys, stops, starts and scales the services in its scopes, and sees them
    Deployer,
    /// Sees the services in its scopes
    Reader,
    /// Reads metrics
    Metrics,
}

impl Role {
    /// The word in an identity.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Deployer => "deployer",
            Self::Reader => "reader",
            Self::Metrics => "metrics",
        }
    }
}

/// Makes it.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let answer = ask(args, context).await?;
    operate::print(&answer, context)
}

/// Asks for it.
///
/// # Errors
/// No coordinator answered.
pub(super) async fn ask(args: &Args, context: &Context) -> anyhow::Result<OperateResponse> {
    let role = match args.principal.role {
        Role::Admin => PrincipalRole::Admin,
        Role::Deployer => PrincipalRole::Deployer,
        Role::Reader => PrincipalRole::Reader,
        Role::Metrics => PrincipalRole::Metrics,
    };
    let ask = SetPrincipalRequest {
        asker: Some(asker::new()),
        name: args.principal.name.clone(),
        role: role.into(),
        scopes: args.principal.scopes.clone(),
        expires_ms: args.ttl.map_or(0, |ttl| SystemClock.now().after(ttl).0),
        not_before_ms: 0,
        note: args.note.clone(),
    };
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { PrincipalsClient::new(channel).set(ask).await }
    });
    Ok(answer.await?)
}
