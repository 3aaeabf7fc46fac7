//! The container engine of a hollow host: the agent's engine in memory, whose calls take as long as
//! Docker's were measured to take.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::stream::BoxStream;
use paasta_agent::engine::{Answer, Engine, Entries, Executed, Hint, Inspected, fake::FakeEngine};
use paasta_agent_core::{
    collect::Stock,
    disk::Storage,
    observed::{LocalImage, Seen},
};
use paasta_common::{container::ContainerSpec, report::PullProgress};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{sync::watch, time::sleep};

/// How long calls take that are made one at a time, and how that grows with calls side by side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latencies {
    /// From `create` to running, milliseconds: the median, 9 of 10, and the longest.
    pub run_ms: [f64; 3],
    /// The share of that which `create` takes, 0 to 1.
    pub create_share: f64,
    /// `stop` of a container whose process ends at once, milliseconds.
    pub stop_ms: f64,
    /// `remove` of a container that does not run, milliseconds.
    pub remove_ms: f64,
    /// Each call side by side adds this part of the time of a single one.
    pub crowding: f64,
}

impl Latencies {
    /// Docker 29 on two cores with overlay2: twenty containers one after the other took 228 ms each
    /// in the median, 266 ms at the ninth decile, 299 ms at most; `create` alone 79 ms; four at a
    /// time 493 ms in the median; removing one that does not run 5 ms, one that runs 264 ms with
    /// four at a time.
    pub const DOCKER: Self = Self {
        run_ms: [228.0, 266.0, 299.0],
        create_share: 79.0 / 228.0,
        stop_ms: 120.0,
        remove_ms: 5.0,
        crowding: (493.0 / 228.0 - 1.0) / 3.0,
    };

    /// Calls that take no time.
    pub const NONE: Self = Self {
        run_ms: [0.0; 3],
        create_share: 0.0,
        stop_ms: 0.0,
        remove_ms: 0.0,
        crowding: 0.0,
    };

    /// From `create` to running, milliseconds, of the container at `share` (0 to 1) of the
    /// distribution. Below the median nothing was measured: it is the median there.
    fn run_ms(&self, share: f64) -> f64 {
        let [median, ninth, longest] = self.run_ms;
        let between = |from: f64, to: f64, at: f64| from + (to - from) * at.clamp(0.0, 1.0);
        match share {
            ..0.5 => median,
            ..0.9 => between(median, ninth, (share - 0.5) / 0.4),
            _ => between(ninth, longest, (share - 0.9) / 0.1),
        }
    }

    /// The time of a call that takes `ms` alone, with so many under way, itself among them.
    fn crowded(&self, ms: f64, under_way: usize) -> Duration {
        let others = under_way.saturating_sub(1) as f64;
        Duration::from_secs_f64(ms.max(0.0) * (1.0 + self.crowding * others) / 1000.0)
    }
}

/// Containers made and removed, by all engines. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Operations {
    created: Arc<AtomicU64>,
    removed: Arc<AtomicU64>,
}

impl Operations {
    /// Calls of `create`.
    #[must_use]
    pub fn created(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }

    /// Calls of `remove`.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.removed.load(Ordering::Relaxed)
    }
}

/// The engine of one host.
pub struct HollowEngine {
    fake: FakeEngine,
    latencies: Latencies,
    operations: Operations,
    chance: Mutex<StdRng>,
    under_way: AtomicUsize,
}

/// A call under way, until it is dropped.
struct Call<'a>(&'a AtomicUsize);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HollowEngine {
    /// Takes its times from `latencies`, by chance from `seed`.
    pub fn new(fake: FakeEngine, latencies: Latencies, operations: &Operations, seed: u64) -> Self {
        Self {
            fake,
            latencies,
            operations: operations.clone(),
            chance: Mutex::new(StdRng::seed_from_u64(seed)),
            under_way: AtomicUsize::new(0),
        }
    }

    /// Passes the time of a call that takes `ms` alone.
    async fn pass(&self, ms: f64) {
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        let _call = Call(&self.under_way);
        let takes = self.latencies.crowded(ms, under_way);
        if !takes.is_zero() {
            sleep(takes).await;
        }
    }

    /// From `create` to running, milliseconds, of one more container.
    fn draw(&self) -> f64 {
        let share = self.chance.lock().random::<f64>();
        self.latencies.run_ms(share)
    }
}

impl Engine for HollowEngine {
    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> Answer<'a, String> {
        Box::pin(async move {
            self.operations.created.fetch_add(1, Ordering::Relaxed);
            self.pass(self.draw() * self.latencies.create_share).await;
            self.fake.create(spec).await
        })
    }

    fn start<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let rest = 1.0 - self.latencies.create_share;
            self.pass(self.draw() * rest).await;
            self.fake.start(container).await
        })
    }

    fn stop<'a>(&'a self, container: &'a str, grace_ms: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            self.pass(self.latencies.stop_ms).await;
            self.fake.stop(container, grace_ms).await
        })
    }

    fn remove<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            self.operations.removed.fetch_add(1, Ordering::Relaxed);
            self.pass(self.latencies.remove_ms).await;
            self.fake.remove(container).await
        })
    }

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
        self.fake.pull(image, progress)
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
    fn exec<'a>(
        &'a self,
        container: &'a str,
        command: &'a str,
        patience: Duration,
    ) -> Answer<'a, Executed> {
        self.fake.exec(container, command, patience)
    }
    fn logs<'a>(&'a self, container: &'a str, since_s: u64, follow: bool) -> Entries<'a> {
        self.fake.logs(container, since_s, follow)
    }
    fn hints<'a>(&'a self, host: &'a str) -> BoxStream<'a, Hint> {
        self.fake.hints(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_that_were_measured() {
        let docker = Latencies::DOCKER;
        let shown = [0.0, 0.5, 0.9, 1.0].map(|share| docker.run_ms(share).round());
        assert_eq!(shown, [228.0, 228.0, 266.0, 299.0]);
        let at_once = [1, 4].map(|calls| docker.crowded(228.0, calls).as_millis());
        assert_eq!(at_once, [228, 493]);
        assert_eq!(Latencies::NONE.crowded(0.0, 9), Duration::ZERO);
    }
}
