//! `paasta-coordinator`: reads its configuration, builds the parts, runs them until told to stop.

mod command;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use paasta_common::config::SystemConfig;
use paasta_coordinator::{
    options::Options,
    run::{RunError, run},
};
use paasta_process::{
    accept::raise_limit,
    chain::chain,
    config::{self, Strictness},
    help::{self, examples},
    private, shutdown, telemetry,
};

/// The exit code where starting again cannot help: the store is damaged, or another member's. The
/// systemd unit does not restart after it.
const FINAL: u8 = 65;

/// The exit codes, for `--help`.
const EXIT_CODES: &str = "\
Exit codes:
  0   it ended by SIGTERM, or did what was asked
  1   an error; starting again may help (a full disk, an address in use)
  65  starting again cannot help: the store is damaged, or another member's";

/// A paasta coordinator: one of the three or five that hold the desired state, place work and
/// schedule bounces.
#[derive(Parser)]
#[command(name = "paasta-coordinator", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the coordinator until SIGTERM.
    #[command(after_help = examples(
        &[
            "paasta-coordinator run",
            "paasta-coordinator run --node-id 1 --listen 127.0.0.1:7401",
        ],
        "",
    ))]
    Run(Box<RunArgs>),
    /// Check what the coordinator needs here: configuration, certificate, ports, directories, room.
    #[command(after_help = examples(
        &["paasta-coordinator check", "paasta-coordinator check --strict --json"],
        "",
    ))]
    Check(Box<CheckArgs>),
    /// Read the configuration, say what is wrong with it, and exit with 1 if anything is.
    #[command(after_help = examples(
        &["paasta-coordinator check-config --config-dir /etc/paasta"],
        "",
    ))]
    CheckConfig(Box<RunArgs>),
    /// Make a cluster of this coordinator, with an authority of its own, and print the first tokens.
    Init(Box<command::init::Args>),
    /// Get an identity of a cluster by a join token.
    Join(Box<command::join::Args>),
    /// Begin the cluster again from a saved state, as a cluster of this coordinator alone.
    Restore(command::restore::Args),
    /// Begin the cluster again from what this coordinator has, when most of them are lost for good.
    Recover(command::recover::Args),
    /// Set a damaged store aside, to join the cluster again with a new id.
    Rejoin(command::rejoin::Args),
    /// Write the man pages into a directory.
    #[command(hide = true)]
    Man {
        /// The directory, made if it is not there.
        directory: PathBuf,
    },
}

/// Every flag overrides the key of the same name in the `coordinator` section.
#[derive(Args)]
struct RunArgs {
    /// The directory of configuration files, merged in name order.
    #[arg(long, env = config::DIRECTORY_VARIABLE, default_value = config::DIRECTORY_DEFAULT)]
    config_dir: PathBuf,
    /// This coordinator's id, unique in the cluster and never used again once removed.
    #[arg(long)]
    node_id: Option<u64>,
    /// The address to listen on.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// The address of the HTTP API and of /metrics, or off.
    #[arg(long, value_name = "IP:PORT|off")]
    http_listen: Option<String>,
    /// The address at which others reach this coordinator, if it is not the one it listens on.
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Where the log, the vote and the snapshots are kept.
    #[arg(long)]
    data_dir: Option<String>,
    /// The yelpsoa-configs directory.
    #[arg(long)]
    soa_dir: Option<String>,
    /// How to log to standard error.
    #[arg(long, value_name = "text|json", default_value = "text")]
    log_format: telemetry::LogFormat,
}

/// The flags of `check`.
#[derive(Args)]
struct CheckArgs {
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    flags: command::check::Flags,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    private::keep();
    let result = match cli.command {
        Verb::Run(args) => start(*args),
        Verb::Check(args) => return look(*args),
        Verb::CheckConfig(args) => check(*args),
        Verb::Init(args) => offline(command::init::run(*args)),
        Verb::Join(args) => offline(command::join::run(*args)),
        Verb::Restore(args) => offline(command::restore::run(&args)),
        Verb::Recover(args) => offline(command::recover::run(&args)),
        Verb::Rejoin(args) => offline(async { command::rejoin::run(&args) }),
        Verb::Man { directory } => help::man(Cli::command(), &directory)
            .with_context(|| format!("cannot write to {}", directory.display())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    tracing::error!("{}", chain(error.as_ref()));
    match error.downcast_ref::<RunError>() {
        Some(error) if error.is_final() => ExitCode::from(FINAL),
        _ => ExitCode::FAILURE,
    }
}

/// `check`: what is wrong is printed, and is the exit code.
fn look(args: CheckArgs) -> ExitCode {
    let mut can_run = false;
    let checked = offline(async {
        let read = system(args.run, Strictness::Warn);
        can_run = command::check::run(args.flags, read).await?;
        Ok(())
    });
    match checked {
        Ok(()) if can_run => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

fn start(args: RunArgs) -> anyhow::Result<()> {
    telemetry::init(args.log_format).context("logging")?;
    let (system, warnings) = system(args, Strictness::Warn)?;
    // Before the runtime: what is read next depends on it.
    alone(command::join::at_start(&system))?;
    let options = Options::new(system)?;
    let options = options.within(raise_limit());
    for warning in warnings {
        tracing::warn!(%warning, "configuration");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("coordinator")
        .build()
        .context("the runtime cannot start")?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signals().context("signals cannot be handled")?;
        run(options, shutdown).await?;
        anyhow::Ok(())
    })
}

/// Runs a verb that needs no running coordinator; only its errors and warnings are logged.
fn offline(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    telemetry::init(telemetry::LogFormat::Text).context("logging")?;
    alone(work)
}

/// Runs work to its end on this thread.
fn alone(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    runtime.block_on(work)
}

fn check(args: RunArgs) -> anyhow::Result<()> {
    telemetry::init(args.log_format).context("logging")?;
    let (system, _) = system(args, Strictness::Strict)?;
    // What the identity decides can be judged once there is one.
    let system = match command::join::is_due(&system) {
        true => system,
        false => Options::new(system)?.system,
    };
    let cluster = system.require_cluster();
    cluster.map_err(|problem| anyhow::anyhow!("{problem}"))?;
    Ok(())
}

/// The configuration with the flags over it, and what is wrong with it that is no error.
fn system(args: RunArgs, strictness: Strictness) -> anyhow::Result<(SystemConfig, Vec<String>)> {
    let (mut system, warnings) = config::load(Some(&args.config_dir), strictness)?;
    let ours = &mut system.coordinator;
    if let Some(id) = args.node_id {
        ours.node_id = Some(id);
    }
    if let Some(listen) = args.listen {
        // An address that was not given stands for the one that is listened on.
        if ours.advertise == ours.listen {
            ours.advertise = listen.to_string();
        }
        ours.listen = listen.to_string();
    }
    if let Some(http_listen) = args.http_listen {
        ours.http_listen = http_listen;
    }
    if let Some(advertise) = args.advertise {
        ours.advertise = advertise;
    }
    if let Some(data_dir) = args.data_dir {
        ours.data_dir = data_dir;
    }
    if let Some(soa_dir) = args.soa_dir {
        system.soa_dir = soa_dir;
    }
    let warnings = warnings.iter().map(ToString::to_string).collect();
    Ok((system, warnings))
}

#[cfg(test)]
mod tests {
    use paasta_process::reference;

    use super::*;

    #[test]
    fn every_command_has_examples_that_it_takes() {
        assert_eq!(help::faults(&Cli::command()), Vec::<String>::new());
    }
    #[test]
    fn the_reference_has_the_command_line() {
        let command = Cli::command();
        let page = help::markdown(&command);
        let part = "paasta-coordinator";
        assert_eq!(reference::stale("paasta-coordinator.md", part, &page), None);
        let codes = help::exit_codes(&command);
        assert!(codes.contains(&format!("| {FINAL} |")), "{codes}");
        assert_eq!(reference::stale("exit-codes.md", part, &codes), None);
    }
}
