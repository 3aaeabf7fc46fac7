//! One hollow host: an agent with its session, and the parts that it is made of.

use std::{fs, net::Ipv4Addr, sync::Arc};

use anyhow::{Context as _, Result};
use paasta_agent::{
    agent::{Agent, Handle, Parts, View},
    engine::fake::FakeEngine,
    lanes::Patience,
    ledger::Ledger,
    metrics::Metrics,
    session::Sessions,
    watch::Pace,
};
use paasta_agent_core::settings::HostSettings;
use paasta_common::{app::Resources, host::HostInfo, id::ClusterName};
use paasta_process::clock::{Clock, SystemClock};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Dialler, FleetOptions, Shared, dial::SourceDial, engine::HollowEngine, identities::Identities,
    tally::Tally,
};

/// Ports for containers: the agent tries to bind them. Below those that the system gives to
/// connections.
const PORTS: (u16, u16) = (21_000, 28_999);
/// Container operations at a time, as `agent.max_parallel` is by default.
const PARALLEL: usize = 16;

/// A host whose agent does not run yet.
pub struct HostParts {
    parts: Parts,
    info: HostInfo,
    coordinators: Vec<String>,
    cluster: Option<ClusterName>,
    dial: Dialler,
    metrics: Metrics,
    tally: Tally,
}

/// A host whose agent runs. Dropped, it stops.
pub struct HollowHost {
    handle: Handle,
    _stop: DropGuard,
}

impl HostParts {
    /// Host `number` of the fleet.
    ///
    /// # Errors
    /// When its certificate cannot be signed or its state directory cannot be made.
    pub(crate) fn new(
        number: u32,
        options: &FleetOptions,
        (metrics, tally, operations): Shared<'_>,
    ) -> Result<Self> {
        let name = format!("hollow-{number:05}");
        let source = address(number);
        let state_dir = options.state_dir.join(&name);
        fs::create_dir_all(&state_dir)
            .with_context(|| format!("--state-dir: {}", state_dir.display()))?;
        let sandboxes = state_dir.join("sandboxes").display().to_string();
        let info = info(&name, number, source)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let seed = options.seed.wrapping_add(u64::from(number));
        let fake = FakeEngine::new(Arc::clone(&clock));
        let engine = HollowEngine::new(fake, options.latencies, operations, seed);
        let parts = Parts {
            engine: Arc::new(engine),
            clock,
            seed,
            settings: HostSettings::new(info.id.clone(), &info.address, &sandboxes),
            mounts: Default::default(),
            state_dir,
            port_range: PORTS,
            max_parallel: PARALLEL,
            patience: Patience::default(),
            sandbox_budget_bytes: 1 << 20,
            log_budget_bytes: 1 << 20,
            collect: Default::default(),
            pace: Pace::default(),
        };
        let identities = options.identities.as_ref();
        let tls = identities.map(|signing| signing.tls(&name)).transpose()?;
        let mut coordinators = options.coordinators.clone();
        let first = usize::try_from(number)? % coordinators.len().max(1);
        coordinators.rotate_left(first);
        Ok(Self {
            parts,
            info,
            coordinators,
            cluster: identities.map(Identities::cluster).cloned(),
            dial: Arc::new(SourceDial { source, tls }),
            metrics: metrics.of_another_agent(),
            tally: tally.clone(),
        })
    }

    /// Starts its agent and the session. Inside a tokio runtime.
    ///
    /// # Errors
    /// When the agent does not start.
    pub(crate) fn start(self) -> Result<HollowHost> {
        let stop = CancellationToken::new();
        let clock = Arc::clone(&self.parts.clock);
        let ledger = Ledger::in_memory();
        let agent = Agent::start_with(self.parts, ledger, self.metrics, stop.clone())?;
        let handle = agent.handle;
        tokio::spawn(self.tally.follow(handle.view.clone(), clock));
        let sessions = Sessions {
            agent: handle.clone(),
            boot_id: self.info.id.to_string(),
            host: self.info,
            coordinators: self.coordinators,
            cluster: self.cluster,
            endpoints: None,
            dial: self.dial,
        };
        tokio::spawn(sessions.run(stop.clone()));
        Ok(HollowHost {
            handle,
            _stop: stop.drop_guard(),
        })
    }
}

impl HollowHost {
    /// Whether it has a session with a coordinator.
    pub(crate) fn is_connected(&self) -> bool {
        self.handle.metrics.is_connected()
    }

    /// How it is.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.handle.view.borrow())
    }
}

/// The address of a host, in 127.1.0.0/16.
fn address(number: u32) -> Ipv4Addr {
    let at = number + 1;
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + at)
}

/// Eight cores and 32 GiB, in one of three locations.
fn info(name: &str, number: u32, address: Ipv4Addr) -> Result<HostInfo> {
    let location = ("location".to_owned(), format!("z{}", number % 3));
    Ok(HostInfo {
        id: name.parse()?,
        machine: None,
        address: address.to_string(),
        pool: "default".to_owned(),
        attributes: [location].into(),
        capacity: Resources {
            cpus_milli: 8_000,
            mem_mb: 32_768,
            disk_mb: 100_000,
            gpus: 0,
        },
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_an_address_of_its_own_on_loopback() {
        let shown = [0, 254, 255, super::super::HOSTS_MAX - 1].map(address);
        let expected = ["127.1.0.1", "127.1.0.255", "127.1.1.0", "127.1.234.96"];
        assert_eq!(shown.map(|one| one.to_string()), expected);
        assert!(shown.iter().all(Ipv4Addr::is_loopback));
    }
}
