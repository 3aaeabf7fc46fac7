//! `paasta list`: names, one per line.

use std::{collections::BTreeSet, path::PathBuf};

use paasta_common::{config::SystemConfig, id::ServiceName, soa::SoaDir};
use paasta_process::help::examples;
use serde::Serialize;

use super::{
    Context,
    fleet::{self, Join},
    names,
    status::select::check_cluster,
};
use crate::{exit::Exit, render};

const EXAMPLES: &[&str] = &[
    "paasta list                  # services that have an instance in this cluster",
    "paasta list -i -s hello      # their instances, SERVICE.INSTANCE",
    "paasta list -i -d ~/yelpsoa-configs   # what a directory declares; no cluster is asked",
];

/// List services or instances
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = examples(EXAMPLES, ""))]
pub struct Args {
    /// Only this service
    #[arg(short, long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Only these clusters [default: all that are configured]
    #[arg(short, long, alias = "cluster", value_name = "CLUSTER,...")]
    #[arg(value_delimiter = ',', conflicts_with_all = ["all", "soa_dir"])]
    pub clusters: Vec<String>,
    /// Print SERVICE.INSTANCE of every instance
    #[arg(short = 'i', long, conflicts_with = "all")]
    pub print_instances: bool,
    /// Every service of the yelpsoa-configs directory, also those without any instance
    #[arg(short, long)]
    pub all: bool,
    /// What this yelpsoa-configs directory declares, in any cluster; no coordinator is asked
    #[arg(short = 'd', short_alias = 'y', long, value_name = "DIR")]
    pub soa_dir: Option<PathBuf>,
    /// Take the answer of any coordinator, even one without a leader
    #[arg(long)]
    pub stale: bool,
}

/// Instances of a directory, for `--json`.
#[derive(Serialize)]
struct Instances<'a> {
    instances: &'a [&'a str],
}

/// Services, for `--json`.
#[derive(Serialize)]
struct Services<'a> {
    services: &'a [&'a str],
}

/// Prints names, sorted.
///
/// # Errors
/// No coordinator answered (with `--all` none is asked), the directory cannot be read, or standard
/// output is gone.
pub async fn run(args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
    if args.all || args.soa_dir.is_some() {
        return declared(args, context);
    }
    fleet::each(context, &args.clusters, Join::Union, |context, clusters| {
        let args = Args {
            clusters,
            ..args.clone()
        };
        async move { ask(&args, &context).await }
    })
    .await
}

/// Asks one cluster.
async fn ask(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let service = args.service.as_deref().unwrap_or_default();
    let names = names::all(&mut coordinators, service, args.stale).await?;
    check_cluster(&args.clusters, &names.cluster)?;
    let age = render::stale::line(names.stale.as_ref(), &context.view);
    if !age.is_empty() {
        context.note(age.trim_end());
    }
    match args.print_instances {
        true if context.global.json => context.print_json(&names)?,
        true => context.print(&lines(names.instances.iter().map(String::as_str)))?,
        false => {
            let services: BTreeSet<&str> = names::services(&names.instances).collect();
            print(&Vec::from_iter(services), context)?;
        }
    }
    if let (Some(service), true) = (&args.service, names.instances.is_empty()) {
        let all = names::all(&mut coordinators, "", args.stale).await?;
        let services: BTreeSet<&str> = names::services(&all.instances).collect();
        let hint = names::hint(service, services);
        context.note(&format!(
            "no service {service} has an instance in this cluster{hint}"
        ));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Ok)
}

/// The services of the directory: with `--all` every one, else those that declare an instance, or
/// these instances.
fn declared(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let soa = SoaDir::open(context.soa_dir(args.soa_dir.as_deref())?)?;
    let services = soa.services()?;
    let all = services.iter().map(|service| service.as_str());
    let wanted = |name: &&str| args.service.as_deref().is_none_or(|wanted| *name == wanted);
    let mut found: Vec<&str> = all.clone().filter(wanted).collect();
    let instances = match args.all {
        true => BTreeSet::new(),
        false => instances(&soa, &services, &context.system()?)?,
    };
    if !args.all {
        let declares = |name: &str| names::services_of(&instances).any(|one| one == name);
        found.retain(|name| declares(name));
    }
    match args.print_instances {
        true => {
            let of_found = |id: &&String| names::services_of([*id]).any(|one| found.contains(&one));
            let names: Vec<&str> = instances
                .iter()
                .filter(of_found)
                .map(String::as_str)
                .collect();
            match context.global.json {
                true => context.print_json(&Instances { instances: &names })?,
                false => context.print(&lines(names.into_iter()))?,
            }
        }
        false => print(&found, context)?,
    }
    match &args.service {
        Some(service) if found.is_empty() => {
            context.note(&format!(
                "there is no service {service}{}",
                names::hint(service, all)
            ));
            Ok(Exit::Failed)
        }
        _ => Ok(Exit::Ok),
    }
}

/// `SERVICE.INSTANCE` of everything that is declared for any cluster.
fn instances(
    soa: &SoaDir,
    services: &[ServiceName],
    system: &SystemConfig,
) -> anyhow::Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for service in services {
        let targets = soa.targets(service, system)?.list;
        all.extend(
            targets
                .iter()
                .map(|one| format!("{service}.{}", one.instance)),
        );
    }
    Ok(all)
}

fn print(services: &[&str], context: &Context) -> anyhow::Result<()> {
    match context.global.json {
        true => context.print_json(&Services { services }),
        false => context.print(&lines(services.iter().copied())),
    }
}

fn lines<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("{name}\n")).collect()
}
