//! What `paasta-agent` can be told to do, one file each.

mod check;
mod explain;
mod images;
mod join;
mod left;
mod reap;
mod removal;
mod run;

pub use check::{CheckArgs, check};
pub use explain::{ExplainArgs, explain};
pub use images::{ImagesArgs, images};
pub use join::{JoinArgs, join};
pub use reap::{ReapArgs, reap};
pub use run::{RunArgs, run};

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use paasta_agent_core::state::LocalState;
use paasta_common::{config::SystemConfig, id::HostId};
use paasta_process::{
    clock::{Clock, SystemClock},
    config::{self, Strictness},
};

use crate::{ledger::Ledger, options::Options};

/// Where the configuration comes from. Every flag overrides the key of the same name in the
/// `agent` section.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The directory of configuration files, merged in name order. Default: the environment's
    /// PAASTA_SYSTEM_CONFIG_DIR, or /etc/paasta if it exists.
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// This host's id, unique in the cluster.
    #[arg(long)]
    host_id: Option<HostId>,
    /// Where its containers' ports are reached.
    #[arg(long)]
    address: Option<String>,
    /// The ledger and the sandboxes.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    /// dockerd's socket.
    #[arg(long, value_name = "PATH")]
    docker_socket: Option<String>,
    /// The address of /metrics, or off.
    #[arg(long, value_name = "IP:PORT|off")]
    http_listen: Option<String>,
    /// Host ports for containers, both ends included.
    #[arg(long, value_name = "FIRST-LAST", value_parser = port_range)]
    port_range: Option<(u16, u16)>,
    /// The pool it belongs to.
    #[arg(long)]
    pool: Option<String>,
    /// What constraints may name; may be repeated.
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// Any coordinators, tried in turn.
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    coordinators: Vec<String>,
}

/// What the ledger holds, and the ledger itself, to be held as long as anything is done about it:
/// a running agent would do otherwise. A dry run only looks, beside a running agent.
fn at_rest(options: &Options, dry_run: bool) -> anyhow::Result<(Option<Ledger>, LocalState)> {
    if dry_run {
        return Ok((None, Ledger::peek(&options.state_dir)?));
    }
    let (ledger, opened) = Ledger::open(&options.state_dir, SystemClock.now())
        .context("stop the agent first, or ask with --dry-run")?;
    Ok((Some(ledger), opened.state))
}

/// For a command that asks the engine a few things and ends.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")
}

impl ConfigArgs {
    /// The files, with the flags over them.
    fn load(self) -> anyhow::Result<SystemConfig> {
        let (system, warnings) = self.read()?;
        for warning in warnings {
            tracing::warn!(%warning, "configuration");
        }
        Ok(system)
    }

    /// The same, and what is wrong with the files that is no error.
    fn read(self) -> anyhow::Result<(SystemConfig, Vec<String>)> {
        let directory = config::directory(self.config_dir.as_deref());
        let named = self.config_dir.is_some() || directory.exists();
        let (mut system, warnings) = match named {
            true => config::load(self.config_dir.as_deref(), Strictness::Warn)
                .context("the configuration cannot be used")?,
            // Flags alone will do.
            false => Default::default(),
        };
        let ours = &mut system.agent;
        ours.host_id = self.host_id.or(ours.host_id.take());
        ours.address = self.address.or(ours.address.take());
        ours.state_dir = self
            .state_dir
            .unwrap_or_else(|| std::mem::take(&mut ours.state_dir));
        ours.port_range = self.port_range.unwrap_or(ours.port_range);
        ours.attributes.extend(self.attributes);
        if let Some(socket) = self.docker_socket {
            ours.docker_socket = socket;
        }
        if let Some(http_listen) = self.http_listen {
            ours.http_listen = http_listen;
        }
        if let Some(pool) = self.pool {
            ours.pool = pool;
        }
        if !self.coordinators.is_empty() {
            ours.coordinators = self.coordinators;
            ours.coordinators_given = true;
        }
        let warnings = warnings.iter().map(ToString::to_string).collect();
        Ok((system, warnings))
    }
}

fn port_range(text: &str) -> Result<(u16, u16), String> {
    let parse = || {
        let (first, last) = text.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (0 < first && first <= last).then_some((first, last))
    };
    parse().ok_or_else(|| "expected FIRST-LAST, two ports in this order".to_owned())
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}
