//! What agents report, in the leader's memory only: nothing of it is ever a Raft write. It starts
//! empty with each leadership and fills from the agents' complete reports.

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::{
    id::HostId,
    report::{HostReport, Phase},
    time::Timestamp,
};
use paasta_coordinator_core::plan::observed::{HostObserved, Observed, PlanSettings};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::watch;

/// The observed state. Cheap to clone; all clones are the one state.
#[derive(Clone)]
pub struct Observations {
    observed: Arc<RwLock<Observed>>,
    sessions: Arc<Mutex<Sessions>>,
    changed: Arc<watch::Sender<u64>>,
}

/// Which session of a host is the newest: an older one has nothing to say any more.
#[derive(Default)]
struct Sessions {
    last: u64,
    newest: BTreeMap<HostId, u64>,
}

impl Observations {
    /// Nothing observed yet.
    pub fn new(settings: PlanSettings) -> Self {
        let (changed, _) = watch::channel(0);
        let observed = Observed::new(Timestamp::default(), settings);
        Self {
            observed: Arc::new(RwLock::new(observed)),
            sessions: Arc::default(),
            changed: Arc::new(changed),
        }
    }

    /// Forgets everything: a leadership begins.
    pub fn begin(&self, now: Timestamp) {
        self.sessions.lock().newest.clear();
        let mut observed = self.observed.write();
        *observed = Observed::new(now, observed.settings);
        drop(observed);
        self.notify();
    }

    /// What is observed now. Keep the guard short and never across an await.
    pub fn read(&self) -> RwLockReadGuard<'_, Observed> {
        self.observed.read()
    }

    /// Changes with every observation that may change a plan.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A session of the host begins. Returns its number.
    pub fn connect(&self, host: &HostId, now: Timestamp) -> u64 {
        let number = {
            let mut sessions = self.sessions.lock();
            sessions.last += 1;
            let number = sessions.last;
            sessions.newest.insert(host.clone(), number);
            number
        };
        let mut observed = self.observed.write();
        let settings = observed.settings;
        let lease_until = now.after_ms(settings.lease_ms);
        observed
            .hosts
            .entry(host.clone())
            .and_modify(|known| {
                known.connected = true;
                known.last_seen = now;
                known.lease_until = lease_until;
            })
            .or_insert_with(|| HostObserved::new(now, &settings));
        drop(observed);
        self.notify();
        number
    }

    /// Renews the lease of the host. False when a newer session has taken this one's place.
    pub fn renew(&self, host: &HostId, session: u64, now: Timestamp) -> bool {
        self.update(host, session, |known, settings| {
            // A host that was silent is a change; one that renews in time is not.
            let was_silent = known.lease_until < now;
            known.last_seen = now;
            known.lease_until = now.after_ms(settings.lease_ms);
            was_silent
        })
    }

    /// Takes in what the host said. False when a newer session has taken this one's place.
    pub fn report(&self, host: &HostId, session: u64, report: HostReport, now: Timestamp) -> bool {
        self.update(host, session, |known, settings| {
            known.last_seen = now;
            known.lease_until = now.after_ms(settings.lease_ms);
            known.runtime = report.runtime;
            known.accepted_generation = report.generation;
            if report.complete {
                known.complete_report = true;
                known.replicas.clear();
            }
            for replica in report.replicas {
                match replica.phase {
                    Phase::Gone => known.replicas.remove(&replica.id),
                    _ => known.replicas.insert(replica.id, replica),
                };
            }
            true
        })
    }

    /// The session ended; the lease runs on.
    pub fn disconnect(&self, host: &HostId, session: u64) {
        self.update(host, session, |known, _| {
            known.connected = false;
            true
        });
    }

    /// Changes what is known of a host in the name of its newest session; `change` says whether
    /// planning should look again.
    fn update(
        &self,
        host: &HostId,
        session: u64,
        change: impl FnOnce(&mut HostObserved, &PlanSettings) -> bool,
    ) -> bool {
        if self.sessions.lock().newest.get(host) != Some(&session) {
            return false;
        }
        let mut observed = self.observed.write();
        let settings = observed.settings;
        let changed = observed
            .hosts
            .get_mut(host)
            .is_some_and(|known| change(known, &settings));
        drop(observed);
        if changed {
            self.notify();
        }
        true
    }

    fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use paasta_common::report::Runtime;

    use super::*;

    fn report(complete: bool, generation: u64) -> HostReport {
        HostReport {
            complete,
            replicas: Vec::new(),
            runtime: Runtime::Ok,
            generation,
        }
    }

    #[test]
    fn an_older_session_of_a_host_has_nothing_to_say_any_more() {
        let observations = Observations::new(PlanSettings::default());
        let host: HostId = "h1".parse().unwrap();
        let first = observations.connect(&host, Timestamp(1));
        let second = observations.connect(&host, Timestamp(2));
        assert!(!observations.report(&host, first, report(true, 9), Timestamp(3)));
        assert!(observations.report(&host, second, report(true, 4), Timestamp(3)));
        observations.disconnect(&host, first);
        let observed = observations.read();
        let known = &observed.hosts[&host];
        assert!(known.connected && known.complete_report);
        assert_eq!(known.accepted_generation, 4);
    }

    #[test]
    fn renewing_in_time_asks_for_no_plan_and_coming_back_does() {
        let observations = Observations::new(PlanSettings::default());
        let host: HostId = "h1".parse().unwrap();
        let session = observations.connect(&host, Timestamp(0));
        let mut changed = observations.watch();
        changed.mark_unchanged();
        let lease_ms = PlanSettings::default().lease_ms;
        assert!(observations.renew(&host, session, Timestamp(lease_ms / 2)));
        assert!(!changed.has_changed().unwrap());
        assert!(observations.renew(&host, session, Timestamp(lease_ms * 3)));
        assert!(changed.has_changed().unwrap());
    }

    #[test]
    fn a_new_leadership_knows_nothing() {
        let observations = Observations::new(PlanSettings::default());
        let host: HostId = "h1".parse().unwrap();
        let session = observations.connect(&host, Timestamp(0));
        observations.begin(Timestamp(5));
        assert!(observations.read().hosts.is_empty());
        assert!(!observations.renew(&host, session, Timestamp(6)));
    }
}
