//! What agents report, in the leader's memory only: nothing of it is ever a Raft write. It starts
//! empty with each leadership and fills from the agents' complete reports.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use paasta_common::{
    endpoints::ProxyReport,
    id::{HostId, InstanceId, ReplicaId},
    report::{HostReport, Phase, ReplicaReport},
    time::Timestamp,
};
use paasta_coordinator_core::{
    endpoints::proxies::ProxyObserved,
    plan::{
        clocks::far_off,
        observed::{HostObserved, Observed, PlanSettings},
        touched::Touched,
    },
    state::ClusterState,
};
use parking_lot::{Mutex, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

use crate::shared::Shared;

/// The observed state. Cheap to clone; all clones are the one state.
#[derive(Clone)]
pub struct Observations {
    observed: Arc<Shared<Observed>>,
    sessions: Arc<Mutex<Sessions>>,
    /// Since it was last taken; bounded, as it becomes everything.
    touched: Arc<Mutex<Touched>>,
    changed: Arc<watch::Sender<u64>>,
    /// The number of the last change of the endpoints.
    announced: Arc<watch::Sender<u64>>,
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
        let (announced, _) = watch::channel(0);
        let observed = Observed::new(Timestamp::default(), settings);
        Self {
            observed: Arc::new(Shared::new(observed)),
            sessions: Arc::default(),
            touched: Arc::new(Mutex::new(Touched::everything())),
            changed: Arc::new(changed),
            announced: Arc::new(announced),
        }
    }

    /// Forgets everything: a leadership begins.
    pub fn begin(&self, now: Timestamp) {
        self.sessions.lock().newest.clear();
        let mut observed = self.observed.write();
        *observed = Observed::new(now, observed.settings);
        drop(observed);
        *self.touched.lock() = Touched::everything();
        self.notify();
    }

    /// What is observed now. Keep the guard short and never across an await.
    pub fn read(&self) -> RwLockReadGuard<'_, Observed> {
        self.observed.read()
    }

    /// What was touched since this was last asked. One asks: the leader's loop.
    pub fn take_touched(&self) -> Touched {
        std::mem::take(&mut self.touched.lock())
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
        self.touched.lock().host(host);
        self.notify();
        number
    }

    /// Renews the lease of the host. False when a newer session has taken this one's place.
    pub fn renew(&self, host: &HostId, session: u64, now: Timestamp) -> bool {
        self.update(host, session, now, |_| Vec::new())
    }

    /// Takes in how far the clock of the host is ahead of this one, milliseconds; negative when it
    /// is behind.
    pub fn clock(&self, host: &HostId, session: u64, ahead_ms: i64) {
        if !self.is_newest(host, session) {
            return;
        }
        let mut observed = self.observed.write();
        let Some(known) = observed.hosts.get_mut(host) else {
            return;
        };
        let before = known.clock_ahead_ms.replace(ahead_ms);
        drop(observed);
        // What is only shown needs no plan.
        if far_off(before) != far_off(Some(ahead_ms)) {
            self.touched.lock().host(host);
            self.notify();
        }
    }

    /// Takes in what the host said. False when a newer session has taken this one's place.
    pub fn report(&self, host: &HostId, session: u64, report: HostReport, now: Timestamp) -> bool {
        self.update(host, session, now, |known| {
            known.runtime = report.runtime;
            known.disk_limits = report.disk_limits;
            known.accepted_generation = report.generation;
            known.complete_report |= report.complete;
            take_in(&mut known.replicas, report.replicas, report.complete)
        })
    }

    /// Whether the host has a load balancer. What it had in effect for another session is unknown:
    /// it answers anew.
    pub fn subscribe(&self, host: &HostId, session: u64, takes_endpoints: bool) {
        if !self.is_newest(host, session) {
            return;
        }
        if let Some(known) = self.observed.write().hosts.get_mut(host) {
            known.proxy = takes_endpoints.then(ProxyObserved::default);
        }
    }

    /// Endpoints were sent to the host: the last message of number `sent`, none when there was none
    /// in this call, and nothing is left up to the number `looked`.
    pub fn sent(&self, host: &HostId, session: u64, sent: Option<u64>, looked: Option<u64>) {
        if !self.is_newest(host, session) {
            return;
        }
        let mut observed = self.observed.write();
        let known = observed.hosts.get_mut(host);
        if let Some(proxy) = known.and_then(|known| known.proxy.as_mut()) {
            proxy.sent = sent.unwrap_or(proxy.sent);
            proxy.looked = looked.unwrap_or(proxy.looked);
        }
    }

    /// Takes in what the load balancer of the host reports. `leader` is epoch and term of this
    /// leader. False when a newer session has taken this one's place.
    pub fn proxy_report(
        &self,
        host: &HostId,
        session: u64,
        (report, leader): (ProxyReport, (u64, u64)),
        now: Timestamp,
    ) -> bool {
        if !self.is_newest(host, session) {
            return false;
        }
        let mut observed = self.observed.write();
        let lease_ms = observed.settings.lease_ms;
        let Observed {
            hosts, endpoints, ..
        } = &mut *observed;
        let Some(known) = hosts.get_mut(host) else {
            return true;
        };
        let was_silent = known.lease_until < now;
        known.last_seen = now;
        known.lease_until = now.after_ms(lease_ms);
        let proxy = known.proxy.get_or_insert_default();
        let (before, worked) = (proxy.reached(), proxy.degraded.is_empty());
        let mut news: Vec<ReplicaId> = proxy.take(report, leader);
        let after = proxy.reached();
        let turned = worked != proxy.degraded.is_empty();
        let confirmed = match after != before {
            true => endpoints.changed_after(before.min(after)),
            false => Some(BTreeSet::new()),
        };
        drop(observed);
        let mut touched = self.touched.lock();
        if was_silent {
            touched.host(host);
        }
        match confirmed {
            Some(confirmed) if !turned => news.extend(confirmed),
            _ => touched.add(Touched::everything()),
        }
        if news.is_empty() && !was_silent && !turned && after == before {
            return true;
        }
        for id in news {
            touched.replica(id);
        }
        drop(touched);
        self.notify();
        true
    }

    /// Brings the endpoints in step with what is known: of these instances, or of all. Returns what
    /// is observed, nothing having come in between.
    pub fn announce(
        &self,
        state: &ClusterState,
        only: Option<&BTreeSet<InstanceId>>,
        now: Timestamp,
    ) -> RwLockReadGuard<'_, Observed> {
        let mut observed = self.observed.write();
        let Observed {
            hosts, endpoints, ..
        } = &mut *observed;
        let hosts = &*hosts;
        let heard = |host: &HostId| hosts.get(host).map(HostObserved::heard);
        if endpoints.update(state, heard, only, now) {
            self.announced.send_replace(endpoints.number());
        }
        RwLockWriteGuard::downgrade(observed)
    }

    /// Changes with every change of the endpoints.
    pub fn watch_endpoints(&self) -> watch::Receiver<u64> {
        self.announced.subscribe()
    }

    /// Another machine, at `address`, was refused under the host's id.
    pub fn rival(&self, host: &HostId, address: &str, now: Timestamp) {
        if let Some(known) = self.observed.write().hosts.get_mut(host) {
            known.rival = Some((address.to_owned(), now));
        }
    }

    /// The session ended; the lease runs on.
    pub fn disconnect(&self, host: &HostId, session: u64) {
        if !self.is_newest(host, session) {
            return;
        }
        if let Some(known) = self.observed.write().hosts.get_mut(host) {
            known.connected = false;
        }
        self.touched.lock().host(host);
        self.notify();
    }

    /// Changes what is known of a host that was just heard from, in the name of its newest
    /// session. `change` says which replicas it changed; only a difference makes a plan.
    fn update(
        &self,
        host: &HostId,
        session: u64,
        now: Timestamp,
        change: impl FnOnce(&mut HostObserved) -> Vec<ReplicaId>,
    ) -> bool {
        if !self.is_newest(host, session) {
            return false;
        }
        let mut observed = self.observed.write();
        let lease_ms = observed.settings.lease_ms;
        let Some(known) = observed.hosts.get_mut(host) else {
            return true;
        };
        let was_silent = known.lease_until < now;
        let before = (
            known.runtime.clone(),
            known.accepted_generation,
            known.complete_report,
        );
        let replicas = change(known);
        let after = (
            known.runtime.clone(),
            known.accepted_generation,
            known.complete_report,
        );
        known.last_seen = now;
        known.lease_until = now.after_ms(lease_ms);
        drop(observed);
        let mut touched = self.touched.lock();
        if was_silent || before != after {
            touched.host(host);
        } else if replicas.is_empty() {
            return true;
        }
        for id in replicas {
            touched.replica(id);
        }
        drop(touched);
        self.notify();
        true
    }

    /// Whether no newer session of the host has taken this one's place.
    fn is_newest(&self, host: &HostId, session: u64) -> bool {
        self.sessions.lock().newest.get(host) == Some(&session)
    }

    fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

/// Brings in what a host says of its replicas; returns those of which that is news.
fn take_in(
    known: &mut BTreeMap<ReplicaId, ReplicaReport>,
    told: Vec<ReplicaReport>,
    complete: bool,
) -> Vec<ReplicaId> {
    let mut news = Vec::new();
    if complete {
        let listed: BTreeSet<ReplicaId> = told.iter().map(|replica| replica.id).collect();
        news.extend(known.keys().filter(|id| !listed.contains(id)));
        known.retain(|id, _| listed.contains(id));
    }
    for mut replica in told {
        let id = replica.id;
        if let Some(before) = known.get(&id) {
            keep_moments(before, &mut replica);
        }
        let differs = match replica.phase {
            Phase::Gone => known.remove(&id).is_some(),
            _ => known.insert(id, replica.clone()).as_ref() != Some(&replica),
        };
        if differs {
            news.push(id);
        }
    }
    news
}

/// A moment that is told again is the one that was told first: counted back from when a message
/// came, it would move with each message's time on its way.
fn keep_moments(before: &ReplicaReport, told: &mut ReplicaReport) {
    if before.run == told.run && before.started_at.is_some() && told.started_at.is_some() {
        told.started_at = before.started_at;
    }
    let same_try = (before.run, before.failures) == (told.run, told.failures);
    if same_try && before.next_try_at.is_some() && told.next_try_at.is_some() {
        told.next_try_at = before.next_try_at;
    }
    if let (Some(before), Some(told)) = (&before.last_end, &mut told.last_end)
        && before.run == told.run
    {
        told.at = before.at;
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
            disk_limits: None,
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
    fn a_moment_that_is_told_again_stays_and_a_clock_far_off_makes_a_plan() {
        let observations = Observations::new(PlanSettings::default());
        let host: HostId = "h1".parse().unwrap();
        let session = observations.connect(&host, Timestamp(0));
        let told = |run, started_at| HostReport {
            replicas: vec![ReplicaReport {
                id: ReplicaId(1),
                app: "hello.main.git11111111.config11111111".parse().unwrap(),
                phase: Phase::Running,
                health: paasta_common::report::Health::Healthy,
                started_at: Some(Timestamp(started_at)),
                host_port: None,
                container: None,
                run,
                failures: 0,
                next_try_at: None,
                drained: false,
                in_load_balancer: None,
                message: String::new(),
                image: Default::default(),
                last_end: None,
                troubles: Default::default(),
                other_troubles: 0,
            }],
            ..report(false, 1)
        };
        let started = |observations: &Observations| {
            observations.read().hosts[&host].replicas[&ReplicaId(1)].started_at
        };
        observations.report(&host, session, told(1, 1_000), Timestamp(1_500));
        let mut changed = observations.watch();
        changed.mark_unchanged();
        observations.report(&host, session, told(1, 1_070), Timestamp(2_000));
        assert_eq!(started(&observations), Some(Timestamp(1_000)));
        assert!(!changed.has_changed().unwrap(), "nothing is new");
        observations.report(&host, session, told(2, 2_400), Timestamp(2_500));
        assert_eq!(started(&observations), Some(Timestamp(2_400)));
        changed.mark_unchanged();
        observations.clock(&host, session, 3_000);
        assert!(!changed.has_changed().unwrap(), "that is only shown");
        observations.clock(&host, session, -7_200_000);
        assert!(changed.has_changed().unwrap());
        assert_eq!(
            observations.read().hosts[&host].clock_ahead_ms,
            Some(-7_200_000)
        );
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
