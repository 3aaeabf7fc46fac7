//! Hollow hosts: whole agents with real sessions over container engines in memory.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use futures_util::future::BoxFuture;
use paasta_agent::{
    agent::{Agent, Parts},
    engine::fake::FakeEngine,
    lanes::Patience,
    session::{Dial, DialError, Sessions, endpoint},
    watch::Pace,
};
use paasta_agent_core::settings::HostSettings;
use paasta_common::{app::Resources, host::HostInfo};
use paasta_process::clock::SystemClock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// Ports for containers: the agent tries to bind them.
const PORTS: (u16, u16) = (21_000, 28_999);

/// A hollow host. Dropped, its agent stops; its containers go on existing as long as the engine.
pub struct HollowHost {
    /// What its containers do.
    pub engine: FakeEngine,
    stop: CancellationToken,
    talking: JoinHandle<()>,
}

/// Where coordinators are, by the names that they call themselves.
#[derive(Clone, Debug)]
pub struct Names(pub Vec<(String, SocketAddr)>);

impl Dial for Names {
    fn dial<'a>(
        &'a self,
        address: &'a str,
        stale_after: Duration,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        Box::pin(async move {
            let named = self.0.iter().find(|(name, _)| name == address);
            let real = named.map_or_else(|| address.to_owned(), |(_, real)| real.to_string());
            endpoint(&real, stale_after)?
                .connect()
                .await
                .map_err(|error| DialError::Connect {
                    address: address.to_owned(),
                    words: error.to_string(),
                })
        })
    }
}

impl HollowHost {
    /// Starts the agent of the host `id` in `pool`; `dir` holds its ledger.
    pub fn start(id: &str, pool: &str, dir: &Path, coordinators: &Names) -> Result<Self> {
        let capacity = Resources {
            cpus_milli: 8_000,
            mem_mb: 16_384,
            disk_mb: 100_000,
            gpus: 0,
        };
        Self::start_with(id, pool, dir, coordinators, capacity)
    }

    /// The same, of a host that is larger or smaller.
    pub fn start_with(
        id: &str,
        pool: &str,
        dir: &Path,
        coordinators: &Names,
        capacity: Resources,
    ) -> Result<Self> {
        let addresses = coordinators.0.iter().map(|(name, _)| name.clone());
        let dial = Arc::new(coordinators.clone());
        Self::start_dialling(id, pool, dir, (addresses.collect(), dial), capacity)
    }

    /// The same, with the coordinators' addresses and another way to reach them.
    pub fn start_dialling(
        id: &str,
        pool: &str,
        dir: &Path,
        (coordinators, dial): (Vec<String>, Arc<dyn Dial>),
        capacity: Resources,
    ) -> Result<Self> {
        let clock = Arc::new(SystemClock);
        let engine = FakeEngine::new(clock.clone());
        let stop = CancellationToken::new();
        let state_dir = dir.join(id);
        std::fs::create_dir_all(&state_dir)?;
        let sandboxes = state_dir.join("sandboxes").display().to_string();
        let host = HostInfo {
            id: id.parse()?,
            machine: None,
            address: "127.0.0.1".to_owned(),
            pool: pool.to_owned(),
            attributes: Default::default(),
            capacity,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let parts = Parts {
            engine: Arc::new(engine.clone()),
            clock,
            seed: rand::random(),
            settings: HostSettings::new(host.id.clone(), &host.address, &sandboxes),
            mounts: Default::default(),
            state_dir,
            port_range: PORTS,
            max_parallel: 8,
            patience: Patience::default(),
            sandbox_budget_bytes: 1 << 20,
            log_budget_bytes: 1 << 20,
            collect: Default::default(),
            pace: Pace::default(),
        };
        let agent = Agent::start(parts, stop.clone())?;
        let sessions = Sessions {
            agent: agent.handle.clone(),
            host,
            boot_id: "boot".to_owned(),
            coordinators,
            cluster: None,
            endpoints: None,
            dial,
        };
        let talking = tokio::spawn(sessions.run(stop.clone()));
        Ok(Self {
            engine,
            stop,
            talking,
        })
    }
}

impl Drop for HollowHost {
    fn drop(&mut self) {
        self.stop.cancel();
        self.talking.abort();
    }
}
