//! A cluster in which something of each kind is wrong, made by the planner from commands and from
//! what pretended agents report.

use std::{collections::BTreeMap, time::Duration};

use paasta_common::{
    id::{InstanceId, ReplicaId},
    problem::{Problem, Rule, Severity},
    report::{EndCause, Health, Phase, ReplicaReport, RunEnd},
    spec::{BounceMethod, DesiredState, InstanceSpec, OnDeadline},
    time::Timestamp,
};
use paasta_coordinator::{
    desired::{LastRead, repositories::Troubled},
    raft::{Peer, RaftStatus, Role},
    rpc::view::View,
};
use paasta_coordinator_core::{
    access::Sight,
    plan::{observed::Observed, report::Report, touched::Touched},
    state::{
        command::{Command, SetProblems},
        problems::ProblemScope,
    },
};
use paasta_proto::v1::{MetastatusResponse, StatusRequest, StatusResponse, WhyResponse};

use crate::world::{
    World,
    build::{app_id, resources, spec, with_app},
};

/// The cluster, and how the coordinator that answers stands.
pub(crate) struct Scene {
    world: World,
    pub(crate) role: Role,
}

fn id(name: &str) -> InstanceId {
    name.parse().expect("a name")
}

fn version(name: &str, version: u32, instances: u32) -> InstanceSpec {
    let mut spec = spec(&id(name), version, instances, BounceMethod::Crossover);
    spec = with_app(spec, |app| {
        app.git_sha = format!("{version:08x}").repeat(5);
        app.resources = resources(500, 256);
    });
    spec.team = Some("front".to_owned());
    spec
}

impl Scene {
    /// Six hosts. `api` is as wanted and `old` stopped; `web` bounces, `held` is held, `batch` lacks
    /// room, `crash` crashes, and the files of `git` have errors.
    pub(crate) fn troubled() -> Self {
        let mut world = World::new(6);
        let set = |world: &mut World, name: &str, spec: InstanceSpec| {
            world.cluster.set(&id(name), spec);
        };
        set(&mut world, "api.main", version("api.main", 1, 8));
        set(&mut world, "web.main", version("web.main", 1, 3));
        set(&mut world, "git.main", version("git.main", 1, 1));
        set(&mut world, "git.worker", version("git.worker", 1, 1));
        set(&mut world, "held.main", version("held.main", 1, 2));
        set(&mut world, "crash.main", version("crash.main", 1, 2));
        let mut old = version("old.main", 1, 1);
        old.desired_state = DesiredState::Stop;
        set(&mut world, "old.main", old);
        world.until(8, "the first versions are happy", |world| {
            world.is_steady(&id("web.main")) && world.is_steady(&id("held.main"))
        });
        let mut held = version("held.main", 2, 2);
        held.bounce.on_deadline = OnDeadline::Hold;
        held.bounce.progress_deadline_ms = 20_000;
        world.healthy_most.insert(app_id(&id("held.main"), 2), 0);
        set(&mut world, "held.main", held);
        world.ticks(8);
        let batch = with_app(version("batch.main", 1, 4), |app| {
            app.resources = resources(7_000, 256);
        });
        set(&mut world, "batch.main", batch);
        world.healthy_most.insert(app_id(&id("web.main"), 2), 1);
        set(&mut world, "web.main", version("web.main", 2, 3));
        problems(&mut world);
        world.ticks(3);
        reports(&mut world);
        world.cluster.touched = Touched::everything();
        world.plan();
        Self {
            world,
            role: Role::Leader,
        }
    }

    /// The answer to `paasta status`.
    pub(crate) fn status(&self, replicas: bool) -> StatusResponse {
        let stale = self.role != Role::Leader;
        let asked = StatusRequest {
            replicas,
            stale,
            ..StatusRequest::default()
        };
        self.view(|view| {
            let (mut page, ids) = view.status_page(&asked).expect("everything is selected");
            page.instances = view.instances_of(&ids, replicas);
            page
        })
    }

    /// The answer to `paasta why`.
    pub(crate) fn why(&self, name: &str) -> WhyResponse {
        self.view(|view| view.why(&id(name)).expect("it is known"))
    }

    /// The answer to `paasta metastatus`.
    pub(crate) fn metastatus(&self) -> MetastatusResponse {
        self.view(|view| view.metastatus(false))
    }

    fn view<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let raft = raft(self.role);
        let read = LastRead {
            at: self.world.now(),
            error: String::new(),
        };
        // As the service of the coordinator does: only a leader has reports and a plan.
        let nothing = Observed::new(self.world.now(), self.world.observed.settings);
        let (observed, report) = match raft.has_leader() {
            true => (&self.world.observed, &self.world.last.report),
            false => (&nothing, &Report::default()),
        };
        look(&View {
            state: &self.world.cluster.state,
            observed,
            report,
            raft: &raft,
            read: &read,
            drift: &[],
            sight: &Sight::Everything,
            repositories: &Troubled::default(),
            now: self.world.now(),
        })
    }
}

/// An error in a file of one instance, and a warning that concerns the whole service.
fn problems(world: &mut World) {
    let problem = |line, field: &str, message: &str, severity| Problem {
        file: "git/marathon-demo.yaml".to_owned(),
        line: Some(line),
        column: Some(3),
        field: field.to_owned(),
        message: message.to_owned(),
        severity,
        rule: Rule::default(),
    };
    let text = "expected a number of MiB that is at least 32, and found the text \"lots\"";
    let own = problem(12, "main.mem", text, Severity::Error);
    let team = "expected a team, and found none: nobody is alerted";
    let shared = problem(1, "team", team, Severity::Warning);
    for (scope, problem) in [
        (ProblemScope::Instance(id("git.main")), own),
        (ProblemScope::Service(id("git.main").service), shared),
    ] {
        world.cluster.must(Command::SetProblems(SetProblems {
            scope,
            problems: vec![problem],
        }));
    }
}

/// What real agents add to the reports of pretended ones: ports, digests, and how runs end.
fn reports(world: &mut World) {
    let now = world.now();
    let crash = id("crash.main");
    let crashing: Vec<ReplicaId> = world
        .cluster
        .state
        .replicas_of(&crash)
        .map(|(id, _)| id)
        .collect();
    let hosts = world.observed.hosts.values_mut();
    for (id, report) in hosts.flat_map(|host| host.replicas.iter_mut()) {
        let number = id.to_string().trim_start_matches('r').parse::<u16>();
        report.host_port = Some(31_000 + number.unwrap_or_default());
        report.image.digest = Some(format!("sha256:{}", "0123456789abcdef".repeat(4)));
        if crashing.first() == Some(id) {
            crashed(report, now);
        }
    }
}

fn crashed(report: &mut ReplicaReport, now: Timestamp) {
    report.phase = Phase::BackingOff;
    report.health = Health::Unknown;
    report.started_at = None;
    report.host_port = None;
    report.run = 4;
    report.failures = 3;
    report.next_try_at = Some(now.after_ms(20_000));
    report.message = "waits before its next start, after 3 failures in a row".to_owned();
    report.last_end = Some(RunEnd {
        run: 4,
        at: now,
        cause: EndCause::Exited,
        exit_code: Some(1),
        signal: None,
        out_of_memory: false,
        memory_kills: 0,
        last_words: "thread main panicked: no database".to_owned(),
    });
}

fn raft(role: Role) -> RaftStatus {
    let member = |id: u64| (id, format!("10.0.1.{id}:7401"));
    let leads = role == Role::Leader;
    RaftStatus {
        node_id: 1,
        cluster_id: Some("0190f1f4-0000-7000-8000-000000000001".to_owned()),
        epoch: 1,
        store: "0".repeat(32),
        role,
        term: 3,
        leader: leads.then(|| Peer {
            id: 1,
            address: member(1).1,
        }),
        last_log: Some(90),
        committed: Some(90),
        applied: Some(90),
        snapshot: None,
        purged: None,
        voters: (1..=3).map(member).collect(),
        learners: BTreeMap::new(),
        changing: false,
        lease: Duration::from_millis(2_100),
        since_quorum_ack: Some(Duration::from_secs(if leads { 0 } else { 34 })),
        since_heard: None,
        answered: [2, 3].map(|id| (id, Duration::from_millis(40))).into(),
        snapshot_trouble: None,
        matched: [2, 3].map(|id| (id, Some(90))).into(),
        refused: BTreeMap::new(),
        refused_here: None,
        clock_ahead_ms: 0,
        pace_permille: 1_000,
        links: BTreeMap::new(),
    }
}
