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

/// A container that runs.
struct Running {
    /// The engine's number.
    host: usize,
    name: String,
    replica: String,
    serves: bool,
}

/// One look at all engines.
pub fn look(engines: &[FakeEngine], age_ms: u64) -> Look {
    let now = SystemClock.now();
    let running = engines.iter().enumerate().flat_map(|(host, engine)| {
        let all = engine.containers().into_iter();
        let running = all.filter(|(_, one)| one.state == ContainerState::Running);
        running.map(move |(name, one)| Running {
            host,
            replica: one.spec.labels.get(REPLICA).unwrap_or(&name).clone(),
            name,
            serves: now.since_ms(one.created_at) >= age_ms,
        })
    });
    judge(running)
}

fn judge(running: impl Iterator<Item = Running>) -> Look {
    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = Look::default();
    for one in running {
        seen.running += 1;
        seen.serving += usize::from(one.serves);
        let where_it_is = format!("{} on host {}", one.name, one.host);
        of.entry(one.replica).or_default().push(where_it_is);
    }
    for (replica, containers) in of {
        if containers.len() > 1 {
            let text = format!("{replica} runs twice: {}", containers.join(", "));
            seen.faults.push(text);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(host: usize, replica: &str) -> Running {
        Running {
            host,
            name: format!("paasta-hello.main-{replica}-1"),
            replica: replica.to_owned(),
            serves: true,
        }
    }

    #[test]
    fn two_containers_of_a_replica_and_too_few_that_serve_are_faults() {
        let fine = judge([running(0, "r1"), running(1, "r2")].into_iter());
        assert_eq!((fine.running, fine.serving, fine.faults.len()), (2, 2, 0));
        let twice = judge([running(0, "r1"), running(1, "r1")].into_iter());
        let said = "r1 runs twice: paasta-hello.main-r1-1 on host 0, \
                    paasta-hello.main-r1-1 on host 1";
        assert_eq!(twice.faults, [said]);
        let mut found = Found {
            floor: Some(3),
            ..Found::default()
        };
        found.judge(fine);
        assert_eq!(found.faults, ["2 serve, 3 must"]);
        assert_eq!(found.fewest, Some(2));
    }
}
