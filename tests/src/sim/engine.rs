//! The container engine of a simulated host: the agent's own engine in memory, whose containers
//! behave as the version of their image says.

use std::{sync::Arc, time::Duration};

use futures_util::stream::BoxStream;
use paasta_agent::engine::{
    Answer, Engine, EngineError, Entries, Executed, Hint, Inspected,
    fake::{FakeContainer, FakeEngine},
};
use paasta_agent_core::{
    collect::Stock,
    disk::Storage,
    observed::{ContainerState, LocalImage, Seen},
};
use paasta_common::{container::ContainerSpec, report::PullProgress};
use tokio::sync::watch;

use super::{clock::HostClock, fleet::Quality};

/// How long a container of a crashing version lives, milliseconds.
const CRASHES_AFTER_MS: u64 = 700;

/// The engine. Clones are the same engine; it outlives its agent.
#[derive(Clone)]
pub(crate) struct SimEngine {
    pub(crate) fake: FakeEngine,
    clock: HostClock,
}

impl SimEngine {
    pub(crate) fn new(clock: HostClock) -> Self {
        Self {
            fake: FakeEngine::new(Arc::new(clock.clone())),
            clock,
        }
    }

    /// Ends the containers whose version crashes and whose time has come.
    pub(crate) fn age(&self) {
        use paasta_process::clock::Clock;
        let now = self.clock.now();
        for (name, container) in self.fake.containers() {
            let old = now.since_ms(container.created_at) >= CRASHES_AFTER_MS;
            let runs = container.state == ContainerState::Running;
            if runs && old && Quality::of_image(&container.spec.image) == Quality::Crashing {
                self.fake.crash(&name, 1);
            }
        }
    }

    fn found(&self, container: &str) -> Option<FakeContainer> {
        let held = self.fake.containers();
        held.into_values()
            .find(|held| held.spec.name == container || held.id == container)
    }
}

impl Engine for SimEngine {
    fn list<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<Seen>> {
        self.fake.list(host)
    }

    fn inspect<'a>(&'a self, container: &'a str) -> Answer<'a, Inspected> {
        self.fake.inspect(container)
    }

    fn image<'a>(&'a self, image: &'a str) -> Answer<'a, Option<LocalImage>> {
        self.fake.image(image)
    }

    fn pull<'a>(
        &'a self,
        image: &'a str,
        progress: &'a watch::Sender<PullProgress>,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            if Quality::of_image(image) == Quality::NoImage {
                return Err(EngineError::Missing(format!(
                    "manifest for {image} not found: manifest unknown"
                )));
            }
            self.fake.pull(image, progress).await
        })
    }

    fn layer_bytes<'a>(&'a self, container: &'a str) -> Answer<'a, u64> {
        self.fake.layer_bytes(container)
    }

    fn storage(&self) -> Answer<'_, Storage> {
        self.fake.storage()
    }

    fn stock(&self) -> Answer<'_, Stock> {
        self.fake.stock()
    }

    fn forget<'a>(&'a self, image: &'a str) -> Answer<'a, ()> {
        self.fake.forget(image)
    }

    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> Answer<'a, String> {
        self.fake.create(spec)
    }

    fn start<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        self.fake.start(container)
    }

    fn stop<'a>(&'a self, container: &'a str, grace_ms: u64) -> Answer<'a, ()> {
        self.fake.stop(container, grace_ms)
    }

    fn remove<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        self.fake.remove(container)
    }

    fn exec<'a>(
        &'a self,
        container: &'a str,
        command: &'a str,
        patience: Duration,
    ) -> Answer<'a, Executed> {
        Box::pin(async move {
            let executed = self.fake.exec(container, command, patience).await?;
            let found = self.found(container);
            let well = found.is_some_and(|found| {
                found.state == ContainerState::Running
                    && Quality::of_image(&found.spec.image) != Quality::Unhealthy
            });
            Ok(Executed {
                code: if well { executed.code } else { Some(1) },
                ..executed
            })
        })
    }

    fn logs<'a>(&'a self, container: &'a str, since_s: u64, follow: bool) -> Entries<'a> {
        self.fake.logs(container, since_s, follow)
    }

    fn hints<'a>(&'a self, host: &'a str) -> BoxStream<'a, Hint> {
        self.fake.hints(host)
    }
}
