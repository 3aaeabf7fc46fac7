//! Looks at the containers of all hollow hosts all the time: never two of one replica, and never
//! fewer that serve than the bounce promises.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use paasta_agent::engine::fake::FakeEngine;
use paasta_agent_core::{labels::REPLICA, observed::ContainerState};
use paasta_process::clock::{Clock as _, SystemClock};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How many faults are kept.
const FOUND_MAX: usize = 20;

/// What a look finds, over all hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Running containers.
    pub running: usize,
    /// Those of them that are old enough to be happy.
    pub serving: usize,
    /// What must not be.
    pub faults: Vec<String>,
}

/// Looks until it is dropped.
pub struct Referee {
    found: Arc<Mutex<Found>>,
    looking: JoinHandle<()>,
}

#[derive(Default)]
struct Found {
    floor: Option<usize>,
    fewest: Option<usize>,
    faults: Vec<String>,
}

impl Found {
    fn judge(&mut self, seen: Look) {
        let mut faults = seen.faults;
        if let Some(floor) = self.floor {
            let fewest = self
                .fewest
                .map_or(seen.serving, |most| most.min(seen.serving));
            self.fewest = Some(fewest);
            if seen.serving < floor {
                faults.push(format!("{} serve, {floor} must", seen.serving));
            }
        }
        let room = FOUND_MAX.saturating_sub(self.faults.len());
        self.faults.extend(faults.into_iter().take(room));
    }
}

impl Referee {
    /// Watches these engines. A container counts as serving `age_ms` after it was made.
    pub fn watch(engines: Vec<FakeEngine>, age_ms: u64) -> Self {
        let found = Arc::<Mutex<Found>>::default();
        let shared = Arc::clone(&found);
        let looking = tokio::spawn(async move {
            loop {
                shared.lock().judge(look(&engines, age_ms));
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        });
        Self { found, looking }
    }

    /// From now on at least so many serve.
    pub fn expect(&self, floor: usize) {
        let mut found = self.found.lock();
        found.floor = Some(floor);
        found.fewest = None;
    }

    /// The fewest that served since this was last asked, and every fault so far.
    pub fn verdict(&self) -> (Option<usize>, Vec<String>) {
        let mut found = self.found.lock();
        (found.fewest.take(), found.faults.clone())
    }
}

impl Drop for Referee {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

/// One look at all engines.
pub fn look(engines: &[FakeEngine], age_ms: u64) -> Look {
    let now = SystemClock.now();
    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = Look::default();
    for (at, engine) in engines.iter().enumerate() {
        for (name, container) in engine.containers() {
            if container.state != ContainerState::Running {
                continue;
            }
            seen.running += 1;
            seen.serving += usize::from(now.since_ms(container.created_at) >= age_ms);
            let replica = container.spec.labels.get(REPLICA).cloned();
            let replica = replica.unwrap_or_else(|| name.clone());
            of.entry(replica)
                .or_default()
                .push(format!("{name} on host {at}"));
        }
    }
    for (replica, containers) in of {
        if containers.len() > 1 {
            seen.faults
                .push(format!("{replica} runs twice: {}", containers.join(", ")));
        }
    }
    seen
}
