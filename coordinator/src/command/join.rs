//! `paasta-coordinator join`, and joining by `join_token_file` at the first start.

use std::path::Path;

use anyhow::{Context, bail};
use paasta_common::{config::SystemConfig, joining::Joiner};
use paasta_identity::{
    joining::{self, Wanted},
    token::Token,
};
use paasta_process::help::examples;

use super::{
    place::{Place, identity_dir},
    say,
};

/// Get an identity of a cluster by a join token. The key is made here and stays here.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &["paasta-coordinator join --node-id 2 --token PAASTA1-c-... 10.0.0.1:7401"],
    "",
))]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// A token for coordinators: `paasta token create coordinator` makes one.
    #[arg(long, env = "PAASTA_JOIN_TOKEN", hide_env_values = true)]
    token: String,
    /// Coordinators of the cluster, tried in turn.
    #[arg(value_name = "HOST:PORT", required = true)]
    addresses: Vec<String>,
}

/// Joins, and says what must follow.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let system = args.place.load()?;
    let token: Token = args.token.parse()?;
    let dir = identity_dir(&system);
    let joined = joining::join(&dir, &token, &wanted(&system)?, &args.addresses).await?;
    let (name, id) = (&joined.identity, joined.identity.name());
    say(&[
        format!(
            "this is {name} now; its files are in {}",
            dir.path().display()
        ),
        "Next:".to_owned(),
        "  1. Start it: systemctl start paasta-coordinator".to_owned(),
        format!("  2. paasta coordinator add {id}=HOST:PORT, then paasta coordinator promote {id}"),
    ])
}

/// Whether the next start joins by the token in `join_token_file`.
pub(crate) fn is_due(system: &SystemConfig) -> bool {
    let ours = &system.coordinator;
    let file = ours.join_token_file.as_deref().map(Path::new);
    ours.tls.is_none() && joining::is_due(file, &identity_dir(system))
}

/// Joins by the token in `join_token_file`, when there is no identity yet, and removes the file.
///
/// # Errors
/// Those of a join. Without a file there is nothing to do.
pub(crate) async fn at_start(system: &SystemConfig) -> anyhow::Result<()> {
    let ours = &system.coordinator;
    let Some(file) = ours
        .join_token_file
        .as_deref()
        .filter(|_| ours.tls.is_none())
    else {
        return Ok(());
    };
    let (dir, wanted) = (identity_dir(system), || wanted(system));
    joining::by_file(Path::new(file), &dir, wanted, &ours.join_addresses)
        .await
        .context("coordinator.join_token_file")
}

fn wanted(system: &SystemConfig) -> anyhow::Result<Wanted> {
    if system.coordinator.tls.is_some() {
        bail!("coordinator.tls is set: this coordinator has a certificate of its operators");
    }
    let id = system.coordinator.node_id;
    let id = id.context("which coordinator? give --node-id, or set coordinator.node_id: a number that was never used in this cluster")?;
    Ok(Wanted {
        joiner: Joiner::Coordinator,
        name: id.to_string(),
    })
}
