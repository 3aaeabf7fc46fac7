//! `paasta check`: whether the repository in this directory, and the files about it in
//! yelpsoa-configs, are what the steps of a pipeline will need.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use paasta_common::{
    config::SystemConfig,
    id::ServiceName,
    soa::{
        SoaDir,
        deploy::Pipeline,
        validate::{Checked, validate},
    },
    url::Url,
};
use paasta_process::{chain::chain, git::ls_remote, help::examples};
use serde::Serialize;

use self::makefile::{Makefile, TARGETS};
use super::{Context, marking::no_repository, names, step, validate::lines};
use crate::{exit::Exit, render};

mod makefile;

/// How long the git server may take to list its refs.
const GIT_LIMIT: Duration = Duration::from_secs(30);

/// Check that a service's repository and configuration are ready to be deployed
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&[
    "paasta check -s hello -y ~/yelpsoa-configs", "paasta check    # in the repository of services-hello",
], "\
Run it in the service's repository. Everything is looked at, nothing is run: a line for each thing,
and what to do about it. Ends with what `paasta validate` says.

Exit codes: 0 when nothing is missing, 1 when something is."))]
pub struct Args {
    #[command(flatten)]
    of: step::Of,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Found {
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub text: String,
}

impl Found {
    fn new(ok: bool, yes: impl Into<String>, no: impl Into<String>) -> Self {
        let text = if ok { yes.into() } else { no.into() };
        Self { ok, text }
    }
}

/// Looks, and prints a line for each thing.
///
/// # Errors
/// There is no yelpsoa-configs directory, or no such service in it.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let service = args.of.service()?;
    let described = args.of.described(context, &service)?;
    let soa = args.of.soa(context)?;
    let system = context.system()?;
    let mut found = vec![Found::new(
        true,
        format!("{service} is in {}", soa.path().display()),
        "",
    )];
    let pipeline = pipeline(&soa, &service, &mut found);
    found.push(match described.repository(&service, &system) {
        Some(url) => remote(&url).await,
        None => Found::new(false, "", no_repository(&service)),
    });
    repository(Path::new("."), &mut found);
    groups(&soa, &service, &system, &pipeline, &mut found);
    watched(&soa, &service, &system, &mut found);
    let files = validate(&soa, &service, &system, false)?;
    if context.global.json {
        context.print_json(&serde_json::json!({ "checks": found, "files": lines(&files) }))?;
    } else {
        context.print(&render::check::render(&found, &context.view))?;
        context.print(&render::validate::render(&files, &context.view))?;
    }
    match found.iter().all(|one| one.ok) && files.iter().all(Checked::ok) {
        true => Ok(Exit::Ok),
        false => Ok(Exit::Failed),
    }
}

/// The pipeline, which must lead somewhere and look at what it lets through.
fn pipeline(soa: &SoaDir, service: &ServiceName, found: &mut Vec<Found>) -> Pipeline {
    // What is wrong inside the file is validate's to say.
    let pipeline = soa.pipeline(service).unwrap_or_default();
    let any = pipeline.deploy_groups().next().is_some();
    found.push(Found::new(
        any,
        "deploy.yaml has a pipeline that deploys",
        format!("{service}/deploy.yaml has no step that deploys: add `- step: DEPLOY_GROUP`"),
    ));
    let looked = pipeline
        .steps
        .iter()
        .any(|step| step.name == "security-check");
    found.push(Found::new(
        looked,
        "deploy.yaml has a security-check",
        format!("{service}/deploy.yaml has no `- step: security-check` before what it deploys"),
    ));
    pipeline
}

async fn remote(url: &Url) -> Found {
    match ls_remote(url, GIT_LIMIT).await {
        Ok(_) => Found::new(true, format!("git answers at {url}"), ""),
        Err(error) => {
            let said = chain(&error);
            Found::new(false, "", format!("{said}: git_url is in service.yaml"))
        }
    }
}

/// The contract: a Dockerfile, and a Makefile that the steps can use.
fn repository(here: &Path, found: &mut Vec<Found>) {
    found.push(Found::new(
        here.join("Dockerfile").is_file(),
        "there is a Dockerfile",
        "there is no Dockerfile in this directory: run this in the service's repository",
    ));
    let Ok(text) = fs::read_to_string(here.join("Makefile")) else {
        let no = "there is no Makefile in this directory: it must have cook-image, itest and test";
        found.push(Found::new(false, "", no));
        return;
    };
    let makefile = Makefile::parse(&text);
    found.push(Found::new(
        makefile.tabs,
        "the Makefile's recipes are indented by tabs",
        "no line of the Makefile begins with a tab, as the recipes of make must",
    ));
    found.push(Found::new(
        makefile.docker_tag,
        "the Makefile reads DOCKER_TAG",
        "the Makefile does not read DOCKER_TAG: cook-image must build `docker build -t $(DOCKER_TAG) .`",
    ));
    for target in TARGETS {
        found.push(Found::new(
            makefile.targets.contains(&target),
            format!("the Makefile has the target {target}"),
            format!("the Makefile has no target {target}"),
        ));
    }
}

/// Every deploy group of an instance is a step, and every step deploys some instance.
fn groups(
    soa: &SoaDir,
    service: &ServiceName,
    system: &SystemConfig,
    pipeline: &Pipeline,
    found: &mut Vec<Found>,
) {
    let Ok(targets) = soa.targets(service, system) else {
        return; // The directory cannot be listed: said by validate.
    };
    let used: BTreeSet<&str> = targets
        .list
        .iter()
        .map(|target| target.deploy_group.as_str())
        .collect();
    let missing: Vec<String> = used
        .iter()
        .filter_map(|group| pipeline.missing(group))
        .collect();
    found.push(Found::new(
        missing.is_empty(),
        "every instance's deploy group is a step of deploy.yaml",
        missing.join("; "),
    ));
    let idle: Vec<String> = pipeline
        .deploy_groups()
        .filter(|group| !used.contains(group))
        .map(|group| {
            let near = names::hint(group, used.iter().copied());
            format!("the step {group} of deploy.yaml is no instance's deploy group{near}")
        })
        .collect();
    found.push(Found::new(
        idle.is_empty(),
        "every step of deploy.yaml deploys an instance",
        idle.join("; "),
    ));
}

/// Somebody is told when it fails, and clients find it.
fn watched(soa: &SoaDir, service: &ServiceName, system: &SystemConfig, found: &mut Vec<Found>) {
    let clusters = soa.clusters(service, system).unwrap_or_default();
    let loads = clusters
        .iter()
        .map(|cluster| soa.load(service, cluster, system));
    let configs: Vec<_> = loads
        .flat_map(|load| load.instances.into_values().flatten())
        .collect();
    found.push(Found::new(
        configs
            .iter()
            .all(|config| config.monitoring.team.is_some()),
        "monitoring.yaml names the team",
        format!("{service}/monitoring.yaml names no team: its alerts reach no one"),
    ));
    let announced = soa.namespaces(service).map(|all| {
        all.values().any(|one| {
            one.as_ref()
                .is_ok_and(|one| one.options.proxy_port.is_some())
        })
    });
    found.push(Found::new(
        // Without the file it is a worker, which is fine.
        announced.unwrap_or(true)
            || !soa
                .path()
                .join(service.as_str())
                .join("smartstack.yaml")
                .exists(),
        "clients find it, or it is a worker",
        format!("{service}/smartstack.yaml gives no namespace a proxy_port: no client finds it"),
    ));
}
