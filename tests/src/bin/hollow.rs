//! `hollow`: hosts without Docker, thousands in one process, for measurements of coordinators. It
//! signs a certificate for each, and then does what its standard input asks, a line of JSON each; it
//! ends with the input.

use std::{
    io::{self, BufRead as _, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use paasta_process::{accept::raise_limit, telemetry};
use paasta_tests::hollow::{
    Fleet, FleetOptions, Prepared,
    engine::Latencies,
    identities::Identities,
    report::{Answer, Ask},
};

/// The longest line of the input, bytes.
const LINE_MAX: u64 = 1_024;

/// Starts hosts that run real agents with real sessions, and no containers.
#[derive(Parser)]
#[command(name = "hollow")]
struct Args {
    /// How many hosts.
    #[arg(long)]
    hosts: u32,
    /// HOST:PORT of coordinators.
    #[arg(long, value_delimiter = ',', required = true)]
    coordinators: Vec<String>,
    /// The directory of the cluster's test authority (ca.pem, ca.key): every host gets a certificate.
    /// Without it hosts speak plain text, to loopback only.
    #[arg(long, value_name = "DIR", requires = "cluster")]
    tls_authority: Option<PathBuf>,
    /// The cluster of that authority.
    #[arg(long)]
    cluster: Option<String>,
    /// Where state directories are made; in memory by default, and removed at the end.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    state_dir: PathBuf,
    /// Container operations take no time; by default they take as long as Docker's.
    #[arg(long)]
    instant: bool,
    /// The seed of all chance but that of reconnecting.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads of the runtime; as many as there are cores by default.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    telemetry::init(telemetry::LogFormat::Text)?;
    raise_limit();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        builder.worker_threads(threads.max(1));
    }
    let runtime = builder.enable_all().build()?;
    let dir = tempfile::Builder::new()
        .prefix("paasta-hollow-")
        .tempdir_in(&args.state_dir)
        .with_context(|| format!("--state-dir {}", args.state_dir.display()))?;
    let prepared = Prepared::new(&FleetOptions {
        hosts: args.hosts,
        coordinators: args.coordinators,
        identities: match (&args.tls_authority, &args.cluster) {
            (Some(dir), Some(cluster)) => Some(Identities::open(dir, cluster)?),
            _ => None,
        },
        state_dir: dir.path().to_owned(),
        latencies: match args.instant {
            true => Latencies::NONE,
            false => Latencies::DOCKER,
        },
        seed: args.seed,
    })?;
    say(&Answer::Ready)?;
    let _inside = runtime.enter();
    answer(prepared)
}

/// Does what the input asks, until it ends.
fn answer(prepared: Prepared) -> Result<()> {
    let mut prepared = Some(prepared);
    let mut fleet: Option<Fleet> = None;
    while let Some(ask) = next()? {
        let running = || {
            fleet
                .as_ref()
                .context("standard input: Start must come first")
        };
        let answer = match ask {
            Ask::Start => {
                let hosts = prepared.take().context("standard input: a second Start")?;
                fleet = Some(hosts.start()?);
                Answer::Done
            }
            Ask::Mark => {
                running()?.mark();
                Answer::Done
            }
            Ask::Report(since_ms) => Answer::Report(running()?.report(since_ms)),
        };
        say(&answer)?;
    }
    Ok(())
}

fn next() -> Result<Option<Ask>> {
    let mut line = String::new();
    let input = io::stdin().lock();
    if io::Read::take(input, LINE_MAX).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let ask = serde_json::from_str(&line).with_context(|| {
        format!("standard input: {line:?}: expected \"Start\", \"Mark\" or {{\"Report\":MS}}")
    })?;
    Ok(Some(ask))
}

fn say(answer: &Answer) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(answer)?)?;
    Ok(out.flush()?)
}
