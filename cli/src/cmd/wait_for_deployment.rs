//! `paasta wait-for-deployment`: until every instance of a deploy group runs what is marked.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal as _},
    time::Duration,
};

use anyhow::bail;
use paasta_common::{
    deployments::Target,
    id::{ClusterName, ServiceName},
};
use paasta_process::help::examples;
use paasta_proto::v1::{InstanceStatus, StatusRequest, admin_client::AdminClient};
use serde::Serialize;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    Context, fleet,
    marking::{Origin, ServiceArgs},
    names,
};
use crate::{
    args::wait as wait_time,
    client::{ANSWER_BYTES_MAX, Coordinators, request},
    exit::Exit,
    render,
    terminal::note,
    verdict::deploy::{Arrival, arrival},
};

/// How many instances are asked for at once.
const PAGE: u32 = 200;

/// Wait until every instance of a deploy group runs a marked commit
#[derive(Debug, clap::Args)]
#[command(
    after_help = examples(
        &["paasta wait-for-deployment -s hello -l prod.everything -k 3f2a9c0d -t 600", "paasta wait-for-deployment -s hello -l prod.everything -k $(git rev-parse HEAD)"],
        "Exit code 0: all run it. 1: not in time, or the commit is not the one that is marked.",
    )
)]
pub struct Args {
    /// Which service
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The git URL [default: git_url in service.yaml]
    #[arg(short = 'u', long, value_name = "URL")]
    pub git_url: Option<String>,
    /// The commit; a short sha is looked up among those that branches and tags stand on
    #[arg(short = 'k', short_alias = 'c', long, value_name = "SHA")]
    pub commit: String,
    /// The deploy group
    #[arg(short = 'l', long, value_name = "GROUP")]
    pub deploy_group: String,
    /// How long to wait
    #[command(flatten)]
    pub patience: Patience,
}

/// How long to wait for a deploy.
#[derive(Debug, Clone, clap::Args)]
pub struct Patience {
    /// How long to wait, in seconds or as 10m
    #[arg(short = 't', long, value_name = "TIME", default_value = "3600", value_parser = wait_time)]
    pub within: Duration,
    /// Between two looks
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = wait_time)]
    pub every: Duration,
}

/// Checks that the commit is the marked one, and waits.
///
/// # Errors
/// The commit or the group is not the one that is marked, or a cluster cannot be asked.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let origin = Origin::ask(context, &args.service, args.git_url.as_deref()).await?;
    let sha = origin.full_sha(&args.commit)?;
    let group = &args.deploy_group;
    match origin.current(group) {
        Some(marked) if marked == sha => {}
        Some(marked) => bail!(
            "{sha} is not what is marked for {group}: that is {marked}; mark it with \
             `paasta mark-for-deployment`"
        ),
        None => {
            let hint = names::hint(group, origin.groups());
            bail!(
                "nothing of {} is marked for deploy group {group}{hint}",
                origin.service
            );
        }
    }
    let waited = wait(context, &origin, group, &sha, &args.patience).await?;
    if context.global.json {
        context.print_json(&waited.instances)?;
    }
    match waited.done {
        true => Ok(Exit::Ok),
        false => Ok(Exit::Failed),
    }
}

/// One instance that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Awaited {
    cluster: ClusterName,
    instance: String,
}

/// What became of waiting.
#[derive(Debug)]
pub(super) struct Waited {
    /// Whether all have arrived.
    pub(super) done: bool,
    /// How each stands, for `--json`.
    pub(super) instances: Vec<Line>,
}

/// How one instance stands.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    cluster: ClusterName,
    instance: String,
    done: bool,
    happy: u32,
    needed: u32,
    why: String,
}

type Arrivals = BTreeMap<Awaited, Arrival>;
type Asked = BTreeMap<ClusterName, Coordinators>;
/// The instances of the service in one cluster; `None` when it has none of it.
type Found = Result<Option<Vec<InstanceStatus>>, Fault>;

/// Shows how far it is until all have arrived or the time is over; says whether they have.
///
/// # Errors
/// It is not known which coordinators to ask for a cluster, or standard output is gone. One that
/// cannot be reached for a while is waited for like an instance.
pub(super) async fn wait(
    context: &Context,
    origin: &Origin,
    group: &str,
    sha: &str,
    patience: &Patience,
) -> anyhow::Result<Waited> {
    let of_it = |target: &&Target| target.deploy_group == group;
    let targets: Vec<&Target> = origin.targets.iter().filter(of_it).collect();
    let clusters: BTreeSet<&ClusterName> = targets.iter().map(|target| &target.cluster).collect();
    let mut asked = Asked::new();
    let limit = fleet::timeout(context, clusters.len()).min(patience.within);
    for cluster in clusters {
        asked.insert(cluster.clone(), context.coordinators_of(cluster, limit)?);
    }
    let until = Instant::now() + patience.within;
    let mut screen = Screen::new(context);
    loop {
        let mut arrivals = Arrivals::new();
        for (cluster, found) in look(&mut asked, &origin.service).await? {
            let names = targets.iter().filter(|target| target.cluster == cluster);
            let names = names.map(|target| target.instance.as_str());
            judge(
                (&cluster, &found),
                &origin.service,
                names,
                sha,
                &mut arrivals,
            )?;
        }
        screen.show(&arrivals)?;
        let done = arrivals.values().all(|arrival| arrival.done);
        if done || Instant::now() + patience.every > until {
            finish(origin, group, sha, &arrivals, patience);
            let instances = arrivals.into_iter().map(line).collect();
            return Ok(Waited { done, instances });
        }
        sleep(patience.every).await;
    }
}

/// Asks all clusters side by side about the instances of the service.
async fn look(
    asked: &mut Asked,
    service: &ServiceName,
) -> anyhow::Result<BTreeMap<ClusterName, Found>> {
    let mut asking = JoinSet::new();
    for (cluster, mut coordinators) in std::mem::take(asked) {
        let service = service.clone();
        asking.spawn(async move {
            let found = fetch(&mut coordinators, &cluster, &service).await;
            (cluster, coordinators, found)
        });
    }
    let mut answers = BTreeMap::new();
    while let Some(one) = asking.join_next().await {
        let (cluster, coordinators, found) = one?;
        asked.insert(cluster.clone(), coordinators);
        answers.insert(cluster, found);
    }
    Ok(answers)
}

/// Judges what one cluster says of its instances.
fn judge<'a>(
    (cluster, found): (&ClusterName, &Found),
    service: &ServiceName,
    instances: impl Iterator<Item = &'a str>,
    sha: &str,
    arrivals: &mut Arrivals,
) -> anyhow::Result<()> {
    for instance in instances {
        let arrival = match found {
            Ok(Some(found)) => arrival(found.iter().find(|one| one.instance == instance), sha),
            Ok(None) => arrival(None, sha),
            Err(Fault::Asked(words)) => Arrival {
                done: false,
                happy: 0,
                needed: 1,
                why: words.clone(),
            },
            Err(Fault::OtherCluster(name)) => bail!(
                "the coordinators are of cluster {name}, and {service} is declared in {cluster} \
                 too: name its coordinators by `paasta context add`, or in cli.clusters of the \
                 configuration"
            ),
        };
        let awaited = Awaited {
            cluster: cluster.clone(),
            instance: instance.to_owned(),
        };
        arrivals.insert(awaited, arrival);
    }
    Ok(())
}

/// Why a cluster says nothing of its instances.
enum Fault {
    Asked(String),
    OtherCluster(String),
}

/// Every instance of the service; none when the cluster has none of it.
async fn fetch(
    coordinators: &mut Coordinators,
    cluster: &ClusterName,
    service: &ServiceName,
) -> Found {
    let mut all = Vec::new();
    let mut page = String::new();
    loop {
        let ask = StatusRequest {
            service: service.to_string(),
            replicas: true,
            page_size: PAGE,
            page: page.clone(),
            ..StatusRequest::default()
        };
        let timeout = coordinators.timeout();
        let answer = coordinators.call(|channel| {
            let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
            let ask = request(ask.clone(), timeout);
            async move { admin.status(ask).await }
        });
        let answer = match answer.await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(Fault::Asked(error.to_string())),
        };
        if answer.cluster != cluster.as_str() {
            return Err(Fault::OtherCluster(answer.cluster));
        }
        all.extend(answer.instances);
        if answer.next_page.is_empty() || answer.next_page == page {
            return Ok(Some(all));
        }
        page = answer.next_page;
    }
}

/// What was shown last.
struct Screen<'a> {
    context: &'a Context,
    terminal: bool,
    painted: usize,
    told: BTreeMap<Awaited, String>,
}

impl<'a> Screen<'a> {
    fn new(context: &'a Context) -> Self {
        let terminal = io::stdout().is_terminal() && !context.global.json;
        Self {
            context,
            terminal,
            painted: 0,
            told: BTreeMap::new(),
        }
    }

    fn show(&mut self, arrivals: &Arrivals) -> anyhow::Result<()> {
        let name = |one: &Awaited| format!("{}.{}", one.cluster, one.instance);
        if self.terminal {
            // Over what was painted before.
            let mut text = match self.painted {
                0 => String::new(),
                lines => format!("\u{1b}[{lines}A"),
            };
            for (one, arrival) in arrivals {
                let bar = render::deploying::bar(&name(one), arrival, &self.context.view);
                text.push_str(&format!("\u{1b}[2K{bar}\n"));
            }
            self.painted = arrivals.len();
            return self.context.print(&text);
        }
        if self.context.global.json {
            return Ok(());
        }
        for (one, arrival) in arrivals {
            let line = render::deploying::line(&name(one), arrival);
            if self.told.get(one) != Some(&line) {
                self.context.print(&format!("{line}\n"))?;
                self.told.insert(one.clone(), line);
            }
        }
        Ok(())
    }
}

fn line((awaited, arrival): (Awaited, Arrival)) -> Line {
    Line {
        cluster: awaited.cluster,
        instance: awaited.instance,
        done: arrival.done,
        happy: arrival.happy,
        needed: arrival.needed,
        why: arrival.why,
    }
}

/// Says what to look at next.
fn finish(origin: &Origin, group: &str, sha: &str, arrivals: &Arrivals, patience: &Patience) {
    let service = &origin.service;
    let late = arrivals.iter().filter(|(_, arrival)| !arrival.done);
    let late: Vec<&str> = late.map(|(one, _)| one.instance.as_str()).collect();
    if arrivals.is_empty() {
        note(&format!(
            "no instance of {service} is in deploy group {group}: nothing to wait for"
        ));
    } else if let Some(first) = late.first() {
        note(&format!(
            "{} did not arrive within {} s: see `paasta status -s {service} -i {} -v` and \
             `paasta why {service}.{first}`",
            sha.get(..8).unwrap_or(sha),
            patience.within.as_secs(),
            late.join(","),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_have_their_unit() {
        assert_eq!(wait_time("3600"), Ok(Duration::from_secs(3600)));
        assert_eq!(wait_time("10m"), Ok(Duration::from_secs(600)));
        for bad in ["0", "soon", "-1", "9days"] {
            assert!(wait_time(bad).is_err(), "{bad}");
        }
    }
}
