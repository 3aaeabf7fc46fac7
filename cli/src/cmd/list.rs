//! `paasta list`: names, one per line.

use std::{collections::BTreeSet, path::PathBuf};

use paasta_common::soa::SoaDir;
use paasta_process::help::examples;
use serde::Serialize;

use super::{Context, names};
use crate::{exit::Exit, render, terminal::note};

const EXAMPLES: &[&str] = &[
    "paasta list                  # services that have an instance in this cluster",
    "paasta list -i -s hello      # their instances, SERVICE.INSTANCE",
    "paasta list -a               # every service of yelpsoa-configs",
];

/// List services or instances
#[derive(Debug, clap::Args)]
#[command(after_help = examples(EXAMPLES, ""))]
pub struct Args {
    /// Only this service
    #[arg(short, long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Print SERVICE.INSTANCE of every instance
    #[arg(short = 'i', long, conflicts_with = "all")]
    pub print_instances: bool,
    /// Every service of the yelpsoa-configs directory, also those without any instance
    #[arg(short, long)]
    pub all: bool,
    /// The yelpsoa-configs directory for --all [default: soa_dir of the configuration]
    #[arg(short = 'd', long, value_name = "DIR", requires = "all")]
    pub soa_dir: Option<PathBuf>,
    /// Take the answer of any coordinator, even one without a leader
    #[arg(long)]
    pub stale: bool,
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
    if args.all {
        return declared(args, context);
    }
    let mut coordinators = context.coordinators()?;
    let service = args.service.as_deref().unwrap_or_default();
    let names = names::all(&mut coordinators, service, args.stale).await?;
    let age = render::stale::line(names.stale.as_ref(), &context.view);
    if !age.is_empty() {
        note(age.trim_end());
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
        note(&format!(
            "no service {service} has an instance in this cluster{hint}"
        ));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Ok)
}

/// The services of the directory.
fn declared(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let all = SoaDir::open(context.soa_dir(args.soa_dir.as_deref())?)?.services()?;
    let all = all.iter().map(|service| service.as_str());
    let wanted = |name: &&str| args.service.as_deref().is_none_or(|wanted| *name == wanted);
    let found: Vec<&str> = all.clone().filter(wanted).collect();
    print(&found, context)?;
    match &args.service {
        Some(service) if found.is_empty() => {
            note(&format!(
                "there is no service {service}{}",
                names::hint(service, all)
            ));
            Ok(Exit::Failed)
        }
        _ => Ok(Exit::Ok),
    }
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
