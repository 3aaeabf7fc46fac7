//! What runs use of the disk is measured now and then, one run after the other, and how full the
//! engine's own disk is.

use std::{path::PathBuf, sync::Arc, time::Duration};

use paasta_agent_core::{
    disk::{Storage, is_watched},
    labels::sandbox_name,
    observed::Event,
    state::Stage,
};
use paasta_common::{
    id::ReplicaId,
    report::{HostPart, Runtime},
};
use paasta_process::simulated;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::actor::{Actor, Disks};
use crate::{
    engine::{Engine, EngineError},
    inbox::Happened,
    lanes::within,
    usage,
};

/// How long the engine may take to say what one writable layer holds, or how it keeps them.
const ENGINE_MAX: Duration = Duration::from_secs(30);
/// How long the agent waits for the size of a sandbox: the walk ends by itself before, unless the
/// file system hangs.
const SANDBOX_MAX: Duration = Duration::from_secs(15);

/// A run to be measured.
struct Measurable {
    replica: ReplicaId,
    run: u64,
    container: String,
    sandbox: PathBuf,
}

impl Actor {
    /// Begins the next round of measurements when it is time and the last one has ended.
    pub(super) fn measure_disks(&mut self) {
        let now = Instant::now();
        let every = self.parts.pace.disks;
        let early = self.disks.began.is_some_and(|at| now < at + every);
        if early || self.disks.under_way || self.observed.degraded {
            return;
        }
        self.disks = Disks {
            began: Some(now),
            under_way: true,
        };
        let round = Round {
            engine: Arc::clone(&self.parts.engine),
            inbox: self.inbox.clone(),
        };
        tokio::spawn(round.run(self.measurable()));
    }

    /// The runs that have a limit here.
    fn measurable(&self) -> Vec<Measurable> {
        let settings = &self.parts.settings;
        let sandboxes = PathBuf::from(&settings.sandboxes);
        let records = self.state.records.iter();
        let measurable = records.filter_map(|(id, record)| {
            let Stage::Running { container, .. } = &record.stage else {
                return None;
            };
            let limit_mb = self.state.assigned(*id)?.spec.resources.disk_mb;
            is_watched(settings.disk_limits, limit_mb).then(|| Measurable {
                replica: *id,
                run: record.run,
                container: container.clone(),
                sandbox: sandboxes.join(sandbox_name(*id, record.run)),
            })
        });
        measurable.collect()
    }

    /// A round has ended.
    pub(super) fn disks_measured(&mut self, storage: Option<&Storage>) {
        self.disks.under_way = false;
        let Some(storage) = storage else {
            return;
        };
        let before = self.engine_disk.runtime();
        self.engine_disk.take(storage, self.parts.clock.now());
        match (before, self.engine_disk.runtime()) {
            (Runtime::Ok, Runtime::Degraded { reason, .. }) => {
                tracing::error!(reason, "{} nearly full", HostPart::DockerDisk.name());
            }
            (Runtime::Degraded { .. }, Runtime::Ok) => {
                tracing::info!("{} has room again", HostPart::DockerDisk.name());
            }
            _ => {}
        }
    }
}

/// One round of measurements.
struct Round {
    engine: Arc<dyn Engine>,
    inbox: mpsc::Sender<Happened>,
}

impl Round {
    async fn run(self, measurable: Vec<Measurable>) {
        let storage = match within(ENGINE_MAX, self.engine.storage()).await {
            Ok(storage) => Some(storage),
            Err(error) => {
                tracing::warn!(%error, "the disk of dockerd cannot be measured");
                None
            }
        };
        for one in measurable {
            let Some(used_bytes) = self.measure(&one).await else {
                continue;
            };
            let event = Event::DiskMeasured {
                replica: one.replica,
                run: one.run,
                used_bytes,
            };
            // When the agent is gone nobody waits for the answer.
            if self.inbox.send(Happened::Event(event)).await.is_err() {
                return;
            }
        }
        let _ = self.inbox.send(Happened::DisksMeasured(storage)).await;
    }

    /// Bytes of the writable layer and the sandbox; none where one of them is not known.
    async fn measure(&self, one: &Measurable) -> Option<u64> {
        let (replica, run) = (one.replica, one.run);
        let layer = match within(ENGINE_MAX, self.engine.layer_bytes(&one.container)).await {
            Ok(bytes) => bytes,
            // It ended meanwhile.
            Err(EngineError::Missing(_)) => return None,
            Err(error) => {
                tracing::warn!(%replica, run, %error, "the disk of a run cannot be measured");
                return None;
            }
        };
        let path = one.sandbox.clone();
        let walk = simulated::blocking(move || usage::bytes_in(&path));
        let sandbox = match timeout(SANDBOX_MAX, walk).await {
            Ok(Ok(Ok(bytes))) => bytes,
            Ok(Ok(Err(error))) => {
                tracing::warn!(%replica, run, %error, "the sandbox of a run cannot be measured");
                return None;
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(%replica, run, "the sandbox of a run is not measured in time");
                return None;
            }
        };
        Some(layer.saturating_add(sandbox))
    }
}
