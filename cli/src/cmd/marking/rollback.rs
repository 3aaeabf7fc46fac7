//! `paasta rollback`: marks a commit that was deployed before, or shows which those are.

use std::collections::BTreeSet;

use anyhow::bail;
use paasta_process::help::examples;
use serde_json::json;

use super::{
    Origin, PushArgs, ServiceArgs,
    list_deployments::{Line, lines},
};
use crate::{
    cmd::{Context, names},
    exit::Exit,
    render,
    terminal::note,
};

/// How many commits are offered.
const OFFERED: usize = 10;

/// Go back to a commit that was deployed before
///
/// Without a commit it shows which those are, and the command that goes back by one.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta rollback -s hello -l prod.everything",
        "paasta rollback -s hello -l prod.everything -k $(git rev-parse HEAD~3)",
    ],
    "",
))]
pub struct Args {
    /// Which service
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The commit, its full sha
    #[arg(short = 'k', long, value_name = "SHA")]
    pub commit: Option<String>,
    /// The deploy groups [default: all]
    #[arg(short = 'l', long, value_name = "GROUP,...", value_delimiter = ',')]
    pub deploy_groups: Vec<String>,
    /// Also to a commit that none of them ever ran
    #[arg(short, long)]
    pub force: bool,
    /// How pushing is tried
    #[command(flatten)]
    pub push: PushArgs,
}

/// Shows the choice, or marks.
///
/// # Errors
/// No commit is given or it is no full sha; it was never deployed; the repository takes no tag.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut origin = Origin::ask(context, &args.service, None).await?;
    let groups = chosen(&origin, &args.deploy_groups);
    if groups.is_empty() {
        bail!("no deploy group of {} is left to roll back", origin.service);
    }
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    let Some(commit) = &args.commit else {
        let offered = offered(&origin, &names);
        return offer(context, &origin, &offered);
    };
    let full = origin.sha_chars();
    if commit.len() != full {
        bail!("{commit:?} is not a full git sha: give all {full} digits");
    }
    let sha = origin.full_sha(commit)?;
    let ran = lines(&origin, &names, usize::MAX);
    let ran = ran.iter().any(|line| line.sha == sha);
    if !ran && !args.force {
        let groups = names.join(", ");
        bail!("{sha} was never deployed in {groups}; --force marks it all the same");
    }
    let commit = origin.commit(&sha, &args.push).await?;
    let sha = commit.sha().to_owned();
    let mut marked = Vec::new();
    let mut worst = Exit::Ok;
    for group in &groups {
        match origin.mark(group, &commit, &args.push).await {
            Ok(tag) => {
                if !context.global.json {
                    let service = &origin.service;
                    context.print(&format!("Rolled back {group} of {service} to {sha}\n"))?;
                }
                marked.push(tag);
            }
            Err(error) => {
                note(&format!("{group}: {error:#}"));
                worst = Exit::Failed;
            }
        }
    }
    origin.tell(context, &marked).await;
    if context.global.json {
        context.print_json(&json!({ "service": origin.service, "sha": sha, "tags": marked }))?;
    }
    Ok(worst)
}

/// The groups that were named and exist, or all; unknown ones are told.
fn chosen(origin: &Origin, named: &[String]) -> BTreeSet<String> {
    let known = origin.groups();
    if named.is_empty() {
        return known.into_iter().map(str::to_owned).collect();
    }
    let mut chosen = BTreeSet::new();
    for group in named {
        if known.contains(group.as_str()) {
            chosen.insert(group.clone());
        } else {
            let hint = names::hint(group, known.iter().copied());
            note(&format!(
                "{} has no deploy group {group}: it is passed over{hint}",
                origin.service
            ));
        }
    }
    chosen
}

/// The last commits, each where it was marked last.
fn offered(origin: &Origin, groups: &[&str]) -> Vec<Line> {
    let mut seen = BTreeSet::new();
    let mut offered = lines(origin, groups, usize::MAX);
    offered.retain(|line| seen.insert((line.deploy_group.clone(), line.sha.clone())));
    offered.truncate(OFFERED);
    offered
}

fn offer(context: &Context, origin: &Origin, offered: &[Line]) -> anyhow::Result<Exit> {
    if context.global.json {
        context.print_json(&offered)?;
        return Ok(Exit::Failed);
    }
    context.print(&render::deployments::table(offered, &context.view))?;
    let service = &origin.service;
    match offered.iter().find(|line| !line.current) {
        Some(line) => note(&format!(
            "give a commit; back by one: paasta rollback -s {service} -l {} -k {}",
            line.deploy_group, line.sha
        )),
        None => note(&format!(
            "{service} never ran another commit: nothing to go back to"
        )),
    }
    Ok(Exit::Failed)
}
