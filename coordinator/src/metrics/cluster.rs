//! How the cluster stands, as its leader sees it. Walks every instance and host once, and no
//! replica of an instance that is as wanted.

use std::collections::BTreeMap;

use paasta_common::{app::Resources, endpoints::EndpointState, problem::Severity, report::Runtime};
use paasta_coordinator_core::{
    plan::{class::Class, clocks::is_skewed, report::Counts},
    state::bounce::BouncePhase,
};
use paasta_process::metrics::Page;
use paasta_proto::words::Words as _;

use crate::rpc::view::{DEPLOY_STATUSES, HOST_STATES, Placed, View, words};

const CLASSES: [Class; 8] = [
    Class::Happy,
    Class::AtRisk,
    Class::Starting,
    Class::Unknown,
    Class::Unhappy,
    Class::Draining,
    Class::Stopping,
    Class::Lost,
];
/// How much of one resource.
type Amount = fn(&Resources) -> f64;

const MIB: f64 = 1_048_576.0;

/// Adds instances, replicas, bounces, hosts and what is wrong.
pub(super) fn add(page: &mut Page, view: &View<'_>) {
    instances(page, view);
    bounces(page, view);
    hosts(page, view);
    balancers(page, view);
    trouble(page, view);
    repositories(page, view);
    page.gauge(
        "paasta_events_kept",
        "Events in the ring that `paasta events` reads.",
        view.state.events().count() as f64,
    );
    page.gauge(
        "paasta_desired_read_timestamp_seconds",
        "When the soa directory was last read; 0 before the first time.",
        view.read.at.0 as f64 / 1_000.0,
    );
    page.gauge(
        "paasta_desired_read_failing",
        "1 while the soa directory cannot be read, or what it says is refused.",
        truth(!view.read.error.is_empty()),
    );
}

fn instances(page: &mut Page, view: &View<'_>) {
    let mut by_status = BTreeMap::from(DEPLOY_STATUSES.map(|word| (word, 0.0)));
    let (mut wanted, mut by_class) = (0.0, [0.0; CLASSES.len()]);
    for (id, instance) in view.state.instances() {
        wanted += f64::from(instance.wanted());
        let report = view.report.instances.get(id);
        let mut placed = Placed::default();
        if let Some(report) = report {
            placed.happy = report.new.happy;
            for (counts, placed) in [
                (&report.new, &mut placed.new),
                (&report.old, &mut placed.old),
            ] {
                for (sum, class) in by_class.iter_mut().zip(CLASSES) {
                    *placed += of(counts, class);
                    *sum += f64::from(of(counts, class));
                }
            }
        }
        let word = view.deploy_status(id, instance, placed);
        *by_status.entry(word).or_default() += 1.0;
    }
    page.gauges(
        "paasta_instances",
        "Instances, by the word that `paasta status` has for them.",
        ["status"],
        by_status
            .iter()
            .map(|(word, count)| ([word.word()], *count)),
    );
    page.gauge(
        "paasta_replicas_wanted",
        "Replicas that are wanted.",
        wanted,
    );
    page.gauges(
        "paasta_replicas",
        "Replicas, by what they count as in the last plan.",
        ["class"],
        CLASSES
            .iter()
            .zip(by_class)
            .map(|(class, count)| ([words::class(*class).word()], count)),
    );
}

fn balancers(page: &mut Page, view: &View<'_>) {
    let mut by_state = [("up", 0.0), ("drain", 0.0), ("down", 0.0), ("keep", 0.0)];
    for (_, announced) in view.observed.endpoints.namespaces() {
        for (_, entry) in announced.entries() {
            let at = match entry.state() {
                EndpointState::Up => 0,
                EndpointState::Drain => 1,
                EndpointState::Down => 2,
                EndpointState::Keep => 3,
            };
            by_state[at].1 += 1.0;
        }
    }
    page.gauges(
        "paasta_endpoints",
        "Endpoints of load-balanced namespaces, by what load balancers are to do with them: up, drain, down, or keep while their host has not reported to this leader.",
        ["state"],
        by_state.map(|(state, count)| ([state], count)),
    );
    let (mut working, mut degraded, mut problems) = (0.0, 0.0, 0.0);
    for proxy in view
        .observed
        .hosts
        .values()
        .filter_map(|heard| heard.proxy.as_ref())
    {
        match proxy.degraded.is_empty() {
            true => working += 1.0,
            false => degraded += 1.0,
        }
        problems += proxy.problems.len() as f64;
    }
    page.gauges(
        "paasta_load_balancers",
        "Hosts with a load balancer, by whether it works: working or degraded.",
        ["state"],
        [(["working"], working), (["degraded"], degraded)],
    );
    page.gauge(
        "paasta_load_balancer_problems",
        "Namespaces that load balancers cannot serve as wanted, counted once for each host.",
        problems,
    );
}

fn of(counts: &Counts, class: Class) -> u32 {
    match class {
        Class::Happy => counts.happy,
        Class::AtRisk => counts.at_risk,
        Class::Starting => counts.starting,
        Class::Unknown => counts.unknown,
        Class::Unhappy => counts.unhappy,
        Class::Draining => counts.draining,
        Class::Stopping => counts.stopping,
        Class::Lost => counts.lost,
    }
}

fn bounces(page: &mut Page, view: &View<'_>) {
    let (mut going, mut overdue, mut held) = (0.0, 0.0, 0.0);
    let (mut oldest, mut stalled): (f64, f64) = (0.0, 0.0);
    for (_, instance) in view.state.instances() {
        let Some(bounce) = &instance.bounce else {
            continue;
        };
        match bounce.phase {
            BouncePhase::Running => going += 1.0,
            BouncePhase::Overdue { .. } => overdue += 1.0,
            BouncePhase::Held { .. } => held += 1.0,
        }
        let age = |at| view.now.since_ms(at) as f64 / 1_000.0;
        oldest = oldest.max(age(bounce.started_at));
        stalled = stalled.max(age(bounce.last_progress_at));
    }
    page.gauges(
        "paasta_bounces",
        "Bounces under way, by state: going, overdue or held.",
        ["state"],
        [(["going"], going), (["overdue"], overdue), (["held"], held)],
    );
    page.gauge(
        "paasta_bounce_oldest_seconds",
        "Since the oldest bounce under way began; 0 without one.",
        oldest,
    );
    page.gauge(
        "paasta_bounce_stalled_seconds",
        "The longest that a bounce under way has made no step; 0 without one.",
        stalled,
    );
}

fn hosts(page: &mut Page, view: &View<'_>) {
    let mut states = BTreeMap::from(HOST_STATES.map(|state| (state, 0.0)));
    let (mut degraded, mut sessions) = (0.0, 0.0);
    let mut pools: BTreeMap<&str, (Resources, Resources)> = BTreeMap::new();
    for (id, host) in view.state.hosts() {
        *states.entry(view.host_state(id, host)).or_default() += 1.0;
        let heard = view.observed.hosts.get(id);
        sessions += truth(heard.is_some_and(|heard| heard.connected));
        degraded += truth(heard.is_some_and(|heard| heard.runtime != Runtime::Ok));
        if !host.is_lost() {
            let pool = pools.entry(&host.info.pool).or_default();
            pool.0 = pool.0.plus(view.state.allocatable(&host.info));
            pool.1 = pool.1.plus(view.state.used_on(id));
        }
    }
    page.gauges(
        "paasta_hosts",
        "Hosts, by state.",
        ["state"],
        states.iter().map(|(state, count)| ([state.word()], *count)),
    );
    page.gauge(
        "paasta_hosts_runtime_degraded",
        "Hosts whose container runtime does not work.",
        degraded,
    );
    page.gauge(
        "paasta_agent_sessions",
        "Agents that are connected.",
        sessions,
    );
    clocks(page, view);
    for (name, help, labels, amount) in POOL_CAPACITY {
        let samples = pools.iter();
        let samples = samples.map(|(pool, (has, _))| ([*pool], amount(has)));
        page.gauges(name, help, labels, samples);
    }
    for (name, help, labels, amount) in POOL_RESERVED {
        let samples = pools.iter();
        let samples = samples.map(|(pool, (_, used))| ([*pool], amount(used)));
        page.gauges(name, help, labels, samples);
    }
}

/// Name, help, labels and how much.
type OfPool = (&'static str, &'static str, [&'static str; 1], Amount);

const POOL_CAPACITY: [OfPool; 3] = [
    (
        "paasta_pool_capacity_cpus",
        "Cores of the pool that may be given out; lost hosts are left out.",
        ["pool"],
        cores,
    ),
    (
        "paasta_pool_capacity_memory_bytes",
        "Memory of the pool that may be given out; lost hosts are left out.",
        ["pool"],
        memory,
    ),
    (
        "paasta_pool_capacity_disk_bytes",
        "Disk of the pool that may be given out; lost hosts are left out.",
        ["pool"],
        disk,
    ),
];

const POOL_RESERVED: [OfPool; 3] = [
    (
        "paasta_pool_reserved_cpus",
        "Cores that replicas take in the pool.",
        ["pool"],
        cores,
    ),
    (
        "paasta_pool_reserved_memory_bytes",
        "Memory that replicas take in the pool.",
        ["pool"],
        memory,
    ),
    (
        "paasta_pool_reserved_disk_bytes",
        "Disk that replicas take in the pool.",
        ["pool"],
        disk,
    ),
];

fn cores(amount: &Resources) -> f64 {
    amount.cpus_milli as f64 / 1_000.0
}

fn memory(amount: &Resources) -> f64 {
    amount.mem_mb as f64 * MIB
}

fn disk(amount: &Resources) -> f64 {
    amount.disk_mb as f64 * MIB
}

/// By how much the hosts' clocks differ from this coordinator's.
fn clocks(page: &mut Page, view: &View<'_>) {
    let heard = view.observed.hosts.values();
    let off = heard.filter_map(|heard| heard.clock_ahead_ms);
    let skewed = off.clone().filter(|ahead| is_skewed(Some(*ahead))).count();
    let most = off.map(i64::unsigned_abs).max().unwrap_or(0);
    page.gauge(
        "paasta_hosts_clock_skewed",
        "Hosts whose clock is more than 2 s ahead of the leader's or behind it.",
        skewed as f64,
    );
    page.gauge(
        "paasta_host_clock_skew_max_seconds",
        "By how much the clock of any host differs from the leader's, at most.",
        most as f64 / 1_000.0,
    );
}

fn trouble(page: &mut Page, view: &View<'_>) {
    let alarms = view.state.alerts().values();
    page.gauge(
        "paasta_alarms",
        "Instances in alarm: too few replicas for too long.",
        alarms.filter(|alert| alert.critical).count() as f64,
    );
    page.gauge(
        "paasta_brake_engaged",
        "1 while too many hosts are silent at once and nothing is replaced.",
        truth(view.report.brake.is_some()),
    );
    let absent = view.state.instances();
    let absent = absent.filter(|(_, one)| one.absence.is_some()).count() as f64;
    let held = view.state.held_back().is_some();
    page.gauges(
        "paasta_removals_pending",
        "Instances that the configuration does not have any more and that still run, by state: \
         waiting for their patience, or held back, as they are too many.",
        ["state"],
        [
            (["waiting"], if held { 0.0 } else { absent }),
            (["held"], if held { absent } else { 0.0 }),
        ],
    );
    page.gauge(
        "paasta_coordinators_settings_differ",
        "Coordinators whose own files say something else than the settings of the cluster.",
        view.drift.len() as f64,
    );
    let problems = || view.state.problems().values().flatten();
    let count = |wanted: Severity| {
        problems()
            .filter(|problem| problem.severity == wanted)
            .count() as f64
    };
    page.gauges(
        "paasta_config_problems",
        "Problems of the configuration, by severity.",
        ["severity"],
        [
            (["error"], count(Severity::Error)),
            (["warning"], count(Severity::Warning)),
        ],
    );
}

fn repositories(page: &mut Page, view: &View<'_>) {
    page.gauge(
        "paasta_repositories",
        "Git repositories of services that the leader follows.",
        view.repositories.total as f64,
    );
    page.gauge(
        "paasta_repositories_failing",
        "Git repositories that did not answer when they were last asked.",
        view.repositories.failing().count() as f64,
    );
}

fn truth(so: bool) -> f64 {
    f64::from(u8::from(so))
}
