//! `paasta-coordinator restore`.

use std::path::PathBuf;

use paasta_coordinator::offline::restore::{Restore, restore};
use paasta_process::{
    clock::{Clock, SystemClock},
    help::examples,
};

use super::{next_steps, say};

/// Begin the cluster again from a saved state, as a cluster of this coordinator alone.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta-coordinator restore --snapshot paasta.snapshot --data-dir \
         /var/lib/paasta-coordinator --node-id 1 --advertise 10.0.0.1:7401",
    ],
    "",
))]
pub(crate) struct Args {
    /// The file that `paasta snapshot save` wrote.
    #[arg(long, value_name = "FILE")]
    snapshot: PathBuf,
    /// This coordinator's data directory; it must be empty, or not be there.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// This coordinator's id.
    #[arg(long, value_name = "N")]
    node_id: u64,
    /// The address at which others reach it.
    #[arg(long, value_name = "HOST:PORT")]
    advertise: String,
}

/// Restores, and says what must follow.
pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let restored = restore(&Restore {
        snapshot: &args.snapshot,
        data_dir: &args.data_dir,
        node: args.node_id,
        address: &args.advertise,
        at: SystemClock.now(),
    })
    .await?;
    let data_dir = args.data_dir.display().to_string();
    let mut lines = vec![format!(
        "cluster {} (id {}) begins again in epoch {}, with {} replicas, in {data_dir}",
        restored.cluster, restored.cluster_id, restored.epoch, restored.replicas
    )];
    lines.extend(next_steps(args.node_id, &args.advertise, &data_dir));
    say(&lines)
}
