//! `scale`: how far one leader goes on this machine. Prints a table and writes JSON; figures depend
//! on the machine and on what else runs there.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use paasta_tests::{
    hollow::HOSTS_MAX,
    scale::{Plan, measure, row::Row},
};

/// Measures three coordinators with hollow hosts, a cluster for each size.
#[derive(Parser)]
#[command(name = "scale")]
struct Args {
    /// How many hosts, one cluster after the other.
    #[arg(long, value_delimiter = ',', default_value = "100,1000")]
    hosts: Vec<u32>,
    /// How many replicas are deployed; 75 fit on each host.
    #[arg(long, default_value_t = 1_000)]
    replicas: u32,
    /// For how many seconds the cluster is watched at rest.
    #[arg(long, default_value_t = 15)]
    rest_seconds: u64,
    /// Sessions and calls in plain text, to see what TLS costs.
    #[arg(long)]
    plain: bool,
    /// Where the figures go as JSON.
    #[arg(long, default_value = "target/scale.json")]
    json: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    for hosts in &args.hosts {
        ensure!(
            (1..=HOSTS_MAX).contains(hosts),
            "--hosts {hosts}: expected 1 to {HOSTS_MAX}"
        );
    }
    let mut rows = Vec::new();
    for hosts in args.hosts {
        rows.push(measure(Plan {
            hosts,
            replicas: args.replicas,
            rest: Duration::from_secs(args.rest_seconds.max(1)),
            tls: !args.plain,
            patience: Duration::from_secs(180),
        })?);
        let json = serde_json::to_string_pretty(&rows)?;
        fs::write(&args.json, json).with_context(|| args.json.display().to_string())?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}\n\n{}", machine(), Row::table(&rows))?;
    Ok(())
}

/// What the figures were measured on.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    let profile = match cfg!(debug_assertions) {
        true => "DEBUG build: not figures to quote",
        false => "release build",
    };
    format!("{cores} cores, load {load} at the end; {profile}")
}
