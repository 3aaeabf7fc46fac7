//! The load balancer of a simulated host: takes the endpoints that its agent receives, some time
//! later each time, finishes what it has for a server that leaves, and lives on when the agent dies.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use paasta_agent::endpoints::ProxyLink;
use paasta_common::{
    endpoints::{BackendReport, BackendState, EndpointSet, EndpointState, ProxyReport},
    id::ReplicaId,
};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use super::world::World;
use crate::checkers::i13_routed::Route;

/// Between two looks at what is finished.
const LOOK: Duration = Duration::from_millis(50);

/// What the load balancer has. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Balancer(Arc<Mutex<Servers>>);

#[derive(Default)]
struct Servers {
    /// The last set that is in effect.
    set: Option<Arc<EndpointSet>>,
    servers: BTreeMap<ReplicaId, Server>,
}

#[derive(Debug, Clone, Copy)]
struct Server {
    up: bool,
    /// When each request that it has will be finished: so many, by this virtual time.
    sessions: u32,
    until_ms: u64,
}

impl Balancer {
    /// The host died, and everything on it.
    pub(crate) fn die(&self) {
        *self.0.lock() = Servers::default();
    }

    /// The last set that was in effect.
    pub(crate) fn set(&self) -> Option<EndpointSet> {
        self.0.lock().set.as_deref().cloned()
    }

    /// What it does with a replica; none when nothing.
    pub(crate) fn route(&self, id: ReplicaId) -> Option<Route> {
        let held = self.0.lock();
        let server = held.servers.get(&id)?;
        match (server.up, server.sessions) {
            (true, _) => Some(Route::Routed),
            (false, 0) => None,
            (false, sessions) => Some(Route::Finishing(sessions)),
        }
    }

    /// Serves until the agent dies. Every fourth host is slow to take what it receives.
    pub(crate) async fn serve(self, world: Arc<World>, at: usize, mut link: ProxyLink, boot: u64) {
        let seed = world.shape.seed ^ ((at as u64) << 32) ^ (boot << 40);
        let mut chance = StdRng::seed_from_u64(seed);
        let slowest = if at % 4 == 3 { 3_000 } else { 200 };
        loop {
            let wanted = link.sets.borrow_and_update().clone();
            let held = self.0.lock().set.clone();
            if let Some(wanted) = wanted.filter(|wanted| held.as_ref() != Some(wanted)) {
                sleep(Duration::from_millis(chance.random_range(5..slowest))).await;
                self.0
                    .lock()
                    .apply(wanted, world.clock.elapsed_ms(), &mut chance);
            }
            let report = self.0.lock().report(world.clock.elapsed_ms());
            link.answers.send_if_modified(|last| {
                let news = **last != report;
                if news {
                    *last = Arc::new(report);
                }
                news
            });
            tokio::select! {
                biased;
                changed = link.sets.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
                () = sleep(LOOK) => {}
            }
        }
    }
}

impl Servers {
    fn apply(&mut self, wanted: Arc<EndpointSet>, now_ms: u64, chance: &mut StdRng) {
        let mut up: BTreeMap<ReplicaId, bool> = BTreeMap::new();
        for namespace in wanted.namespaces.values() {
            for (id, endpoint) in &namespace.endpoints {
                *up.entry(*id).or_default() |= endpoint.state == EndpointState::Up;
            }
        }
        for (id, server) in &mut self.servers {
            if server.up && up.get(id) != Some(&true) {
                server.up = false;
                server.sessions = chance.random_range(0..4);
                server.until_ms = now_ms + chance.random_range(10..2_500);
            }
        }
        for (id, _) in up.iter().filter(|(_, up)| **up) {
            let server = Server {
                up: true,
                sessions: 0,
                until_ms: 0,
            };
            self.servers.insert(*id, server);
        }
        self.set = Some(wanted);
    }

    fn report(&mut self, now_ms: u64) -> ProxyReport {
        for server in self.servers.values_mut().filter(|server| !server.up) {
            if now_ms >= server.until_ms {
                server.sessions = 0;
            }
        }
        self.servers
            .retain(|_, server| server.up || server.sessions > 0);
        let finishing = self.servers.iter().filter(|(_, server)| !server.up);
        ProxyReport {
            version: self.set.as_ref().map(|set| set.version),
            complete: true,
            backends: finishing
                .map(|(id, server)| {
                    let backend = BackendReport {
                        state: BackendState::Maint,
                        sessions: server.sessions,
                    };
                    (*id, backend)
                })
                .collect(),
            ..ProxyReport::default()
        }
    }
}
