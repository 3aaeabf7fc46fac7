//! The host's load balancer: HAProxy, as a process of its own that outlives the agent. One task
//! ([`keeper`]) owns it: it starts or adopts the process ([`process`]), compares what it shows
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
mod setup;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use paasta_agent_core::proxy::{
    config::{Problems, ProxySettings},
    report::Backend,
    wanted::{ServerName, Wanted},
};
use paasta_common::id::ReplicaId;
use paasta_process::chain::chain;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::view::View;

pub use files::{CONFIG_FILE, WANTED_FILE};
pub use process::{MASTER_SOCKET, PID_FILE};
pub use setup::SetupError;

/// The wanted set as a coordinator sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its number, which is given back with what became of it.
    pub number: u64,
    /// The whole of it.
    pub wanted: Arc<Wanted>,
}

/// How the load balancer stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxyView {
    /// The order that the rest is about; none before the first one.
    pub number: Option<u64>,
    /// The servers that are not as wanted.
    pub backends: BTreeMap<ReplicaId, Backend>,
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
    /// Takes the newest wanted set; what was not taken yet is replaced.
    pub orders: watch::Sender<Option<Order>>,
    /// Shows how things stand.
    pub view: watch::Receiver<Arc<ProxyView>>,
    /// The last whole set of the agent before, as far as it could be read.
    pub last: Option<Arc<Wanted>>,
    /// Ends when the agent stops. HAProxy goes on.
    pub task: JoinHandle<()>,
}

impl Proxy {
    /// Begins to keep the load balancer, until `shutdown`. `own` is the state of this host's
    /// replicas: one that fails its check leaves at once.
    pub fn start(
        parts: ProxyParts,
        own: watch::Receiver<Arc<View>>,
        shutdown: CancellationToken,
    ) -> Self {
        let (orders, received) = watch::channel(None);
        let (published, view) = watch::channel(Arc::default());
        let last = match files::Files::new(&parts.directory).read_wanted() {
            Ok(wanted) => wanted.map(Arc::new),
            Err(error) => {
                tracing::error!(
                    error = chain(&error),
                    "the last set of servers is not known"
                );
                None
            }
        };
        let keeper = keeper::Keeper::new((parts, last.clone()), received, own, published);
        let task = tokio::spawn(keeper.run(shutdown));
        Self {
            orders,
            view,
            last,
            task,
        }
    }
}
