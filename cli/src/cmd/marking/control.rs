//! `paasta start`, `stop` and `restart`: by a tag on the commit that runs, so that it lasts until
//! the next deploy and no longer.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal as _},
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use paasta_common::{
    deployments::{
        Target,
        tags::{Tags, control_tag},
    },
    id::ServiceName,
    spec::DesiredState,
    text::count_of,
};
use serde_json::json;

use super::{
    Origin, PushArgs, ServiceArgs, later,
    owned::{Instances, Owned},
    unbeatable,
};
use crate::{
    cmd::{Context, confirm::confirm, names},
    exit::{self, Exit},
    terminal::note,
};

/// Which instances.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which service
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The clusters [default: all that the service is declared in]
    #[arg(short, long, alias = "cluster", value_name = "CLUSTER,...")]
    #[arg(value_delimiter = ',')]
    pub clusters: Vec<String>,
    /// The instances [default: all]
    #[arg(short, long, alias = "instance", value_name = "INSTANCE,...")]
    #[arg(value_delimiter = ',')]
    pub instances: Vec<String>,
    /// Only those of this deploy group
    #[arg(short = 'l', long, value_name = "GROUP")]
    pub deploy_group: Option<String>,
    /// Whose instances
    #[command(flatten)]
    pub owned: Owned,
    /// How pushing is tried
    #[command(flatten)]
    pub push: PushArgs,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Start what was stopped.
    Start,
    /// Run nothing until the next deploy.
    Stop,
    /// Replace every container, by the instance's bounce method.
    Restart,
}

impl Act {
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }

    /// A restart is a start with a new time.
    fn state(self) -> DesiredState {
        match self {
            Self::Start | Self::Restart => DesiredState::Start,
            Self::Stop => DesiredState::Stop,
        }
    }
}

/// Pushes the tags, one push for each commit that runs somewhere.
///
/// # Errors
/// Nothing matches, somebody says no, or the repository takes no tag.
pub async fn run(act: Act, args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if !args.owned.is_given() {
        return of_service(act, args, None, context).await;
    }
    let found = args.owned.find(&args.service, context)?;
    if found.len() > 1 && !all_meant(act, &found)? {
        return Ok(Exit::Failed);
    }
    let mut worst = Exit::Ok;
    let mut answers = Vec::new();
    for (service, only) in &found {
        let mut own = args.clone();
        own.service.service = Some(service.to_string());
        let (kept, context) = context.keeping_json();
        let done = of_service(act, &own, Some(only), &context).await;
        answers.extend(kept.take().json);
        match done {
            Ok(exit) => worst = worst.max(exit),
            // The other services are another matter.
            Err(error) => {
                note(&format!("{service}: {error:#}"));
                worst = worst.max(exit::of(&error));
            }
        }
    }
    if context.global.json {
        context.print_json(&answers)?;
    }
    Ok(worst)
}

/// Asks whether several services are meant; a script must name one.
fn all_meant(act: Act, found: &BTreeMap<ServiceName, Instances>) -> anyhow::Result<bool> {
    let names: Vec<&str> = found.keys().map(ServiceName::as_str).collect();
    let names = names.join(", ");
    if !io::stdin().is_terminal() {
        bail!("several services match ({names}): name one by -s, or answer at a terminal");
    }
    let count: usize = found.values().map(Instances::len).sum();
    let question = format!(
        "This will {} {} of several services: {names}.",
        act.word(),
        count_of(count, "instance")
    );
    Ok(confirm(&question)?)
}

/// The same for one service; with `only` of these instances at most.
async fn of_service(
    act: Act,
    args: &Args,
    only: Option<&Instances>,
    context: &Context,
) -> anyhow::Result<Exit> {
    let mut origin = Origin::ask(context, &args.service, None).await?;
    let targets = matching(&origin, args, only)?;
    let mut worst = Exit::Ok;
    let mut by_sha: BTreeMap<String, Vec<Target>> = BTreeMap::new();
    for target in targets {
        match origin.deployed(&target) {
            Some(sha) => by_sha.entry(sha.to_owned()).or_default().push(target),
            None => {
                note(&format!(
                    "{}.{}: no deploy tag for deploy group {} of {}; was it deployed there yet?",
                    target.cluster, target.instance, target.deploy_group, origin.service
                ));
                worst = Exit::Failed;
            }
        }
    }
    if by_sha.is_empty() || !meant(act, args, &origin, &by_sha)? {
        return Ok(Exit::Failed);
    }
    let mut pushed = Vec::new();
    for (sha, targets) in &by_sha {
        let name = |refs: &BTreeMap<String, String>| tags(act, refs, targets);
        let pushed_now = match origin.commit(sha, &args.push).await {
            Ok(commit) => origin.push(&commit, name, &args.push).await,
            Err(error) => Err(error),
        };
        match pushed_now {
            Ok(tags) => {
                say(context, act, &origin, sha, targets)?;
                pushed.extend(tags);
            }
            Err(error) => {
                note(&format!("{error:#}"));
                worst = Exit::Failed;
            }
        }
    }
    origin.tell(context, &pushed).await;
    if context.global.json {
        let (service, act) = (&origin.service, act.word());
        context.print_json(&json!({ "service": service, "action": act, "tags": pushed }))?;
    } else if act == Act::Stop && !pushed.is_empty() {
        note(
            "a stop lasts until the next deploy; to stop for good, set `instances: 0` in \
             yelpsoa-configs",
        );
    }
    Ok(worst)
}

/// The new tags: later than every control of the same instance.
fn tags(
    act: Act,
    refs: &BTreeMap<String, String>,
    targets: &[Target],
) -> anyhow::Result<Vec<String>> {
    let known = Tags::read(refs);
    let now = Timestamp::now();
    let tag = |target: &Target| {
        let own = format!("{}.{}", target.cluster, target.instance);
        let last = known.last_control(&own);
        let name = |time: &str| control_tag(&target.cluster, &target.instance, time, act.state());
        let time = later(now, last).with_context(|| unbeatable(&name(last.unwrap_or_default())))?;
        Ok(name(&time))
    };
    targets.iter().map(tag).collect()
}

/// The instances that the options select. A name that is nowhere is a mistake, and nothing is done.
fn matching(origin: &Origin, args: &Args, only: Option<&Instances>) -> anyhow::Result<Vec<Target>> {
    let clusters = origin.targets.iter().map(|target| target.cluster.as_str());
    check("cluster", &args.clusters, &clusters.collect(), origin)?;
    let instances = origin.targets.iter().map(|target| target.instance.as_str());
    check("instance", &args.instances, &instances.collect(), origin)?;
    let groups: Vec<String> = args.deploy_group.iter().cloned().collect();
    check("deploy group", &groups, &origin.groups(), origin)?;
    let named = |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
    let selected = |target: &&Target| {
        named(&args.clusters, target.cluster.as_str())
            && named(&args.instances, target.instance.as_str())
            && named(&groups, &target.deploy_group)
            && only.is_none_or(|only| {
                only.contains(&(target.cluster.clone(), target.instance.clone()))
            })
    };
    let found: Vec<Target> = origin.targets.iter().filter(selected).cloned().collect();
    if found.is_empty() {
        bail!("no instance of {} matches", origin.service);
    }
    Ok(found)
}

fn check(
    kind: &str,
    named: &[String],
    known: &BTreeSet<&str>,
    origin: &Origin,
) -> anyhow::Result<()> {
    match named.iter().find(|name| !known.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let hint = names::hint(name, known.iter().copied());
            bail!("{} has no {kind} {name:?}{hint}", origin.service)
        }
    }
}

/// A user who names neither clusters nor instances is shown what that means, and asked; a script is
/// not.
fn meant(
    act: Act,
    args: &Args,
    origin: &Origin,
    by_sha: &BTreeMap<String, Vec<Target>>,
) -> anyhow::Result<bool> {
    let whole = args.clusters.is_empty() || args.instances.is_empty();
    if !whole || !io::stdin().is_terminal() {
        return Ok(true);
    }
    let targets = by_sha.values().flatten();
    let names: Vec<String> = targets
        .map(|target| format!("{}.{}", target.cluster, target.instance))
        .collect();
    let question = format!(
        "This will {} {} of {}: {}.",
        act.word(),
        names.len(),
        origin.service,
        names.join(", ")
    );
    Ok(confirm(&question)?)
}

fn say(
    context: &Context,
    act: Act,
    origin: &Origin,
    sha: &str,
    targets: &[Target],
) -> anyhow::Result<()> {
    if context.global.json {
        return Ok(());
    }
    let done = match act {
        Act::Start => "Started",
        Act::Stop => "Stopped",
        Act::Restart => "Restarted",
    };
    let line = |target: &Target| {
        let (cluster, instance) = (&target.cluster, &target.instance);
        format!(
            "{done} {}.{instance} in {cluster}, at {}\n",
            origin.service,
            &sha[..8]
        )
    };
    context.print(&targets.iter().map(line).collect::<String>())
}

impl Origin {
    /// The commit that an instance runs, by the tags of its group or its own branch.
    fn deployed(&self, target: &Target) -> Option<&str> {
        let tags = Tags::read(&self.refs.tips);
        let tagged = tags.latest(&target.deploy_group).map(|deploy| deploy.sha);
        tagged.or_else(|| self.branch(target))
    }
}
