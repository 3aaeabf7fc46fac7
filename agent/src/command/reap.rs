//! `paasta-agent reap`: containers of this host that its ledger does not account for. With
//! `--dry-run` they are only named, beside a running agent; without, they are removed, which
//! needs the agent to be stopped, as a running one does it by itself.

use std::{fmt::Write as _, time::Duration};

use anyhow::Context;
use clap::Args;
use paasta_agent_core::{
    observed::{Listing, Observed},
    reap::{Verdict, reapable},
    state::LocalState,
};
use paasta_common::id::HostId;
use paasta_process::{
    clock::{Clock, SystemClock},
    help::examples,
};

use super::{ConfigArgs, at_rest, left, removal, runtime};
use crate::{
    engine::{Engine, docker::DockerEngine},
    lanes::within,
    machine::Machine,
    options::Options,
};

/// How long the engine may take for each call.
const PATIENCE: Duration = Duration::from_secs(60);

/// The flags of `reap`.
#[derive(Debug, Args)]
#[command(after_help = examples(&[
        "paasta-agent reap --dry-run",
        "paasta-agent reap --left-by web1-old --dry-run",
    ], ""))]
pub struct ReapArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only say what would be removed.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Remove the containers that this agent left under a host id that it had before, and the
    /// ledger, where it is still that host's.
    #[arg(long, value_name = "HOST_ID")]
    left_by: Option<HostId>,
}

/// Reaps, and returns what to print.
///
/// # Errors
/// When the configuration, the ledger or the engine cannot be used.
pub fn reap(args: ReapArgs) -> anyhow::Result<String> {
    let system = args.config.load()?;
    let options = Options::new(&system)?;
    if let Some(left_by) = &args.left_by {
        let machine = Machine::open(&options.state_dir, &options.host.id)?;
        let ledger = match args.dry_run {
            true => None,
            false => left::ledger(&options.state_dir, left_by)?,
        };
        let engine = DockerEngine::new(&options.docker_socket, &options.credentials);
        let mut said = runtime()?.block_on(left::reap(&engine, &machine, left_by, args.dry_run))?;
        if let Some(ledger) = ledger {
            ledger.remove()?;
            writeln!(said, "removed the ledger of {left_by}")?;
        }
        return Ok(said);
    }
    let (_held, state) = at_rest(&options, args.dry_run)?;
    let engine = DockerEngine::new(&options.docker_socket, &options.credentials);
    runtime()?.block_on(sweep(&engine, &options, &state, args.dry_run))
}

async fn sweep(
    engine: &dyn Engine,
    options: &Options,
    state: &LocalState,
    dry_run: bool,
) -> anyhow::Result<String> {
    if state.assignment.is_none() {
        return Ok(
            "no assignment was ever accepted here: nothing is known to be an orphan\n".to_owned(),
        );
    }
    let containers = within(PATIENCE, engine.list(options.settings.host.as_str()))
        .await
        .context("containers cannot be listed")?;
    let observed = Observed {
        listing: Some(Listing::new(0, containers)),
        ..Observed::default()
    };
    let found = reapable(state, &options.settings, &observed, SystemClock.now());
    let found = found.map(|(seen, verdict)| {
        let why = match verdict {
            Verdict::Orphan => "no replica accounts for it",
            Verdict::Leftover | Verdict::Leave => "its run is over",
        };
        (seen, why)
    });
    removal::remove(engine, found, dry_run, "no orphans").await
}
