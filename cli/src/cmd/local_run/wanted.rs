//! What a local run is a run of: the instance as its files say, in the version that is wanted.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use paasta_common::{
    app::HealthCheck,
    deployments::Deployment,
    id::{ClusterName, InstanceId, InstanceName, ServiceName},
    soa::{InstanceConfig, ServiceLoad, SoaDir, resolve},
    spec::{DesiredState, InstanceSpec},
};

use super::{Args, Context, Source};
use crate::cmd::{names, step};

/// What is to run.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Whose it is.
    pub(super) id: InstanceId,
    /// What the coordinators would have an agent run.
    pub(super) spec: InstanceSpec,
}

impl Wanted {
    /// Reads the instance's files.
    ///
    /// # Errors
    /// There is no such instance, its files are spoilt, or it is in no version.
    pub(super) fn find(
        args: &Args,
        context: &Context,
        service: &ServiceName,
        source: &Source,
    ) -> anyhow::Result<Self> {
        args.of.described(context, service)?;
        let soa = args.of.soa(context)?;
        let mut system = context.system()?;
        let cluster = match (&args.cluster, &system.cluster) {
            (Some(cluster), _) | (None, Some(cluster)) => cluster.clone(),
            (None, None) => bail!("which cluster? Give -c CLUSTER, as in marathon-CLUSTER.yaml"),
        };
        system.cluster = Some(cluster.clone());
        if matches!(source, Source::Cook(_)) {
            // What is built here needs no registry.
            system
                .docker_registry
                .get_or_insert_with(|| "localhost".to_owned());
        }
        let mut load = soa.load(service, &cluster, &system);
        let instance = instance(args, service, &cluster, &load)?;
        let config = match load.instances.remove(&instance) {
            Some(Ok(config)) => config,
            Some(Err(problems)) => bail!(said(&problems)),
            None => bail!(said(&load.problems)),
        };
        let deployment = deployment(args, &soa, service, &cluster, (&instance, &config), source)?;
        let id = InstanceId {
            service: service.clone(),
            instance,
        };
        let mut spec =
            resolve(&id, &config, &deployment, &system).map_err(|all| anyhow!(said(&all)))?;
        if let Source::Cook(tag) = source {
            Arc::make_mut(&mut spec.app).image = tag.clone();
        }
        Ok(Self { id, spec })
    }

    /// Another command than the instance's own; a shell for who only wants to look around.
    pub(super) fn command(&mut self, command: Option<String>, interactive: bool) {
        let app = Arc::make_mut(&mut self.spec.app);
        let shell = || interactive.then(|| "exec /bin/bash || exec /bin/sh".to_owned());
        if let Some(command) = command.or_else(shell) {
            app.cmd = Some(command);
            app.args = Vec::new();
        }
    }

    /// How its health is told.
    pub(super) fn check(&self) -> Option<&HealthCheck> {
        self.spec.app.health.as_ref()
    }
}

fn said(problems: &[paasta_common::problem::Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    match lines.is_empty() {
        true => "its files cannot be read; see paasta validate".to_owned(),
        false => lines.join("\n"),
    }
}

/// The instance that is named, or the only one.
fn instance(
    args: &Args,
    service: &ServiceName,
    cluster: &ClusterName,
    load: &ServiceLoad,
) -> anyhow::Result<InstanceName> {
    let known: Vec<&str> = load.instances.keys().map(InstanceName::as_str).collect();
    let place = format!("{service}/marathon-{cluster}.yaml");
    match (&args.instance, known.as_slice()) {
        (Some(name), known) if known.contains(&name.as_str()) => Ok(name.clone()),
        (Some(name), []) => bail!(
            "{place} declares no instance {name}: {}",
            said(&load.problems)
        ),
        (Some(name), known) => {
            let hint = names::hint(name.as_str(), known.iter().copied());
            bail!(
                "{place} declares no instance {name}, but {}{hint}",
                known.join(", ")
            )
        }
        (None, []) => bail!("{place} declares no instance"),
        (None, [_]) => load
            .instances
            .keys()
            .next()
            .cloned()
            .context("one is there"),
        (None, known) => bail!(
            "which instance? {place} declares {}; give -i",
            known.join(", ")
        ),
    }
}

/// The version: what is built here, the commit that is named, or what is deployed.
fn deployment(
    args: &Args,
    soa: &SoaDir,
    service: &ServiceName,
    cluster: &ClusterName,
    (instance, config): (&InstanceName, &InstanceConfig),
    source: &Source,
) -> anyhow::Result<Deployment> {
    let of = |git_sha: &str| Deployment {
        docker_image: format!("{}:{}", step::repository(service), step::tag(git_sha)),
        git_sha: git_sha.to_owned(),
        desired_state: DesiredState::Start,
        force_bounce: None,
    };
    if matches!(source, Source::Cook(_)) {
        return Ok(of("0000000000000000000000000000000000000000"));
    }
    if let Some(sha) = &args.sha {
        return Ok(of(sha));
    }
    let deployments = soa
        .deployments(service)
        .map_err(|problem| anyhow!("{problem}"))?;
    let group = &config.deploy_group;
    deployments
        .and_then(|all| all.lookup(service, cluster, instance, group))
        .with_context(|| {
            format!(
                "{service}.{instance} was never deployed (deploy group {group}): give --sha SHA, or \
                 --build in the service's repository"
            )
        })
}
