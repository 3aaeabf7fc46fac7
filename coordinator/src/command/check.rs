//! `paasta-coordinator check`: what this machine needs to run the coordinator, each with what was
//! found or the next step. It changes nothing, and may run beside a running coordinator.

use std::{path::Path, process::Stdio, time::Duration, time::SystemTime};

use paasta_common::config::SystemConfig;
use paasta_coordinator::options::Options;
use paasta_identity::checkup::certificate;
use paasta_process::checkup::{self, CONFIGURATION, Finding, Findings};
use tokio::{process::Command, time::timeout};

use super::{join, place::identity_dir, say};

/// Timeout of `git --version`.
const LIMIT: Duration = Duration::from_secs(5);
/// The program, as its command line begins.
const PROGRAM: &str = "paasta-coordinator";

/// What is printed, and what counts.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Flags {
    /// Exit with 1 also for what the coordinator runs without: room, git, the clock, old keys.
    #[arg(long)]
    strict: bool,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Checks everything and prints it; whether the coordinator can run here.
///
/// # Errors
/// Standard output is gone.
pub(crate) async fn run(
    flags: Flags,
    read: anyhow::Result<(SystemConfig, Vec<String>)>,
) -> anyhow::Result<bool> {
    let findings = findings(read).await;
    let (text, can_run) = findings.outcome(flags.strict, flags.json)?;
    say(&[text])?;
    Ok(can_run)
}

async fn findings(read: anyhow::Result<(SystemConfig, Vec<String>)>) -> Findings {
    let mut findings = Findings::default();
    let (system, warnings) = match read {
        Ok(read) => read,
        Err(error) => {
            findings.misconfigured(error.as_ref());
            return findings;
        }
    };
    findings = Findings::read(warnings);
    // What the identity decides can be judged once there is one.
    if join::is_due(&system) {
        let text = "the next start joins the cluster by coordinator.join_token_file";
        findings.0.push(Finding::good("certificate", text));
        findings.0.extend(places(&system).await);
        return findings;
    }
    match Options::new(system) {
        Err(error) => findings.misconfigured(&error),
        Ok(options) => {
            findings.0.push(member(&options));
            findings.0.push(identity(&options));
            findings
                .0
                .push(checkup::port("port", options.listen, PROGRAM));
            let http = options.http_listen;
            findings
                .0
                .extend(http.map(|at| checkup::port("port", at.address, PROGRAM)));
            findings.0.extend(places(&options.system).await);
        }
    }
    findings
}

fn member(options: &Options) -> Finding {
    const WHAT: &str = CONFIGURATION;
    match options.system.require_cluster() {
        Ok(cluster) => Finding::good(
            WHAT,
            format!("coordinator {} of cluster {cluster}", options.raft.node_id),
        ),
        Err(problem) => Finding::bad(WHAT, problem, "set `cluster`".to_owned()),
    }
}

fn identity(options: &Options) -> Finding {
    const WHAT: &str = "certificate";
    match &options.tls {
        Some((tls, _)) => certificate(WHAT, &tls.credentials(), SystemTime::now()),
        None => Finding::warning(
            WHAT,
            "this coordinator has none: it listens on loopback only",
            "paasta-coordinator init for a new cluster, else paasta-coordinator join".to_owned(),
        ),
    }
}

/// Directories, room, git and the clock.
async fn places(system: &SystemConfig) -> Vec<Finding> {
    let data = Path::new(&system.coordinator.data_dir);
    let (git, clock) = tokio::join!(git(), checkup::clock());
    vec![
        checkup::private_directory("identity", identity_dir(system).path()),
        checkup::private_directory("data", data),
        checkup::space("disk", data),
        services(Path::new(&system.soa_dir)),
        git,
        clock,
    ]
}

fn services(path: &Path) -> Finding {
    const WHAT: &str = "yelpsoa-configs";
    let shown = path.display();
    match std::fs::read_dir(path) {
        Ok(entries) => {
            let services = entries.filter_map(Result::ok);
            let count = services.filter(|entry| entry.path().is_dir()).count();
            let text = paasta_common::text::count_of(count, "directory");
            Finding::good(WHAT, format!("{shown}: {text}"))
        }
        Err(error) => Finding::warning(
            WHAT,
            format!("{shown}: {error}"),
            "clone it there, readable for the user paasta, or set soa_dir".to_owned(),
        ),
    }
}

async fn git() -> Finding {
    const WHAT: &str = "git";
    let asked = Command::new("git")
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let next = "apt-get install git: refs of services are read by it";
    match timeout(LIMIT, asked).await {
        Ok(Ok(output)) if output.status.success() => {
            let said = String::from_utf8_lossy(&output.stdout);
            Finding::good(WHAT, paasta_common::text::beginning(said.trim(), 80))
        }
        Ok(Ok(output)) => Finding::warning(WHAT, output.status, next.to_owned()),
        Ok(Err(error)) => Finding::warning(WHAT, error, next.to_owned()),
        Err(_) => Finding::warning(WHAT, "it does not answer", next.to_owned()),
    }
}
