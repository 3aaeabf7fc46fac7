//! `paasta get-latest-deployment`: the commit that a deploy group runs, for scripts.

use anyhow::bail;
use paasta_process::help::examples;
use serde_json::json;

use super::{Origin, ServiceArgs};
use crate::{
    cmd::{Context, names},
    exit::Exit,
};

/// Print the full sha of what is marked for a deploy group
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta get-latest-deployment -s hello -l prod.everything", "paasta get-latest-deployment -s hello -l prod.everything -d ~/yelpsoa-configs"], ""))]
pub struct Args {
    /// Which service
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The deploy group
    #[arg(short = 'l', long, value_name = "GROUP")]
    pub deploy_group: String,
}

/// Asks git, not the cluster.
///
/// # Errors
/// The repository does not answer, or nothing is marked for the group.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let origin = Origin::ask(context, &args.service, None).await?;
    let group = &args.deploy_group;
    let Some(sha) = origin.current(group) else {
        let hint = names::hint(
            group,
            origin.groups().into_iter().filter(|one| one != group),
        );
        bail!(
            "nothing of {} is marked for deploy group {group}{hint}",
            origin.service
        );
    };
    if context.global.json {
        context.print_json(&json!({
            "service": origin.service, "deploy_group": group, "sha": sha,
        }))?;
    } else {
        context.print(&format!("{sha}\n"))?;
    }
    Ok(Exit::Ok)
}
