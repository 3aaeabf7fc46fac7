//! Hollow hosts, thousands in one process: whole agents with real sessions over TLS, above container
//! engines in memory. Measurements of coordinators use them in the place of hosts with Docker.
//!
//! - `host`: one host;
//! - `engine`: its container engine, whose calls take as long as Docker's were measured to take;
//! - `dial`: its connections, each host from an address of its own;
//! - `identities`: its certificate, by a test authority;
//! - `tally`: when replicas were assigned and when they became healthy;
//! - `report`: the answers of the program `hollow`.

pub mod dial;
pub mod engine;
pub mod host;
pub mod identities;
pub mod report;
pub mod tally;

use std::{path::PathBuf, sync::Arc};

use anyhow::Result;
use paasta_agent::metrics::Metrics;

use engine::{Latencies, Operations};
use host::{HollowHost, HostParts};
use identities::Identities;
use report::Report;
use tally::Tally;

/// What a fleet is made of.
#[derive(Debug)]
pub struct FleetOptions {
    /// How many hosts, 1 to [`HOSTS_MAX`].
    pub hosts: u32,
    /// `HOST:PORT` of coordinators. Host n dials them from the n-th on.
    pub coordinators: Vec<String>,
    /// The test authority of the cluster; none for plain text on loopback.
    pub identities: Option<Identities>,
    /// Where each host has its state directory. A file system in memory: with a disk, its syncs are
    /// measured.
    pub state_dir: PathBuf,
    /// How long calls of the container engines take.
    pub latencies: Latencies,
    /// The seed of all chance but that of reconnecting.
    pub seed: u64,
}

/// The most hosts of one fleet: each has an address in 127.1.0.0/16.
pub const HOSTS_MAX: u32 = 60_000;

/// Hosts whose certificates are signed and whose agents do not run yet.
pub struct Prepared {
    parts: Vec<HostParts>,
    tally: Tally,
    operations: Operations,
}

/// Hosts whose agents run. Dropped, they stop.
pub struct Fleet {
    hosts: Vec<HollowHost>,
    tally: Tally,
    operations: Operations,
}

impl Prepared {
    /// Signs a certificate for each host: some 0.2 ms of processor time each.
    ///
    /// # Errors
    /// When a certificate cannot be signed or a state directory cannot be made.
    pub fn new(options: &FleetOptions) -> Result<Self> {
        anyhow::ensure!(
            (1..=HOSTS_MAX).contains(&options.hosts),
            "--hosts {}: expected 1 to {HOSTS_MAX}",
            options.hosts
        );
        anyhow::ensure!(
            !options.coordinators.is_empty(),
            "--coordinators: expected HOST:PORT of at least one coordinator"
        );
        let (tally, operations) = (Tally::default(), Operations::default());
        let metrics = Metrics::new();
        let parts = (0..options.hosts)
            .map(|number| HostParts::new(number, options, (&metrics, &tally, &operations)));
        Ok(Self {
            parts: parts.collect::<Result<_>>()?,
            tally,
            operations,
        })
    }

    /// Starts the agent of every host, all at once. Inside a tokio runtime.
    ///
    /// # Errors
    /// When an agent does not start.
    pub fn start(self) -> Result<Fleet> {
        let hosts = self.parts.into_iter().map(HostParts::start);
        Ok(Fleet {
            hosts: hosts.collect::<Result<_>>()?,
            tally: self.tally,
            operations: self.operations,
        })
    }
}

impl Fleet {
    /// Forgets the times of replicas so far: the next report has those from now on.
    pub fn mark(&self) {
        self.tally.clear();
    }

    /// How the fleet is, with times since `since_ms` (Unix, milliseconds).
    #[must_use]
    pub fn report(&self, since_ms: u64) -> Report {
        let (mut assigned, mut healthy) = (0, 0);
        for view in self.hosts.iter().map(HollowHost::view) {
            assigned += view.reports.len();
            healthy += tally::healthy(&view);
        }
        Report {
            hosts: self.hosts.len(),
            connected: self.hosts.iter().filter(|host| host.is_connected()).count(),
            assigned,
            healthy,
            assigned_after: self.tally.assigned_after(since_ms),
            healthy_after: self.tally.healthy_after(since_ms),
            created: self.operations.created(),
            removed: self.operations.removed(),
        }
    }
}

/// Metrics that all hosts share, and what they count for the report.
pub(crate) type Shared<'a> = (&'a Metrics, &'a Tally, &'a Operations);

/// The parts that are one for all hosts, in the form that each keeps.
pub(crate) type Dialler = Arc<dyn paasta_agent::session::Dial>;
