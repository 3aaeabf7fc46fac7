//! `paasta validate`: what the coordinators would say about a yelpsoa-configs directory, said
//! before it reaches them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::bail;
use paasta_common::{
    config::SystemConfig,
    id::{ClusterName, ServiceName},
    problem::{Problem, Severity},
    soa::SoaDir,
};
use serde::Serialize;

use super::{Context, names};
use crate::{exit::Exit, render};

/// The files of a service that have no cluster in their name.
const FILES: [&str; 4] = [
    "service.yaml",
    "smartstack.yaml",
    "deploy.yaml",
    "monitoring.yaml",
];

/// Check a yelpsoa-configs directory
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 when every file is fine (warnings are), 1 when one is not.")]
pub struct Args {
    /// The yelpsoa-configs directory
    #[arg(short = 'y', long, value_name = "DIR", default_value = ".")]
    pub yelpsoa_config_root: PathBuf,
    /// Only this service
    #[arg(short, long, value_name = "SERVICE")]
    pub service: Option<ServiceName>,
}

/// What is wrong with one file; nothing when it is fine.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// The file, relative to the directory.
    pub file: String,
    /// Whether it has no errors.
    pub ok: bool,
    /// Errors and warnings, by line.
    pub problems: Vec<Problem>,
}

/// Checks every file of the services, and prints a line for each.
///
/// # Errors
/// The directory cannot be read, or holds no such service.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let system = context.system()?;
    let soa = SoaDir::open(&args.yelpsoa_config_root)?;
    let known = soa.services()?;
    let services = match &args.service {
        Some(service) if !known.contains(service) => {
            let hint = names::hint(service.as_str(), known.iter().map(ServiceName::as_str));
            bail!(
                "there is no service {service} in {}{hint}",
                soa.path().display()
            );
        }
        Some(service) => vec![service.clone()],
        None => known,
    };
    if services.is_empty() {
        bail!(
            "{} holds no service; -y names the directory",
            soa.path().display()
        );
    }
    let mut files = Vec::new();
    for service in &services {
        files.extend(check(&soa, service, &system)?);
    }
    if context.global.json {
        context.print_json(&serde_json::json!({ "files": files }))?;
    } else {
        context.print(&render::validate::render(&files, &context.view))?;
    }
    match files.iter().all(|file| file.ok) {
        true => Ok(Exit::Ok),
        false => Ok(Exit::Failed),
    }
}

/// The files of a service, each with what is wrong with it.
fn check(
    soa: &SoaDir,
    service: &ServiceName,
    system: &SystemConfig,
) -> anyhow::Result<Vec<Checked>> {
    let mut files: BTreeMap<String, BTreeSet<Problem>> = BTreeMap::new();
    for name in FILES {
        if soa.path().join(service.as_str()).join(name).exists() {
            files.entry(format!("{service}/{name}")).or_default();
        }
    }
    let mut problems: Vec<Problem> = Vec::new();
    problems.extend(soa.service(service).err());
    problems.extend(soa.namespaces(service).err());
    problems.extend(soa.pipeline(service).err().into_iter().flatten());
    problems.extend(soa.deployments(service).err());
    for cluster in soa.clusters(service, system)? {
        files
            .entry(format!("{service}/marathon-{cluster}.yaml"))
            .or_default();
        problems.extend(declared(soa, service, &cluster, system));
    }
    for problem in problems {
        files
            .entry(problem.file.clone())
            .or_default()
            .insert(problem);
    }
    let checked = files.into_iter().map(|(file, problems)| Checked {
        file,
        ok: problems
            .iter()
            .all(|problem| problem.severity == Severity::Warning),
        problems: problems.into_iter().collect(),
    });
    Ok(checked.collect())
}

fn declared(
    soa: &SoaDir,
    service: &ServiceName,
    cluster: &ClusterName,
    system: &SystemConfig,
) -> Vec<Problem> {
    soa.load(service, cluster, system).all_problems()
}
