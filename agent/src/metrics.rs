//! Every metric of an agent, by name. No label takes more values than there are words: never a
//! replica, an instance or an image.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use paasta_common::report::{Phase, Runtime, Trouble};
use paasta_identity::accept::Handshakes;
use paasta_process::accept::Refusals;
use paasta_process::metrics::{Counts, Durations, FAST, Meters, Page, SLOW};
use parking_lot::Mutex;

use tokio::time::Instant;

use crate::{proxy::ProxyView, view::View};

static PHASES: [Phase; 7] = [
    Phase::Accepted,
    Phase::Pulling,
    Phase::Starting,
    Phase::Running,
    Phase::BackingOff,
    Phase::Draining,
    Phase::Stopping,
];

/// The calls of the container engine, as the metrics name them.
const OPERATIONS: [&str; 14] = [
    "list", "inspect", "image", "pull", "stock", "forget", "create", "start", "stop", "remove",
    "exec", "layer", "storage", "attach",
];

/// What an agent counts. Clones are the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    connections: Refusals,
    handshakes: Handshakes,
    meters: Meters,
    operations: Durations,
    failures: Counts,
    probes: Counts,
    troubles: Counts,
    ledger: Durations,
    ledger_failures: Counts,
    sessions: Counts,
    unrecognized: Counts,
    contact: Arc<Contact>,
}

#[derive(Debug, Default)]
struct Contact {
    connected: AtomicBool,
    revoked: AtomicBool,
    last: Mutex<Option<Instant>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let meters = Meters::default();
        let metrics = Self {
            operations: meters.durations(
                "paasta_agent_engine_operation_duration_seconds",
                "Calls of the container engine, by operation, however they ended.",
                &["operation"],
                &SLOW,
            ),
            failures: meters.counts(
                "paasta_agent_engine_failures_total",
                "Calls of the container engine that failed, by operation and result: refused, or no answer in time (silent).",
                &["operation", "result"],
            ),
            probes: meters.counts(
                "paasta_agent_health_probes_total",
                "Health checks of containers, by result: passed or failed.",
                &["result"],
            ),
            troubles: meters.counts(
                "paasta_agent_troubles_total",
                "Failures of replicas of this host since the agent started, by kind: runs that exited by themselves, were killed for memory, were replaced as unhealthy, ...",
                &["kind"],
            ),
            ledger: meters.durations(
                "paasta_agent_ledger_write_duration_seconds",
                "Writing what changed to the ledger, to the disk.",
                &[],
                &FAST,
            ),
            ledger_failures: meters.counts(
                "paasta_agent_ledger_write_failures_total",
                "Writes of the ledger that failed: nothing is begun until one succeeds.",
                &[],
            ),
            sessions: meters.counts(
                "paasta_agent_sessions_total",
                "Sessions with coordinators that were opened.",
                &[],
            ),
            unrecognized: meters.counts(
                "paasta_agent_unrecognized_messages_total",
                "Messages of coordinators of a kind that this version does not know; they are ignored.",
                &[],
            ),
            contact: Arc::default(),
            connections: Refusals::new(&meters),
            handshakes: Handshakes::new(&meters),
            meters,
        };
        metrics.beginning_at_zero()
    }

    /// Metrics of one more agent of the same process: counters are shared, the state of the session
    /// with coordinators is its own.
    #[must_use]
    pub fn of_another_agent(&self) -> Self {
        Self {
            contact: Arc::default(),
            ..self.clone()
        }
    }

    /// A counter that never counted is there all the same: a rule can tell zero from absence.
    fn beginning_at_zero(self) -> Self {
        for operation in OPERATIONS {
            self.operations.with_label_values(&[operation]);
            for result in ["refused", "silent"] {
                self.failures.with_label_values(&[operation, result]);
            }
        }
        for result in ["passed", "failed"] {
            self.probes.with_label_values(&[result]);
        }
        for trouble in Trouble::ALL {
            self.troubles.with_label_values(&[trouble.as_str()]);
        }
        let none: &[&str] = &[];
        self.ledger.with_label_values(none);
        self.ledger_failures.with_label_values(none);
        self.sessions.with_label_values(none);
        self.unrecognized.with_label_values(none);
        self
    }

    /// The engine was asked for something and answered, or not: `failure` is the result.
    pub fn operated(&self, operation: &str, took: Duration, failure: Option<&str>) {
        let seconds = self.operations.with_label_values(&[operation]);
        seconds.observe(took.as_secs_f64());
        if let Some(result) = failure {
            self.failures.with_label_values(&[operation, result]).inc();
        }
    }

    /// A health check came back.
    pub fn probed(&self, passed: bool) {
        let result = if passed { "passed" } else { "failed" };
        self.probes.with_label_values(&[result]).inc();
    }

    /// Something befell a replica, so often.
    pub fn befell(&self, trouble: Trouble, count: u32) {
        let kind = self.troubles.with_label_values(&[trouble.as_str()]);
        kind.inc_by(count.into());
    }

    /// The ledger was written, or not.
    pub fn kept(&self, took: Duration, written: bool) {
        let none: &[&str] = &[];
        self.ledger
            .with_label_values(none)
            .observe(took.as_secs_f64());
        if !written {
            self.ledger_failures.with_label_values(none).inc();
        }
    }

    /// A coordinator welcomed this agent.
    pub fn welcomed(&self) {
        let none: &[&str] = &[];
        self.contact.revoked.store(false, Ordering::Relaxed);
        self.sessions.with_label_values(none).inc();
        self.contact.connected.store(true, Ordering::Relaxed);
        self.heard();
    }

    /// A coordinator refused this agent, as its identity is revoked. Returns whether that is new.
    pub fn revoked(&self) -> bool {
        !self.contact.revoked.swap(true, Ordering::Relaxed)
    }

    /// Whether the last that a coordinator said is that this agent's identity is revoked.
    pub fn is_revoked(&self) -> bool {
        self.contact.revoked.load(Ordering::Relaxed)
    }

    /// A coordinator said or took something.
    pub fn heard(&self) {
        *self.contact.last.lock() = Some(Instant::now());
    }

    /// A message of a kind that only a newer coordinator knows was ignored.
    pub fn unrecognized(&self) {
        let none: &[&str] = &[];
        self.unrecognized.with_label_values(none).inc();
        self.heard();
    }

    /// The session ended.
    pub fn parted(&self) {
        self.contact.connected.store(false, Ordering::Relaxed);
    }

    /// Whether there is a session now.
    pub fn is_connected(&self) -> bool {
        self.contact.connected.load(Ordering::Relaxed)
    }

    /// Where TLS handshakes of HTTP clients that failed are counted.
    pub fn handshakes(&self) -> &Handshakes {
        &self.handshakes
    }

    /// Where connections that are refused are counted.
    pub fn connections(&self) -> &Refusals {
        &self.connections
    }

    /// The counters and histograms.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The figures of this moment.
    pub fn page(&self, view: &View) -> Page {
        let mut page = Page::new("agent");
        let mut phases: BTreeMap<&str, f64> =
            PHASES.iter().map(|phase| (phase.as_str(), 0.0)).collect();
        let mut failures = 0;
        for report in view.reports.values() {
            if let Some(count) = phases.get_mut(report.phase.as_str()) {
                *count += 1.0;
            }
            failures = failures.max(report.failures);
        }
        page.gauges(
            "paasta_agent_replicas",
            "Replicas of this host, by phase.",
            ["phase"],
            phases.iter().map(|(phase, count)| ([*phase], *count)),
        );
        page.gauge(
            "paasta_agent_failures_in_a_row_max",
            "The most failures in a row of one replica of this host.",
            f64::from(failures),
        );
        page.gauge(
            "paasta_agent_runtime_degraded",
            "1 while the container engine or the ledger does not work: nothing new is begun.",
            truth(view.runtime != Runtime::Ok),
        );
        page.gauge(
            "paasta_agent_assignment_generation",
            "The newest assignment that is obeyed; 0 before the first.",
            view.generation() as f64,
        );
        page.gauge(
            "paasta_agent_session_connected",
            "1 while a coordinator is connected.",
            truth(self.is_connected()),
        );
        page.gauge(
            "paasta_agent_revoked",
            "1 while coordinators refuse this host as its identity is revoked: what runs goes on, and nothing new comes.",
            truth(self.is_revoked()),
        );
        let last = *self.contact.last.lock();
        page.gauge_if(
            "paasta_agent_silence_seconds",
            "Since a coordinator was last spoken with; absent before the first time.",
            last.map(|at| at.elapsed().as_secs_f64()),
        );
        page
    }
}

/// The figures of the host's load balancer.
pub fn proxy_figures(view: &ProxyView, page: &mut Page) {
    let counts = view.counts;
    page.gauge(
        "paasta_agent_proxy_degraded",
        "1 while the host's load balancer, or a part of it, does not work: the last good state serves on where it can.",
        truth(view.degraded.is_some()),
    );
    page.gauge(
        "paasta_agent_proxy_namespaces",
        "Namespaces that the host's load balancer serves.",
        counts.namespaces as f64,
    );
    page.gauge(
        "paasta_agent_proxy_problems",
        "Namespaces that the host's load balancer does not serve as wanted: a port is taken, an option is refused.",
        view.problems.len() as f64,
    );
    page.gauges(
        "paasta_agent_proxy_servers",
        "Servers of the host's load balancer, by state: up, out of service (maint), or failing (down).",
        ["state"],
        [
            (["up"], counts.up as f64),
            (["maint"], counts.maint as f64),
            (["down"], counts.down as f64),
        ],
    );
    page.gauge(
        "paasta_agent_proxy_reloads",
        "Reloads of the host's load balancer since the agent started.",
        counts.reloads as f64,
    );
    page.gauge(
        "paasta_agent_proxy_failed_reloads",
        "Reloads of the host's load balancer that failed since the agent started: the configuration before serves on.",
        counts.failed_reloads as f64,
    );
    page.gauge(
        "paasta_agent_proxy_starts",
        "Starts of the host's load balancer since the agent started; 0 where the running one was adopted.",
        counts.starts as f64,
    );
}

fn truth(so: bool) -> f64 {
    f64::from(u8::from(so))
}
