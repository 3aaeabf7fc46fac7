//! `paasta list-clusters`: the clusters that yelpsoa-configs names.

use std::{collections::BTreeSet, path::PathBuf};

use paasta_common::{id::ClusterName, soa::SoaDir};
use paasta_process::help::examples;
use serde::Serialize;

use super::Context;
use crate::exit::Exit;

/// List the clusters that services declare instances for
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta list-clusters -d ~/yelpsoa-configs", "paasta list-clusters --json"], ""))]
pub struct Args {
    /// The yelpsoa-configs directory [default: soa_dir of the configuration]
    #[arg(short = 'd', short_alias = 'y', long, value_name = "DIR")]
    pub soa_dir: Option<PathBuf>,
}

/// The answer, for `--json`.
#[derive(Serialize)]
struct Clusters {
    clusters: BTreeSet<ClusterName>,
}

/// Prints the names, sorted, one per line.
///
/// # Errors
/// The directory cannot be read, or standard output is gone.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let soa = SoaDir::open(context.soa_dir(args.soa_dir.as_deref())?)?;
    let system = context.system()?;
    let mut clusters: BTreeSet<ClusterName> = system.clusters.iter().cloned().collect();
    for service in soa.services()? {
        clusters.extend(soa.clusters(&service, &system)?);
    }
    match context.global.json {
        true => context.print_json(&Clusters { clusters })?,
        false => {
            let lines = clusters.iter().map(|name| format!("{name}\n"));
            context.print(&lines.collect::<String>())?;
        }
    }
    Ok(Exit::Ok)
}
