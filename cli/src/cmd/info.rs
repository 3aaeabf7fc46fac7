//! `paasta info`: what yelpsoa-configs says of a service as a whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::bail;
use paasta_common::{
    config::SystemConfig,
    id::{ClusterName, ServiceName},
    soa::{SoaDir, marathon::Mode},
    url::Url,
};
use paasta_process::help::examples;
use serde::Serialize;

use super::{Context, names};
use crate::{exit::Exit, render};

/// Where services reach each other's load-balanced namespaces on every host, by custom.
const YOCALHOST: &str = "169.254.255.254";

/// Show what a service is: description, team, repository, clusters
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta info -s hello", "paasta info -s hello -d ~/yelpsoa-configs"], ""))]
pub struct Args {
    /// The service
    #[arg(short, long, value_name = "SERVICE")]
    pub service: ServiceName,
    /// The yelpsoa-configs directory [default: soa_dir of the configuration]
    #[arg(short = 'd', short_alias = 'y', long, value_name = "DIR")]
    pub soa_dir: Option<PathBuf>,
}

/// The answer, also for `--json`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Info {
    /// The service.
    pub service: String,
    /// What it is.
    pub description: Option<String>,
    /// Where to read more.
    pub external_link: Option<String>,
    /// Who is told when something is wrong: of its instances.
    pub teams: BTreeSet<String>,
    /// What to do then.
    pub runbooks: BTreeSet<String>,
    /// Where its source is; none when neither the service nor the operator says.
    pub git_url: Option<Url>,
    /// The clusters it declares instances for, and the names of those.
    pub clusters: BTreeMap<ClusterName, BTreeSet<String>>,
    /// Where it is reached through load balancers, by namespace: `mode://address:port`.
    pub endpoints: BTreeMap<String, String>,
    /// What kept some of this from being read.
    pub problems: Vec<String>,
}

/// Prints what the files say.
///
/// # Errors
/// The directory cannot be read or has no such service, or standard output is gone.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let soa = SoaDir::open(context.soa_dir(args.soa_dir.as_deref())?)?;
    let known = soa.services()?;
    if !known.contains(&args.service) {
        let hint = names::hint(args.service.as_str(), known.iter().map(ServiceName::as_str));
        bail!(
            "there is no service {} in {}{hint}",
            args.service,
            soa.path().display()
        );
    }
    let info = read(&soa, &args.service, &context.system()?)?;
    match context.global.json {
        true => context.print_json(&info)?,
        false => context.print(&render::info::render(&info, &context.view))?,
    }
    Ok(match info.problems.is_empty() {
        true => Exit::Ok,
        false => Exit::Failed,
    })
}

fn protocol(mode: Option<Mode>) -> &'static str {
    match mode {
        Some(Mode::Http) => "http",
        Some(Mode::Https) => "https",
        Some(Mode::Tcp | Mode::Cmd) | None => "tcp",
    }
}

fn read(soa: &SoaDir, service: &ServiceName, system: &SystemConfig) -> anyhow::Result<Info> {
    let general = match soa.service(service) {
        Ok(general) => general,
        Err(problem) => bail!("{problem}"),
    };
    let git_url = general.repository(service, system);
    let mut info = Info {
        service: service.to_string(),
        description: general.description,
        external_link: general.external_link,
        teams: BTreeSet::new(),
        runbooks: BTreeSet::new(),
        git_url,
        clusters: BTreeMap::new(),
        endpoints: BTreeMap::new(),
        problems: Vec::new(),
    };
    for cluster in soa.clusters(service, system)? {
        let load = soa.load(service, &cluster, system);
        info.problems
            .extend(load.all_problems().iter().map(ToString::to_string));
        let instances = load.instances.keys().map(ToString::to_string).collect();
        info.clusters.insert(cluster, instances);
        for config in load.instances.into_values().flatten() {
            info.teams.extend(config.monitoring.team);
            info.runbooks.extend(config.monitoring.settings.runbook);
        }
    }
    match soa.namespaces(service) {
        Ok(namespaces) => {
            for (name, namespace) in namespaces {
                let Ok(namespace) = namespace else { continue };
                if let Some(port) = namespace.options.proxy_port {
                    let mode = protocol(namespace.mode);
                    info.endpoints
                        .insert(name, format!("{mode}://{YOCALHOST}:{port}"));
                }
            }
        }
        Err(problem) => info.problems.push(problem.to_string()),
    }
    info.problems.sort();
    info.problems.dedup();
    Ok(info)
}
