//! `paasta-agent join`, and joining by `join_token_file` at the first start.

use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;
use paasta_common::{config::SystemConfig, joining::Joiner};
use paasta_identity::{
    IdentityDir,
    joining::{self, Wanted},
    token::Token,
};
use paasta_process::help::examples;

use super::{ConfigArgs, runtime};
use crate::options::host_id;

/// The flags of `join`.
#[derive(Debug, Args)]
#[command(after_help = examples(
    &["paasta-agent join --token PAASTA1-a-... 10.0.0.1:7401 10.0.0.2:7401"],
    "",
))]
pub struct JoinArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A token for agents: `paasta token create agent` makes one.
    #[arg(long, env = "PAASTA_JOIN_TOKEN", hide_env_values = true)]
    token: String,
    /// Coordinators of the cluster, tried in turn.
    #[arg(value_name = "HOST:PORT", required = true)]
    addresses: Vec<String>,
}

/// Gets an identity of a cluster by a join token, and says what must follow.
///
/// # Errors
/// Why this host did not join; it can be tried again.
pub fn join(args: JoinArgs) -> anyhow::Result<String> {
    let token: Token = args.token.parse()?;
    let system = args.config.load()?;
    let dir = identity_dir(&system);
    let wanted = wanted(&system)?;
    let joining = joining::join(&dir, &token, &wanted, &args.addresses);
    let joined = runtime()?.block_on(joining)?;
    Ok(format!(
        "this is {} now; its files are in {}\nNext: systemctl start paasta-agent",
        joined.identity,
        dir.path().display()
    ))
}

/// Joins by the token in `join_token_file`, when there is no identity yet, and removes the file.
///
/// # Errors
/// Those of a join. Without a file there is nothing to do.
pub(super) fn at_start(system: &SystemConfig) -> anyhow::Result<()> {
    let ours = &system.agent;
    let Some(file) = ours
        .join_token_file
        .as_deref()
        .filter(|_| ours.tls.is_none())
    else {
        return Ok(());
    };
    let (dir, wanted) = (identity_dir(system), || wanted(system));
    let joining = joining::by_file(Path::new(file), &dir, wanted, &ours.coordinators);
    runtime()?
        .block_on(joining)
        .context("agent.join_token_file")
}

fn wanted(system: &SystemConfig) -> anyhow::Result<Wanted> {
    if system.agent.tls.is_some() {
        bail!("agent.tls is set: this host has a certificate of its operators");
    }
    Ok(Wanted {
        joiner: Joiner::Agent,
        name: host_id(system)?.to_string(),
    })
}

/// The directory of this host's identity.
pub(super) fn identity_dir(system: &SystemConfig) -> IdentityDir {
    IdentityDir::new(system.agent.identity_dir().as_ref())
}
