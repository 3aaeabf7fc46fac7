//! `paasta list-deployments`: what was marked for deployment, the newest first.

use std::collections::BTreeSet;

use paasta_common::deployments::tags::{Deploy, Tags};
use paasta_process::help::examples;
use serde::Serialize;

use super::{Origin, ServiceArgs, moment_ms};
use crate::{
    cmd::{Context, names},
    exit::Exit,
    render,
    terminal::note,
};

/// List what was marked for deployment, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta list-deployments -s hello -l prod.everything -n 5", "paasta list-deployments -s hello"], ""))]
pub struct Args {
    /// Which service
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Only these deploy groups [default: all]
    #[arg(short = 'l', long, value_name = "GROUP,...", value_delimiter = ',')]
    pub deploy_groups: Vec<String>,
    /// How many, at most
    #[arg(
        short = 'n',
        long = "lines",
        value_name = "COUNT",
        default_value_t = 10
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub count: u32,
}

/// One line of it.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    /// When it was marked, in milliseconds.
    pub(crate) at_ms: u64,
    /// The same as the tag has it, UTC.
    pub(crate) timestamp: String,
    pub(crate) deploy_group: String,
    pub(crate) sha: String,
    /// Whether the group runs it now.
    pub(crate) current: bool,
}

/// Asks git, not the cluster.
///
/// # Errors
/// The repository does not answer.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let origin = Origin::ask(context, &args.service, None).await?;
    let groups: Vec<&str> = args.deploy_groups.iter().map(String::as_str).collect();
    let lines = lines(&origin, &groups, args.count as usize);
    if context.global.json {
        context.print_json(&lines)?;
    } else {
        context.print(&render::deployments::table(&lines, &context.view))?;
    }
    if lines.is_empty() {
        let known = origin.groups();
        let unknown = groups.iter().find(|group| !known.contains(*group));
        let hint = unknown.map_or_else(String::new, |group| {
            names::hint(group, known.iter().copied())
        });
        note(&format!(
            "nothing of {} was ever marked for deployment{hint}",
            origin.service
        ));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Ok)
}

/// The last `count` deploys of these groups, or of all.
pub(super) fn lines(origin: &Origin, groups: &[&str], count: usize) -> Vec<Line> {
    let tags = Tags::read(&origin.refs.tips);
    let mut seen = BTreeSet::new();
    let line = |deploy: Deploy<'_>| Line {
        at_ms: moment_ms(deploy.timestamp),
        timestamp: deploy.timestamp.to_owned(),
        deploy_group: deploy.group.to_owned(),
        sha: deploy.sha.to_owned(),
        // Newest first: the first of a group is the one that counts.
        current: seen.insert(deploy.group.to_owned()),
    };
    tags.deploys(groups)
        .into_iter()
        .map(line)
        .take(count)
        .collect()
}
