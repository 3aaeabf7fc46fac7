//! `paasta generate-deployments`: git's refs become deployments.json, service by service.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use paasta_common::{
    id::ServiceName,
    problem::{Problem, Severity},
    soa::SoaDir,
};
use paasta_process::help::examples;
use paasta_process::{
    chain,
    deployments::{GenerateError, Outcome, generate_for_service},
};
use serde::Serialize;
use tokio::task::JoinSet;

use super::{Context, names, poke, remotes};
use crate::{exit::Exit, terminal::note};

/// How many git servers are asked at once.
const AT_ONCE: usize = 8;

/// Write deployments.json of services from the refs of their git repositories
#[derive(Debug, clap::Args)]
#[command(
    after_help = examples(
        &[
            "paasta generate-deployments -d ~/yelpsoa-configs -s hello",
            "paasta generate-deployments --status",
        ],
        "A service whose repository cannot be asked keeps its old file, byte for byte; the exit \
         code is then 1.",
    )
)]
pub struct Args {
    /// Only this service; may be given several times [default: all]
    #[arg(short, long = "service", value_name = "SERVICE", value_delimiter = ',')]
    pub services: Vec<ServiceName>,
    /// The yelpsoa-configs directory [default: soa_dir of the configuration]
    #[arg(short = 'd', long, value_name = "DIR")]
    pub soa_dir: Option<PathBuf>,
    /// Write nothing; show how the repositories answer the coordinators, which follow them
    #[arg(long, conflicts_with = "soa_dir")]
    pub status: bool,
}

/// What became of one service.
#[derive(Debug, Serialize)]
struct Line {
    service: ServiceName,
    /// written, unchanged, nothing-declared or failed.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
}

/// Generates for all that are asked for, a few at once, and prints a line each.
///
/// # Errors
/// The configuration or the directory cannot be read. A service that fails is only a line.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if args.status {
        return remotes::show(&args.services, context).await;
    }
    let system = Arc::new(context.system()?);
    let path = args
        .soa_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(&system.soa_dir));
    let soa = Arc::new(SoaDir::open(path)?);
    let known = soa.services()?;
    let wanted = if args.services.is_empty() {
        &known
    } else {
        &args.services
    };
    let mut lines = BTreeMap::new();
    let mut running = JoinSet::new();
    for service in wanted.iter().cloned() {
        if !known.contains(&service) {
            let hint = names::hint(service.as_str(), known.iter().map(ServiceName::as_str));
            let error = Some(format!("is not in {}{hint}", soa.path().display()));
            let (outcome, problems) = ("failed", Vec::new());
            lines.insert(
                service.clone(),
                Line {
                    service,
                    outcome,
                    error,
                    problems,
                },
            );
            continue;
        }
        if running.len() >= AT_ONCE {
            finish(running.join_next().await, &mut lines)?;
        }
        let (soa, system) = (soa.clone(), system.clone());
        running.spawn(async move {
            let outcome = generate_for_service(&soa, &service, &system).await;
            line(service, outcome)
        });
    }
    while let Some(done) = running.join_next().await {
        finish(Some(done), &mut lines)?;
    }
    // What was written is what the coordinators would see a little later by themselves.
    for line in lines.values().filter(|line| line.outcome == "written") {
        poke::best_effort(context, &line.service, &[]).await;
    }
    report(&lines, context)
}

fn finish(
    done: Option<Result<Line, tokio::task::JoinError>>,
    lines: &mut BTreeMap<ServiceName, Line>,
) -> anyhow::Result<()> {
    if let Some(line) = done.transpose().context("a service's task broke off")? {
        lines.insert(line.service.clone(), line);
    }
    Ok(())
}

fn line(service: ServiceName, outcome: Result<Outcome, GenerateError>) -> Line {
    let (outcome, error, problems) = match outcome {
        Ok(Outcome::Written { problems }) => ("written", None, problems),
        Ok(Outcome::Unchanged { problems }) => ("unchanged", None, problems),
        Ok(Outcome::NothingDeclared) => ("nothing-declared", None, Vec::new()),
        Err(error) => ("failed", Some(chain::chain(&error)), Vec::new()),
    };
    Line {
        service,
        outcome,
        error,
        problems,
    }
}

fn report(lines: &BTreeMap<ServiceName, Line>, context: &Context) -> anyhow::Result<Exit> {
    if context.global.json {
        context.print_json(&lines.values().collect::<Vec<_>>())?;
    } else {
        let text = |line: &Line| format!("{}: {}\n", line.service, line.outcome.replace('-', " "));
        context.print(&lines.values().map(text).collect::<String>())?;
        for line in lines.values() {
            let said = line.error.iter().cloned();
            for words in said.chain(line.problems.iter().map(ToString::to_string)) {
                note(&format!("{}: {words}", line.service));
            }
        }
    }
    let broken = |problem: &Problem| problem.severity == Severity::Error;
    let failed = |line: &Line| line.error.is_some() || line.problems.iter().any(broken);
    match lines.values().any(failed) {
        true => Ok(Exit::Failed),
        false => Ok(Exit::Ok),
    }
}
