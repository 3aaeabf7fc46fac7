//! `paasta validate`: what is wrong with a yelpsoa-configs directory, said before the coordinators
//! read it.

use std::path::{Path, PathBuf};

use anyhow::bail;
use paasta_common::{
    id::ServiceName,
    problem::{Problem, Rule, Severity},
    soa::{
        SoaDir,
        kinds::Named,
        node::Mark,
        validate::{Checked, validate},
    },
};
use paasta_process::help::examples;
use serde::Serialize;

use super::{Context, names};
use crate::{exit::Exit, render, terminal::note};

/// Check a yelpsoa-configs directory
///
/// Every file is held against its schema (deploy/schemas), and against the others: deploy groups
/// are steps of deploy.yaml, names of instances are used once in a cluster, registrations are in
/// smartstack.yaml, dependencies in dependencies.yaml, secrets in secrets/. Where /etc/paasta says
/// which cluster this machine belongs to, what its operator allows is checked, too.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &["paasta validate -y ~/yelpsoa-configs", "paasta validate -y ~/yelpsoa-configs -s hello --strict"],
    "Exit codes: 0 when no file has an error (warnings may be), 1 when one has.",
))]
pub struct Args {
    /// The yelpsoa-configs directory, or the directory of one service in it
    #[arg(
        short = 'y',
        short_alias = 'd',
        long,
        alias = "soa-dir",
        value_name = "DIR",
        default_value = "."
    )]
    pub yelpsoa_config_root: PathBuf,
    /// Only this service
    #[arg(short, long, value_name = "SERVICE")]
    pub service: Option<ServiceName>,
    /// Make errors of what PaaSTA finds at deploy time only: an unknown bounce_method, cmd with
    /// args, a check by command without one; of cap_add beyond what Docker gives by default; and of
    /// a deploy_group without a pipeline in deploy.yaml
    #[arg(long)]
    pub strict: bool,
}

/// How many directories that are no services are named.
const PASSED_OVER_MAX: usize = 20;

/// Directories that are no services, each with the reason.
type PassedOver = Vec<(String, String)>;

/// A file, for `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    file: &'a str,
    ok: bool,
    note: Option<&'a str>,
    problems: &'a [Problem],
}

/// Checks every file of the services, and prints a line for each.
///
/// # Errors
/// The directory cannot be read, or holds no such service.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let system = context.system()?;
    let (soa, services, passed_over) = services(args)?;
    let mut files: Vec<Checked> = Vec::new();
    for service in &services {
        match validate(&soa, service, &system, args.strict) {
            Ok(checked) => files.extend(checked),
            // Gone since it was listed, or closed to us: no reason to say nothing of the others.
            Err(error) => {
                let source = std::error::Error::source(&error);
                let cause = source.map_or_else(String::new, |cause| format!(": {cause}"));
                let problem = Mark::file(service.as_str()).error("", format!("{error}{cause}"));
                files.push(Checked {
                    file: service.to_string(),
                    note: None,
                    problems: vec![problem.by(Rule::Unreadable)],
                });
            }
        }
    }
    if context.global.json {
        let passed: Vec<&str> = passed_over.iter().map(|(name, _)| name.as_str()).collect();
        let json = serde_json::json!({ "files": lines(&files), "passed_over": passed });
        context.print_json(&json)?;
    } else {
        for (name, why) in passed_over.iter().take(PASSED_OVER_MAX) {
            note(&format!("passed over: {} ({why})", render::plain(name)));
        }
        if let Some(more) = passed_over.len().checked_sub(PASSED_OVER_MAX + 1) {
            note(&format!("passed over: {} more directories", more + 1));
        }
        context.print(&render::validate::render(&files, &context.view))?;
    }
    match files.iter().all(Checked::ok) {
        true => Ok(Exit::Ok),
        false => Ok(Exit::Failed),
    }
}

/// What `--json` prints of these files.
pub(super) fn lines(files: &[Checked]) -> Vec<Line<'_>> {
    files.iter().map(line).collect()
}

fn line(checked: &Checked) -> Line<'_> {
    Line {
        file: &checked.file,
        ok: checked.ok(),
        note: checked.note.as_deref(),
        problems: &checked.problems,
    }
}

/// The directory, the services in it that are asked for, and the directories that are none, with
/// the reasons.
fn services(args: &Args) -> anyhow::Result<(SoaDir, Vec<ServiceName>, PassedOver)> {
    if let (None, Some((root, service))) = (&args.service, one_service(&args.yelpsoa_config_root)) {
        return Ok((SoaDir::open(root)?, vec![service], PassedOver::new()));
    }
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
        Some(service) => return Ok((soa, vec![service.clone()], PassedOver::new())),
        None => known.into_iter().filter(|one| soa.declares(one)),
    };
    let services: Vec<ServiceName> = services.collect();
    let passed_over = soa.passed_over()?;
    if services.is_empty() {
        let beside = match passed_over.len() {
            0 => String::new(),
            1 => " (1 directory has no file of a service)".to_owned(),
            n => format!(" ({n} directories have no file of a service)"),
        };
        bail!(
            "{} holds no service{beside}; -y names the yelpsoa-configs directory",
            soa.path().display()
        );
    }
    Ok((soa, services, passed_over))
}

/// The directory above and the service, when `path` is the directory of a service.
fn one_service(path: &Path) -> Option<(PathBuf, ServiceName)> {
    let ours = std::fs::read_dir(path).ok()?.flatten().any(|entry| {
        let name = entry.file_name();
        let named = name.to_str().map(Named::of);
        matches!(named, Some(Named::Ours(..))) && entry.path().is_file()
    });
    let whole = path.canonicalize().ok().filter(|_| ours)?;
    let service = ServiceName::new(whole.file_name()?.to_str()?).ok()?;
    Some((whole.parent()?.to_owned(), service))
}

/// Whether the problem is only a warning.
pub fn warns(problem: &Problem) -> bool {
    problem.severity == Severity::Warning
}
