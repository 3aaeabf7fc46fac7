//! `paasta-coordinator rejoin`.

use std::path::PathBuf;

use paasta_coordinator::offline::rejoin::rejoin;
use paasta_process::help::examples;

use super::say;

/// Set a damaged store aside, to join the cluster again as a new member with a new id.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &["paasta-coordinator rejoin --data-dir /var/lib/paasta-coordinator --node-id 4"],
    "",
))]
pub(crate) struct Args {
    /// The data directory; the coordinator must not run.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The new id, never used before in this cluster.
    #[arg(long, value_name = "NEW")]
    node_id: u64,
}

/// Sets the store aside and says what must follow.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let done = rejoin(&args.data_dir, args.node_id)?;
    let (new, dir) = (args.node_id, args.data_dir.display());
    let old = done
        .old
        .map_or_else(|| "OLD".to_owned(), |old| old.to_string());
    let mut lines = vec![format!("the old store is kept in {}", done.aside.display())];
    if let Some(id) = &done.cluster_id {
        lines.push(format!(
            "it belonged to coordinator {old} of the cluster with id {id}"
        ));
    }
    lines.extend([
        "Next:".to_owned(),
        format!("  1. paasta coordinator remove {old}"),
        format!(
            "  2. Set coordinator.node_id to {new} in the configuration, and start it: paasta-coordinator run --node-id {new} --data-dir {dir}"
        ),
        format!("  3. paasta coordinator add {new}=HOST:PORT, then paasta coordinator promote {new}"),
    ]);
    let identity = std::path::PathBuf::from(format!("{dir}.identity"));
    if identity.exists() {
        let identity = identity.display();
        lines.push(format!(
            "Before step 2, as the certificate in {identity} is that of {old}: move this directory aside, then paasta-coordinator join --node-id {new} --token TOKEN HOST:PORT"
        ));
    }
    say(&lines)
}
