//! `paasta-agent check`: what this host needs to run the agent, each with what was found or the next
//! step. It changes nothing but makes the state directory, and may run beside a running agent.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, SystemTime},
};

use clap::Args;
use futures_util::future::join_all;
use paasta_common::config::SystemConfig;
use paasta_identity::{checkup::certificate, joining};
use paasta_process::{
    chain::chain,
    checkup::{self, CONFIGURATION, Finding, Findings},
    help::examples,
    http::http_address,
};
use tokio::{process::Command, time::timeout};

use super::{ConfigArgs, join, runtime};
use crate::{
    engine::{Engine as _, docker::DockerEngine},
    ledger::{Ledger, LedgerError},
    options::Options,
    session::{Dial, PlainDial, TlsDial},
};

/// Timeout of one request to Docker, to HAProxy and to a coordinator.
const LIMIT: Duration = Duration::from_secs(5);
/// The next step of a host without an identity.
const JOIN: &str = "join a cluster: paasta-agent join --token TOKEN HOST:PORT";
/// Coordinators that are asked, at most.
const COORDINATORS_MAX: usize = 16;

/// The flags of `check`.
#[derive(Debug, Args)]
#[command(after_help = examples(&["paasta-agent check", "paasta-agent check --strict --json"], ""))]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Exit with 1 also for what the agent runs without: dockerd, coordinators, room, a clock.
    #[arg(long)]
    strict: bool,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Checks everything; what to print, and whether the agent can run here.
///
/// # Errors
/// The findings cannot be printed, or the runtime cannot start.
pub fn check(args: CheckArgs) -> anyhow::Result<(String, bool)> {
    let (strict, json) = (args.strict, args.json);
    let findings = runtime()?.block_on(findings(args.config));
    Ok(findings.outcome(strict, json)?)
}

async fn findings(config: ConfigArgs) -> Findings {
    let mut findings = Findings::default();
    let (system, warnings) = match config.read() {
        Ok(read) => read,
        Err(error) => {
            findings.misconfigured(error.as_ref());
            return findings;
        }
    };
    let Findings(mut all) = Findings::read(warnings);
    let options = match Options::new(&system) {
        Ok(options) => options,
        Err(error) => {
            let (text, next) = (chain(&error), join_first(&system));
            all.push(Finding::bad(CONFIGURATION, text, next));
            return Findings(all);
        }
    };
    let cluster = options.cluster.as_ref();
    let cluster = cluster.map_or_else(String::new, |name| format!(" of cluster {name}"));
    let host = format!("host {}{cluster}", options.host.id);
    all.push(Finding::good(CONFIGURATION, host));
    let joins = joins_at_start(&system);
    all.push(identity(&options, joins));
    all.push(checkup::private_directory("state", &options.state_dir));
    all.extend(ledger(&options.state_dir));
    all.push(checkup::space("disk", &options.state_dir));
    all.extend(ports(&system, &options));
    let (docker, proxy, coordinators, clock) = tokio::join!(
        docker(&options),
        proxy(&options),
        coordinators(&options, joins),
        checkup::clock()
    );
    all.push(docker);
    all.extend(proxy);
    all.extend(coordinators);
    all.push(clock);
    Findings(all)
}

/// What to do where the configuration is not complete.
fn join_first(system: &SystemConfig) -> Option<String> {
    let joined = system.agent.tls.is_some() || join::identity_dir(system).is_complete();
    (!joined).then(|| JOIN.to_owned())
}

/// Whether the next start joins by the token in `join_token_file`.
fn joins_at_start(system: &SystemConfig) -> bool {
    let ours = &system.agent;
    let file = ours.join_token_file.as_deref().map(Path::new);
    ours.tls.is_none() && joining::is_due(file, &join::identity_dir(system))
}

fn identity(options: &Options, joins: bool) -> Finding {
    const WHAT: &str = "certificate";
    match &options.tls {
        Some((tls, _)) => certificate(WHAT, &tls.credentials(), SystemTime::now()),
        None if joins => {
            let text = "the next start joins the cluster by agent.join_token_file";
            Finding::good(WHAT, text)
        }
        None => Finding::warning(
            WHAT,
            "this host has none: it speaks to coordinators on its loopback only",
            JOIN.to_owned(),
        ),
    }
}

/// What the ledger has; none where there is none yet.
fn ledger(state_dir: &Path) -> Option<Finding> {
    const WHAT: &str = "ledger";
    match Ledger::peek(state_dir) {
        Ok(state) => {
            let assignment = state.assignment.as_ref();
            let replicas = assignment.map_or(0, |assignment| assignment.replicas.len());
            let text = paasta_common::text::count_of(replicas, "replica");
            Some(Finding::good(WHAT, text))
        }
        Err(LedgerError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            None
        }
        // The words have the next step.
        Err(error @ (LedgerError::Damaged { .. } | LedgerError::Old { .. })) => {
            Some(Finding::warning(WHAT, chain(&error), None))
        }
        Err(error) => Some(Finding::bad(WHAT, chain(&error), None)),
    }
}

fn ports(system: &SystemConfig, options: &Options) -> Vec<Finding> {
    let ours = &system.agent;
    let keys = [
        (
            "agent.http_listen",
            &ours.http_listen,
            options.tls.is_some(),
        ),
        ("agent.hacheck_listen", &ours.hacheck_listen, false),
    ];
    let mut found = Vec::new();
    for (key, value, tls) in keys {
        match http_address(key, value, tls) {
            Ok(None) => {}
            Ok(Some(at)) => found.push(checkup::port("port", at.address, "paasta-agent")),
            Err(error) => found.push(Finding::bad("port", chain(&error), None)),
        }
    }
    found
}

async fn docker(options: &Options) -> Finding {
    const WHAT: &str = "docker";
    let engine = DockerEngine::new(&options.docker_socket, &options.credentials);
    let socket = options.docker_socket.display();
    let next = "systemctl start docker; until then no container is started or checked";
    match timeout(LIMIT, engine.storage()).await {
        Ok(Ok(storage)) => {
            let text = format!("it answers at {socket}: storage driver {}", storage.driver);
            Finding::good(WHAT, text)
        }
        Ok(Err(error)) => Finding::warning(
            WHAT,
            format!("{socket}: {}", chain(&error)),
            next.to_owned(),
        ),
        Err(_) => {
            let text = format!("{socket}: no answer within {} s", LIMIT.as_secs());
            Finding::warning(WHAT, text, next.to_owned())
        }
    }
}

/// The program of the load balancer; none where there is to be no load balancer.
async fn proxy(options: &Options) -> Option<Finding> {
    const WHAT: &str = "load balancer";
    let program = &options.proxy.as_ref()?.program;
    let asked = Command::new(program)
        .arg("-v")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let shown = program.display();
    let next = "apt-get install haproxy, or name the program in agent.proxy.program";
    Some(match timeout(LIMIT, asked).await {
        Ok(Ok(output)) if output.status.success() => {
            let said = String::from_utf8_lossy(&output.stdout);
            let first = said.lines().next().unwrap_or_default();
            Finding::good(WHAT, paasta_common::text::beginning(first, 120))
        }
        Ok(Ok(output)) => Finding::warning(
            WHAT,
            format!("{shown} -v: {}", output.status),
            next.to_owned(),
        ),
        Ok(Err(error)) => Finding::warning(WHAT, format!("{shown}: {error}"), next.to_owned()),
        Err(_) => {
            let text = format!("{shown} -v does not end within {} s", LIMIT.as_secs());
            Finding::warning(WHAT, text, next.to_owned())
        }
    })
}

/// Dials every coordinator: with a certificate, both sides are proven. A host that is still to join
/// has nothing to prove.
async fn coordinators(options: &Options, joins: bool) -> Vec<Finding> {
    if joins {
        return Vec::new();
    }
    const WHAT: &str = "coordinator";
    let dial: Box<dyn Dial> = match &options.tls {
        Some((tls, _)) => Box::new(TlsDial(tls.clone())),
        None => Box::new(PlainDial),
    };
    let next = "the agent goes on by its ledger; see that paasta-coordinator runs there";
    let addresses = options.coordinators.iter().take(COORDINATORS_MAX);
    let ask = async |address: &String| match timeout(LIMIT, dial.dial(address, LIMIT)).await {
        Ok(Ok(_)) => Finding::good(WHAT, format!("{address} answers")),
        Ok(Err(error)) => Finding::warning(WHAT, chain(&error), next.to_owned()),
        Err(_) => {
            let text = format!("{address}: no answer within {} s", LIMIT.as_secs());
            Finding::warning(WHAT, text, next.to_owned())
        }
    };
    join_all(addresses.map(ask)).await
}
