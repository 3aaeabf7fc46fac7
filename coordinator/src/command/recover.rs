//! `paasta-coordinator recover`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use paasta_coordinator::offline::recover::{Findings, look, recover};
use paasta_process::{
    clock::{Clock, SystemClock},
    help::examples,
};

use super::{next_steps, say};

/// Begin the cluster again from what this coordinator has, when most of them are lost for good.
/// Shows what is there and what may be lost; changes something only with --yes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta-coordinator recover --data-dir /var/lib/paasta-coordinator",
        "paasta-coordinator recover --data-dir /var/lib/paasta-coordinator --yes",
    ],
    "",
))]
pub(crate) struct Args {
    /// The surviving coordinator's data directory; the coordinator must not run.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The address at which others will reach it [default: the one it had].
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Do it.
    #[arg(long)]
    yes: bool,
}

/// Says what is there; with `--yes`, recovers.
pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let found = look(&args.data_dir).await?;
    let data_dir = args.data_dir.display().to_string();
    say(&describe(&found, &data_dir))?;
    let address = args.advertise.clone();
    let address = address.or_else(|| found.address().map(str::to_owned));
    let address = address
        .context("this coordinator had no vote, so its address is not known: give --advertise")?;
    if !args.yes {
        say(&[
            "Nothing was changed. With --yes, this becomes the state of the cluster.".to_owned(),
        ])?;
        return Ok(());
    }
    if found.state.cluster().is_none() {
        bail!("there is no cluster in this store: make one with `paasta cluster init` instead");
    }
    let node = found.survey.node;
    let done = recover(found, &args.data_dir, &address, SystemClock.now()).await?;
    let mut lines = vec![format!(
        "epoch {} begins with coordinator {node} alone; the store of before is kept in {}",
        done.epoch,
        done.aside.display()
    )];
    lines.extend(next_steps(node, &address, &data_dir));
    say(&lines)
}

fn describe(found: &Findings, data_dir: &str) -> Vec<String> {
    let survey = &found.survey;
    let voters: Vec<String> = survey
        .voters
        .iter()
        .map(|(id, address)| format!("{id}={address}"))
        .collect();
    let name = found.state.cluster();
    let last = survey
        .last
        .map_or_else(|| "nothing".to_owned(), |last| last.to_string());
    let mut lines = vec![
        format!(
            "coordinator {} of cluster {} (id {}), epoch {}, in {data_dir}",
            survey.node,
            name.map_or_else(|| "?".to_owned(), |cluster| cluster.name.to_string()),
            survey.cluster_id,
            survey.epoch
        ),
        format!("  voters:      {}", voters.join(", ")),
        format!("  log ends at: {last}, newest term {}", survey.term),
        format!(
            "  holds:       {} instances, {} hosts, {} replicas",
            found.state.instances().len(),
            found.state.hosts().len(),
            found.state.replica_count()
        ),
    ];
    if let Some(event) = found.last_event() {
        lines.push(format!("  last event:  {} ({:?})", event.text, event.at));
    }
    let unsure = match (survey.last, survey.committed) {
        (Some(last), Some(committed)) => last.index.saturating_sub(committed),
        (Some(last), None) => last.index,
        (None, _) => 0,
    };
    lines.push("What may be lost or gained:".to_owned());
    lines.push(format!(
        "  - everything that the others acknowledged after {last} is lost. If another coordinator's \
         store can be read, look at it too, and recover from the one that ends last (higher term, then higher index)"
    ));
    if unsure > 0 {
        lines.push(format!(
            "  - the last {unsure} records were not known here to be agreed on; they will count as agreed on"
        ));
    }
    lines
}
