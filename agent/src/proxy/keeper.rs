//! The task that owns the load balancer: it sees to it that HAProxy runs, compares, and has done
//! what the core decides.

mod planning;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use paasta_agent_core::proxy::{
    config::{Problems, ProxyProblemKind, ProxySettings, servable},
    plan::Memory,
    report::report,
    seen::{Processes, Seen},
    wanted::Wanted,
};
use paasta_common::{endpoints::EndpointSet, id::ReplicaId, smartstack::Namespace};
use paasta_process::chain::chain;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Counts, ProxyParts, ProxyView,
    files::Files,
    job::{self, JobEnd},
    log, observe, own, ports,
    process::{Process, runs},
    rendered::Rendered,
    standing,
};
use crate::{endpoints::ProxyLink, view::View};

/// Between two looks at the processes.
const ALIVE_EVERY: Duration = Duration::from_millis(100);
/// Between two looks at servers that finish what they have.
const DRAIN_EVERY: Duration = Duration::from_millis(50);
/// The shortest time between two looks at everything; it grows with what a look takes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A look at everything takes at most this share of the time.
const LOOK_SHARE: u32 = 20;
/// Between two looks at ports and addresses that were not to be had.
const PORTS_EVERY: Duration = Duration::from_secs(5);
/// The longest pause between two starts.
const START_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Comparisons of one round, at most: what is still to be done then waits for the next one.
const TURNS_MAX: usize = 4;

/// Owns the load balancer.
pub(super) struct Keeper {
    parts: ProxyParts,
    settings: ProxySettings,
    files: Files,
    process: Process,
    link: ProxyLink,
    own: watch::Receiver<Arc<View>>,
    published: watch::Sender<Arc<ProxyView>>,
    /// The last whole set, and whether it came from a coordinator since the agent started.
    base: Option<Arc<EndpointSet>>,
    is_fresh: bool,
    /// Its servers, and its replicas that cannot be one.
    announced: Wanted,
    unreachable: BTreeSet<ReplicaId>,
    /// The same with this host's own replicas as they are now.
    wanted: Wanted,
    /// The state of them that is in it.
    overlaid: Option<Arc<View>>,
    /// What the configuration is made from has an effect once it is rendered again.
    rendered: Rendered,
    /// Nothing that a plan depends on is other than at the last one, but for the time.
    is_planned: bool,
    /// Nothing that the report depends on is other than at the last one.
    is_reported: bool,
    processes: Option<Processes>,
    /// It ran before this agent did, and may be ahead of the set on the disk.
    is_adopted: bool,
    seen: Seen,
    looked_at: Option<Instant>,
    look_took: Duration,
    file: Option<String>,
    refused: Problems,
    /// Ports that this HAProxy has had: an old worker of it may still hold them.
    mine: BTreeSet<u16>,
    ports_at: Option<Instant>,
    memory: Memory,
    job: Option<JoinHandle<JobEnd>>,
    /// What the worker that a reload starts has at first.
    loading: Option<Wanted>,
    starts: u32,
    start_at: Instant,
    problems: Problems,
    looks: BTreeSet<Namespace>,
    wake_at: Option<Instant>,
    missing: Option<String>,
    failure: Option<String>,
    reload_failure: Option<String>,
    counts: Counts,
}

impl Keeper {
    pub(super) fn new(
        parts: ProxyParts,
        mut link: ProxyLink,
        own: watch::Receiver<Arc<View>>,
        published: watch::Sender<Arc<ProxyView>>,
    ) -> Self {
        let files = Files::new(&parts.directory);
        let base = link.sets.borrow_and_update().clone();
        let (announced, unreachable) = match &base {
            Some(base) => standing::servers_of(base),
            None => Default::default(),
        };
        let process = Process {
            program: parts.program.clone(),
            run_directory: parts.run_directory.clone(),
            api_socket: parts.settings.api_socket.clone().into(),
        };
        Self {
            settings: parts.settings.clone(),
            file: files.read_config(),
            files,
            process,
            parts,
            link,
            own,
            published,
            base,
            is_fresh: false,
            wanted: announced.clone(),
            announced,
            unreachable,
            overlaid: None,
            rendered: Rendered::default(),
            is_planned: false,
            is_reported: false,
            processes: None,
            is_adopted: false,
            seen: Seen::default(),
            looked_at: None,
            look_took: Duration::ZERO,
            refused: Problems::new(),
            mine: BTreeSet::new(),
            ports_at: None,
            memory: Memory::default(),
            job: None,
            loading: None,
            starts: 0,
            start_at: Instant::now(),
            problems: Problems::new(),
            looks: BTreeSet::new(),
            wake_at: None,
            missing: None,
            failure: None,
            reload_failure: None,
            counts: Counts::default(),
        }
    }

    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let log_socket = self.settings.log_socket.clone().into();
        let logs = tokio::spawn(log::take(log_socket, shutdown.clone()));
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = self.round() => {}
            }
            self.publish();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = self.wait() => {}
            }
        }
        // A reload that has begun ends by itself; the file is replaced whole or not at all.
        if let Some(job) = self.job.take() {
            let _ = job.await;
        }
        let _ = logs.await;
    }

    /// Waits until there is something to look at.
    async fn wait(&mut self) {
        let now = Instant::now();
        let look = self.looked_at.map_or(now, |at| at + self.look_pause());
        let pause = match self.looks.is_empty() {
            true => ALIVE_EVERY,
            false => DRAIN_EVERY,
        };
        let mut at = (now + pause).min(look.max(now + DRAIN_EVERY));
        if let Some(wake) = self.wake_at {
            at = at.min(wake.max(now + DRAIN_EVERY));
        }
        let ended = async {
            match &mut self.job {
                Some(job) => job.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = ended => {
                self.job = None;
                if let Ok(end) = ended {
                    self.job_ended(end);
                }
            }
            changed = self.link.sets.changed() => if changed.is_err() { sleep_until(at).await },
            changed = self.own.changed() => if changed.is_err() { sleep_until(at).await },
            () = sleep_until(at) => {}
        }
    }

    fn look_pause(&self) -> Duration {
        LOOK_EVERY.max(self.look_took * LOOK_SHARE)
    }

    /// Sees to it that HAProxy runs, and that it has what is wanted.
    async fn round(&mut self) {
        self.take();
        if !self.is_up().await {
            return;
        }
        for _ in 0..TURNS_MAX {
            if let Err(error) = self.observe().await {
                self.failed("the load balancer's state", &error);
                self.looked_at = None;
                return;
            }
            self.look_at_ports();
            if !self.is_plan_due() {
                break;
            }
            let plan = self.plan();
            let commands = self.act(plan).await;
            if commands == 0 {
                break;
            }
        }
        self.failure = None;
    }

    /// Takes the newest set and the newest state of this host's replicas.
    fn take(&mut self) {
        let newest = self.link.sets.borrow_and_update().clone();
        if let Some(newest) = newest
            && self
                .base
                .as_ref()
                .is_none_or(|base| !Arc::ptr_eq(base, &newest))
        {
            let (announced, unreachable) = standing::servers_of(&newest);
            let before = std::mem::replace(&mut self.announced, announced);
            self.unreachable = unreachable;
            self.release(&before);
            self.base = Some(newest);
            self.is_fresh = true;
            self.overlaid = None;
        }
        let own = Arc::clone(&self.own.borrow_and_update());
        let before = self.overlaid.replace(Arc::clone(&own));
        if before.is_some_and(|before| Arc::ptr_eq(&before, &own)) {
            return;
        }
        let wanted = own::overlaid(&self.announced, &own);
        if wanted != self.wanted {
            self.wanted = wanted;
            self.rendered.forget();
        }
        self.changed();
    }

    /// What HAProxy refused is tried again once it is announced otherwise.
    fn release(&mut self, before: &Wanted) {
        let (before, now) = (&before.namespaces, &self.announced.namespaces);
        let refused = self.refused.len();
        self.refused.retain(|name, problem| {
            problem.kind != ProxyProblemKind::Refused || before.get(name) == now.get(name)
        });
        if self.refused.len() != refused {
            self.rendered.forget();
        }
    }

    /// What plan and report depend on is not as it was.
    fn changed(&mut self) {
        self.is_planned = false;
        self.is_reported = false;
    }

    /// Whether HAProxy runs; it is adopted or started when it does not.
    async fn is_up(&mut self) -> bool {
        if let Some(processes) = &self.processes {
            let alive = runs(processes.master)
                && (self.job.is_some() || processes.worker.is_some_and(runs));
            if alive {
                return true;
            }
            tracing::error!(?processes, "the load balancer has ended");
            self.processes = None;
            self.looked_at = None;
            self.changed();
        }
        if let Some(job) = self.job.take() {
            // It waits for a master that is no more. A file is replaced whole or not at all.
            job.abort();
            let _ = job.await;
            self.loading = None;
            self.file = self.files.read_config();
        }
        if let Ok(found) = self.process.processes().await
            && found.worker.is_some_and(runs)
        {
            tracing::info!(?found, "the load balancer is adopted");
            self.is_adopted = true;
            return self.begun(found).await;
        }
        if Instant::now() < self.start_at {
            return false;
        }
        let pause = ALIVE_EVERY * 2_u32.saturating_pow(self.starts.min(10));
        self.start_at = Instant::now() + pause.min(START_PAUSE_MAX);
        self.starts = self.starts.saturating_add(1);
        self.start().await
    }

    async fn begun(&mut self, found: Processes) -> bool {
        if let Err(error) = self.process.probe().await {
            self.failed("the load balancer", &error);
            return false;
        }
        self.processes = Some(found);
        self.looked_at = None;
        self.changed();
        true
    }

    /// Starts it with the last whole set; where that fails, with the file as it is.
    async fn start(&mut self) -> bool {
        self.seen = Seen::default();
        self.mine.clear();
        self.ports_at = None;
        self.settings.stats = self.parts.settings.stats.filter(|at| ports::is_free(*at));
        self.rendered.forget();
        self.changed();
        self.look_at_ports();
        let config = self
            .rendered
            .of(&self.settings, &self.wanted, &self.refused);
        let file = self.files.config();
        let known = self.base.is_some() || self.file.is_none();
        if known {
            match job::write(&self.process, &self.files, &config, None).await {
                Ok(()) => self.file = Some(config.text.clone()),
                Err(error) => {
                    tracing::error!(error, "the load balancer's configuration is not written");
                    self.failure = Some(error);
                }
            }
        }
        if self.file.is_none() {
            return false;
        }
        match self.process.start(&file).await {
            Ok(found) => {
                tracing::info!(?found, "the load balancer is started");
                self.is_adopted = false;
                self.counts.starts += 1;
                self.begun(found).await
            }
            Err(error) => {
                self.failed("the load balancer", &error);
                false
            }
        }
    }

    fn failed(&mut self, what: &str, error: &(dyn std::error::Error + 'static)) {
        let words = chain(error);
        if self.failure.as_ref() != Some(&words) {
            tracing::error!(error = words, "{what} fails");
        }
        self.failure = Some(words);
    }

    /// Looks at everything when it is time, else at the servers that finish what they have.
    async fn observe(&mut self) -> Result<(), observe::ObserveError> {
        let Some(processes) = self.processes.clone() else {
            return Ok(());
        };
        let began = Instant::now();
        let due = self
            .looked_at
            .is_none_or(|at| began >= at + self.look_pause());
        if due && self.job.is_none() {
            self.refresh_processes().await;
            let processes = self.processes.clone().unwrap_or(processes);
            let seen = observe::everything(&self.process, &processes).await?;
            if seen != self.seen {
                self.seen = seen;
                self.changed();
            }
            let ended = Instant::now();
            (self.looked_at, self.look_took) = (Some(ended), ended - began);
            // It has run well for a while.
            if self.starts > 0 && began > self.start_at + START_PAUSE_MAX {
                self.starts = 0;
            }
            return Ok(());
        }
        let looks = std::mem::take(&mut self.looks);
        if looks.is_empty() {
            return Ok(());
        }
        self.changed();
        observe::some(&self.process, &processes, &looks, &mut self.seen).await
    }

    async fn refresh_processes(&mut self) {
        if let Ok(found) = self.process.processes().await
            && found.worker.is_some()
        {
            self.is_planned &= self.processes.as_ref() == Some(&found);
            self.processes = Some(found);
        }
    }

    /// Looks at the ports of namespaces without a frontend, and at the addresses.
    fn look_at_ports(&mut self) {
        if self.job.is_some() {
            // A worker that starts holds the ports that would be tested.
            return;
        }
        let now = Instant::now();
        let due = self.ports_at.is_none_or(|at| now >= at + PORTS_EVERY);
        if due {
            self.ports_at = Some(now);
            let (there, missing) = ports::usable(&self.parts.settings.addresses);
            if there != self.settings.addresses {
                tracing::info!(?there, ?missing, "addresses of the load balancer");
                self.settings.addresses = there;
                self.rendered.forget();
                self.changed();
            }
            self.missing = ports::complaint(&missing, &self.settings, &self.parts.settings);
        } else if self.is_planned {
            return;
        }
        let before = self.refused.clone();
        let (served, _) = servable(&self.settings, &self.wanted, &Problems::new());
        let served = served.into_iter().filter_map(|(name, namespace)| {
            let port = namespace.options.proxy_port?;
            Some((name.clone(), port))
        });
        self.mine
            .extend(self.seen.frontends.iter().map(|(_, port)| *port));
        let fresh = served.filter(|(_, port)| !self.mine.contains(port));
        let refused = &self.refused;
        let untested = fresh.filter(|(name, _)| match refused.get(name) {
            Some(problem) => due && problem.kind != ProxyProblemKind::Refused,
            None => true,
        });
        let untested: Vec<(Namespace, u16)> = untested.collect();
        let found = ports::taken(&self.settings.addresses, untested.iter().cloned());
        for (name, _) in &untested {
            self.refused.remove(name);
        }
        for (name, problem) in &found {
            tracing::error!(namespace = %name, detail = problem.detail, "not served");
        }
        self.refused.extend(found);
        let wanted = &self.wanted.namespaces;
        self.refused.retain(|name, _| wanted.contains_key(name));
        if self.refused != before {
            self.rendered.forget();
            self.changed();
        }
    }

    fn publish(&mut self) {
        let seen = &self.seen;
        let loading = self.loading.as_ref();
        let before = Arc::clone(&self.published.borrow());
        let base = self.base.as_ref().filter(|_| self.is_fresh);
        let version = base.map(|base| base.version);
        let of = |seen: &Seen, loading| {
            let found = report(&self.announced, &self.problems, seen, loading);
            standing::with_absent(found, &self.unreachable)
        };
        // Without a process nothing is served, which is known, too.
        let (version, backends) = match (&self.processes, self.looked_at) {
            (Some(_), None) => (before.version, before.backends.clone()),
            (Some(_), Some(_)) if self.is_reported => (version, before.backends.clone()),
            (Some(_), Some(_)) => (version, of(seen, loading)),
            (None, _) => (version, of(&Seen::default(), None)),
        };
        self.is_reported = self.processes.is_some() && self.looked_at.is_some();
        let failure = self.failure.clone().or_else(|| self.reload_failure.clone());
        let view = ProxyView {
            version,
            backends,
            problems: self.problems.clone(),
            degraded: failure.or_else(|| self.missing.clone()),
            counts: standing::counted(seen, self.counts),
        };
        standing::renew(&self.link.answers, standing::answer(&view));
        standing::renew(&self.published, view);
    }
}
