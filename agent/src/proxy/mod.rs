//! The host's load balancer: HAProxy, as a process of its own that outlives the agent. One task
//! (`keeper`) owns it: it starts or adopts the process (`process`), compares what it shows
//! ([`api`]) with what is wanted, and does what `paasta_agent_core::proxy` decides.

pub mod api;
mod commands;
mod files;
mod job;
mod keeper;
mod log;
mod observe;
mod own;
mod ports;
mod process;
mod rendered;
mod setup;
#[cfg(test)]
mod sizes;
mod standing;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use paasta_agent_core::proxy::config::{Problems, ProxySettings};
use paasta_common::{
    endpoints::{BackendReport, EndpointSet, EndpointVersion},
    id::ReplicaId,
};
use paasta_process::chain::chain;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{endpoints::ProxyLink, view::View};

pub use files::{CONFIG_FILE, SET_FILE};
pub use process::{MASTER_SOCKET, PID_FILE};
pub use setup::SetupError;

/// How the load balancer stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxyView {
    /// The version of the set that the rest is about; none before a coordinator has sent one.
    pub version: Option<EndpointVersion>,
    /// The servers that are not as wanted.
    pub backends: BTreeMap<ReplicaId, BackendReport>,
    /// The namespaces that are not served as wanted.
    pub problems: Problems,
    /// What fails of the whole of it.
    pub degraded: Option<String>,
    /// The namespaces that are served, and their servers: up, out of service and failing.
    pub counts: Counts,
}

/// Figures of the load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Namespaces with a frontend.
    pub namespaces: u64,
    /// Servers that get requests.
    pub up: u64,
    /// Servers that are out of service.
    pub maint: u64,
    /// Servers that fail.
    pub down: u64,
    /// Reloads since the agent started.
    pub reloads: u64,
    /// Reloads that failed since the agent started.
    pub failed_reloads: u64,
    /// Starts of the process since the agent started.
    pub starts: u64,
}

/// What the load balancer is made of.
#[derive(Debug, Clone)]
pub struct ProxyParts {
    /// The settings.
    pub settings: ProxySettings,
    /// The directory of its files.
    pub directory: PathBuf,
    /// The directory of its sockets.
    pub run_directory: PathBuf,
    /// The program.
    pub program: PathBuf,
}

/// A running keeper of the load balancer.
pub struct Proxy {
    /// Shows how things stand.
    pub view: watch::Receiver<Arc<ProxyView>>,
    /// Ends when the agent stops. HAProxy goes on.
    pub task: JoinHandle<()>,
}

impl Proxy {
    /// Begins to keep the load balancer, until `shutdown`. It has what `link` gives, and answers
    /// there. `own` is the state of this host's replicas: one that fails its check leaves at once.
    pub fn start(
        parts: ProxyParts,
        link: ProxyLink,
        own: watch::Receiver<Arc<View>>,
        shutdown: CancellationToken,
    ) -> Self {
        let (published, view) = watch::channel(Arc::default());
        let keeper = keeper::Keeper::new(parts, link, own, published);
        let task = tokio::spawn(keeper.run(shutdown));
        Self { view, task }
    }
}

impl ProxyParts {
    /// The last whole set of the agent before. None before the first, and where it cannot be read,
    /// which the log says.
    pub fn last_set(&self) -> Option<EndpointSet> {
        match files::Files::new(&self.directory).read_set() {
            Ok(set) => set,
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "the last set of endpoints is not known");
                None
            }
        }
    }
}
