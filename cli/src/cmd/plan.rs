//! `paasta plan`: what a yelpsoa-configs directory would change in the cluster. Nothing is written.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Context as _, anyhow, bail};
use paasta_common::{
    config::{ClusterSettings, SystemConfig},
    deployments::Deployment,
    id::{ClusterName, InstanceId, ServiceName},
    soa::{InstanceConfig, SoaDir, resolve},
    spec::DesiredState,
};
use paasta_process::help::examples;
use paasta_proto::{
    convert::{app_from_wire, run_from_wire},
    v1::{self, DescribeRequest, InstanceStatus, StatusRequest, admin_client::AdminClient},
};

use super::{Context, fleet, names, settings};
use crate::{
    client::{ANSWER_BYTES_MAX, Coordinators, request},
    exit::Exit,
    render,
    verdict::plan::{Act, Change, Current, Plan, compare, refused},
};

/// How many instances are asked for at once.
const PAGE: u32 = 200;

const EXITS: &str = "\
Versions are those that run: what is marked for another deploy group is not looked up. Whether
there is room on the hosts is not judged. It takes the role deployer; without the role admin the
operators' settings are those of this machine.

Exit codes:
  0  nothing would change
  1  something would change, or a mistake in the command line
  2  an instance would be refused: its last good configuration stays
  3  no coordinator could be reached";

/// Show what a yelpsoa-configs directory would change: bounces, numbers, removals, refusals
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta plan                      # of the yelpsoa-configs in this directory",
        "paasta plan -y ~/yelpsoa-configs -s hello -c prod",
        "paasta plan --markdown           # as a comment on a pull request",
    ],
    EXITS,
))]
pub struct Args {
    /// The yelpsoa-configs directory
    #[arg(short = 'y', short_alias = 'd', long, alias = "yelpsoa-config-root")]
    #[arg(value_name = "DIR", default_value = ".")]
    pub soa_dir: PathBuf,
    /// Only this service [default: all]
    #[arg(short, long, value_name = "SERVICE")]
    pub service: Option<ServiceName>,
    /// The cluster [default: that of the options or of the current context]
    #[arg(short, long, alias = "clusters", value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// Print a table in Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}

/// Compares, and prints what is different.
///
/// # Errors
/// The directory cannot be read, no coordinator answers, or the caller may not look at it.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let context = &fleet::one(context, args.cluster.as_deref()).await?;
    let soa = SoaDir::open(&args.soa_dir)?;
    let mut coordinators = context.coordinators()?;
    let (cluster, known) = known(&mut coordinators, args.service.as_ref()).await?;
    let planner = Planner {
        soa,
        system: system(context, &cluster).await?,
        cluster,
        known,
    };
    let plan = planner
        .plan(args.service.as_ref(), &mut coordinators)
        .await?;
    match (context.global.json, args.markdown) {
        (true, _) => context.print_json(&plan)?,
        (false, true) => context.print(&render::plan::markdown(&plan))?,
        (false, false) => context.print(&render::plan::render(&plan, &context.view))?,
    }
    Ok(plan.exit())
}

/// The configuration with the settings that are in force in the cluster.
async fn system(context: &Context, cluster: &ClusterName) -> anyhow::Result<SystemConfig> {
    let mut system = context.system()?;
    match settings::diff(context, 0).await {
        Ok(answer) if answer.settings.is_empty() => {}
        Ok(answer) => {
            let settings: ClusterSettings = serde_json::from_str(&answer.settings)
                .context("the cluster's settings are of another version than this program")?;
            system = settings.over(&system);
        }
        Err(error) => context.note(&format!(
            "the cluster's settings cannot be read, those of this machine are used: {error:#}"
        )),
    }
    system.cluster = Some(cluster.clone());
    Ok(system)
}

/// The cluster, and what it knows of instances, by `SERVICE.INSTANCE`.
async fn known(
    coordinators: &mut Coordinators,
    service: Option<&ServiceName>,
) -> anyhow::Result<(ClusterName, BTreeMap<String, InstanceStatus>)> {
    let mut ask = StatusRequest {
        service: service.map(ToString::to_string).unwrap_or_default(),
        page_size: PAGE,
        ..StatusRequest::default()
    };
    let mut known = BTreeMap::new();
    loop {
        let timeout = coordinators.timeout();
        let answer = coordinators.call(|channel| {
            let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
            let ask = request(ask.clone(), timeout);
            async move { admin.status(ask).await }
        });
        let page = match answer.await {
            Ok(page) => page,
            // A service that is new.
            Err(error) if error.is_not_found() => {
                let cluster = names::cluster(coordinators).await?;
                return Ok((cluster.parse()?, known));
            }
            Err(error) => return Err(error.into()),
        };
        let ids = page.instances.into_iter();
        known.extend(ids.map(|one| (format!("{}.{}", one.service, one.instance), one)));
        if page.next_page.is_empty() || page.next_page == ask.page {
            return Ok((page.cluster.parse()?, known));
        }
        ask.page = page.next_page;
    }
}

/// What is compared.
struct Planner {
    soa: SoaDir,
    system: SystemConfig,
    cluster: ClusterName,
    known: BTreeMap<String, InstanceStatus>,
}

impl Planner {
    async fn plan(
        &self,
        only: Option<&ServiceName>,
        coordinators: &mut Coordinators,
    ) -> anyhow::Result<Plan> {
        let mut services = self.soa.services()?;
        services.retain(|service| only.is_none_or(|only| only == service));
        let (mut changes, mut compared) = (Vec::new(), 0);
        let mut declared = BTreeSet::new();
        for service in &services {
            let load = self.soa.load(service, &self.cluster, &self.system);
            if !load.complete {
                changes.push(refused(format!("{service} (its files)"), 0, &load.problems));
            }
            for (instance, config) in load.instances {
                let id = InstanceId::new(service.clone(), instance);
                compared += 1;
                declared.insert(id.to_string());
                let before = self.known.get(&id.to_string());
                let wanted = before.map_or(0, |before| before.wanted);
                match config {
                    Err(problems) => changes.push(refused(id.to_string(), wanted, &problems)),
                    Ok(config) => {
                        let status = before.filter(|before| !before.git_sha.is_empty());
                        let change = match status {
                            Some(status) => self.change(&id, &config, status, coordinators).await?,
                            None => Some(self.new_one(&id, &config)),
                        };
                        changes.extend(change);
                    }
                }
            }
            if !load.complete {
                // What is missing in it may well be declared.
                declared.extend(self.of(service).map(|(id, _)| id.clone()));
            }
        }
        if services.is_empty() && only.is_none() {
            bail!(
                "{} has no service: is it a yelpsoa-configs directory?",
                self.soa.path().display()
            );
        }
        changes.extend(self.removed(&declared));
        Ok(Plan::new(self.cluster.to_string(), compared, changes))
    }

    /// The known instances of a service.
    fn of(&self, service: &ServiceName) -> impl Iterator<Item = (&String, &InstanceStatus)> {
        let name = service.as_str().to_owned();
        self.known
            .iter()
            .filter(move |(_, one)| one.service == name)
    }

    /// What the cluster runs and the directory does not declare.
    fn removed(&self, declared: &BTreeSet<String>) -> Vec<Change> {
        let gone = self
            .known
            .iter()
            .filter(|(id, one)| !declared.contains(*id) && !one.undeclared);
        gone.map(|(id, one)| Change {
            instance: id.clone(),
            act: Act::Remove,
            replicas_before: one.wanted,
            replicas_after: 0,
            why: vec!["it is not declared".to_owned()],
        })
        .collect()
    }

    fn new_one(&self, id: &InstanceId, config: &InstanceConfig) -> Change {
        let deployment = deployment(
            &format!("services-{}:paasta-{}", id.service, "0".repeat(40)),
            &"0".repeat(40),
            DesiredState::Start,
        );
        match resolve(id, config, &deployment, &self.system) {
            Err(problems) => refused(id.to_string(), 0, &problems),
            Ok(spec) => Change {
                instance: id.to_string(),
                act: Act::New,
                replicas_before: 0,
                replicas_after: spec.instances,
                why: vec![format!("its deploy group is {}", config.deploy_group)],
            },
        }
    }

    async fn change(
        &self,
        id: &InstanceId,
        config: &InstanceConfig,
        status: &InstanceStatus,
        coordinators: &mut Coordinators,
    ) -> anyhow::Result<Option<Change>> {
        let described = describe(id, coordinators).await?;
        let app = described
            .spec
            .with_context(|| format!("{id}: no spec in the answer"))?;
        let app = app_from_wire(app).map_err(|error| anyhow!("{id}: {error}"))?;
        let run = described
            .run
            .with_context(|| format!("{id}: no settings in the answer"))?;
        let run = run_from_wire(run).map_err(|error| anyhow!("{id}: {error}"))?;
        let state = match status.desired_state() {
            v1::DesiredState::Stop => DesiredState::Stop,
            v1::DesiredState::Start | v1::DesiredState::Unspecified => DesiredState::Start,
        };
        let image = app.image.rsplit('/').next().unwrap_or(&app.image);
        let deployment = deployment(image, &status.git_sha, state);
        let spec = match resolve(id, config, &deployment, &self.system) {
            Ok(spec) => spec,
            Err(problems) => return Ok(Some(refused(id.to_string(), status.wanted, &problems))),
        };
        let before = Current {
            app,
            run,
            instances: described.instances,
            held: status.overridden.is_some() || state == DesiredState::Stop,
        };
        Ok(compare(id.to_string(), &before, &spec))
    }
}

async fn describe(
    id: &InstanceId,
    coordinators: &mut Coordinators,
) -> anyhow::Result<v1::DescribeResponse> {
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = DescribeRequest {
            instance: id.to_string(),
            ..DescribeRequest::default()
        };
        let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(ask, timeout);
        async move { admin.describe(ask).await }
    });
    Ok(answer.await?)
}

fn deployment(image: &str, sha: &str, desired_state: DesiredState) -> Deployment {
    Deployment {
        docker_image: image.to_owned(),
        git_sha: sha.to_owned(),
        desired_state,
        force_bounce: None,
    }
}
