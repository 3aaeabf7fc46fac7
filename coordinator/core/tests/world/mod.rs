//! A cluster with pretended agents: commands are applied, assignments are obeyed, reports come
//! back. Every plan made here is checked for what must hold of every plan.

#![allow(dead_code, reason = "each test binary uses its part of the world")]

pub(crate) mod build;
mod checks;

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{
    assignment::{AssignedReplica, Want},
    endpoints::BackendReport,
    id::{AppId, HostId, InstanceId, ReplicaId},
    report::{Health, HostPart, Phase, ReplicaReport, Runtime},
    time::Timestamp,
    unrecognized::UnrecognizedWord,
};
use paasta_coordinator_core::{
    endpoints::proxies::ProxyObserved,
    plan::{
        Plan,
        class::Class,
        observed::{HostObserved, Observed, PlanSettings},
        plan,
        report::InstanceReport,
        touched::Touched,
    },
    state::command::Command,
};

use build::{Cluster, host_id};

pub(crate) const TICK_MS: u64 = 5_000;

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) observed: Observed,
    pub(crate) agents: BTreeMap<HostId, Agent>,
    /// How many replicas of an app become healthy, the oldest first; all when absent.
    pub(crate) healthy_most: BTreeMap<AppId, usize>,
    /// How long a drain takes; never done when absent.
    pub(crate) drain_ms: Option<u64>,
    pub(crate) last: Plan,
}

#[derive(Default)]
pub(crate) struct Agent {
    pub(crate) away: bool,
    pub(crate) runtime_degraded: bool,
    /// What of it is degraded then.
    pub(crate) degraded_part: HostPart,
    pub(crate) clock_ahead_ms: Option<i64>,
    /// Every container fails at once here.
    pub(crate) broken: bool,
    /// Its reports have a health that only a newer agent knows.
    pub(crate) newer: bool,
    /// Whether what fails there is being tried again just now.
    pub(crate) trying: bool,
    /// What fails there has failed so often that nobody has any more patience with it.
    pub(crate) worn: bool,
    /// Its load balancer; none of a host without one.
    pub(crate) proxy: Option<Proxy>,
    generation: u64,
    runs: BTreeMap<ReplicaId, Run>,
}

/// A pretended load balancer.
#[derive(Default)]
pub(crate) struct Proxy {
    /// It answers nothing.
    pub(crate) mute: bool,
    /// What is not as wanted.
    pub(crate) odd: BTreeMap<ReplicaId, BackendReport>,
    /// Up to where it has answered, by the leader's term.
    answered: u64,
}

struct Run {
    assigned: AssignedReplica,
    started_at: Timestamp,
    draining_since: Option<Timestamp>,
}

impl World {
    pub(crate) fn new(hosts: usize) -> Self {
        let cluster = Cluster::new(hosts);
        let observed = Observed::new(cluster.now, PlanSettings::default());
        let agents = (1..=hosts)
            .map(|number| (host_id(number), Agent::default()))
            .collect();
        let mut world = Self {
            cluster,
            observed,
            agents,
            healthy_most: BTreeMap::new(),
            drain_ms: Some(0),
            last: Plan::default(),
        };
        world.agents_act();
        world
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.cluster.now
    }

    /// Time passes, agents obey and report, the leader plans and applies.
    pub(crate) fn tick(&mut self) -> Vec<Command> {
        self.cluster.now = self.now().after_ms(TICK_MS);
        self.agents_act();
        self.plan()
    }

    pub(crate) fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            self.tick();
        }
    }

    /// Ticks until the condition holds; fails when it does not within `most`.
    pub(crate) fn until(&mut self, most: usize, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..most {
            if holds(self) {
                return;
            }
            self.tick();
        }
        assert!(
            holds(self),
            "not within {most} ticks: {what}\n{:#?}",
            self.last.report
        );
    }

    /// Plans, checks the plan, and applies it.
    pub(crate) fn plan(&mut self) -> Vec<Command> {
        self.announce();
        let made = plan(&self.cluster.state, &self.observed, self.now());
        checks::plan_follows_change(self, &made);
        self.cluster.touched = Touched::default();
        let before = self.cluster.state.clone();
        for command in &made.commands {
            self.cluster.must(command.clone());
        }
        checks::plan_is_safe(&before, &self.cluster.state, &made);
        checks::plan_is_stable(self, &made);
        let commands = made.commands.clone();
        self.last = made;
        commands
    }

    /// Brings the endpoints in step, as the leader does before each plan.
    fn announce(&mut self) {
        let now = self.now();
        let touched = self.cluster.touched.clone();
        let only = touched.scope(&self.cluster.state, &self.last.report);
        let only = only.map(|scope| scope.instances);
        let Observed {
            hosts, endpoints, ..
        } = &mut self.observed;
        let heard = |host: &HostId| hosts.get(host).map(HostObserved::heard);
        endpoints.update(&self.cluster.state, heard, only.as_ref(), now);
    }

    /// The leader dies; the next one knows what is in the log.
    pub(crate) fn elect(&mut self) {
        self.observed = Observed::new(self.now(), self.observed.settings);
        self.cluster.touched = Touched::everything();
        for proxy in self
            .agents
            .values_mut()
            .filter_map(|agent| agent.proxy.as_mut())
        {
            proxy.answered = 0;
        }
    }

    pub(crate) fn agents_act(&mut self) {
        let hosts: Vec<HostId> = self.agents.keys().cloned().collect();
        for host in hosts {
            self.agent_acts(&host);
        }
    }

    pub(crate) fn agent_acts(&mut self, host: &HostId) {
        let now = self.now();
        let Some(agent) = self.agents.get_mut(host) else {
            return;
        };
        if agent.away {
            if let Some(heard) = self.observed.hosts.get_mut(host) {
                heard.connected = false;
                self.cluster.touched.host(host);
            }
            return;
        }
        if let Some(assignment) = self.cluster.state.assignment(host, 1) {
            agent.generation = assignment.fence.generation;
            agent.obey(assignment.replicas, now);
        }
        let number = self.observed.endpoints.number();
        if let Some(proxy) = agent.proxy.as_mut().filter(|proxy| !proxy.mute) {
            proxy.answered = number;
        }
        let agent = &self.agents[host];
        let settings = self.observed.settings;
        let mut heard = HostObserved::new(now, &settings);
        if let Some(before) = self.observed.hosts.get(host) {
            heard.first_seen_this_term = before.first_seen_this_term;
        }
        heard.complete_report = true;
        heard.accepted_generation = agent.generation;
        heard.clock_ahead_ms = agent.clock_ahead_ms;
        if agent.runtime_degraded {
            heard.runtime = Runtime::Degraded {
                since: Timestamp(0),
                reason: "no answer".to_owned(),
                part: agent.degraded_part,
            };
        }
        let runs = agent.runs.iter();
        heard.proxy = agent.proxy.as_ref().map(|proxy| ProxyObserved {
            acknowledged: proxy.answered,
            sent: self.observed.endpoints.number(),
            looked: self.observed.endpoints.number(),
            backends: proxy.odd.clone(),
            ..ProxyObserved::default()
        });
        heard.replicas = runs.map(|(id, run)| (*id, self.report(*id, run))).collect();
        let before = self.observed.hosts.insert(host.clone(), heard.clone());
        self.touch(host, before, heard);
    }

    /// As the leader notices what a report changed.
    fn touch(&mut self, host: &HostId, before: Option<HostObserved>, now: HostObserved) {
        let Some(mut was) = before else {
            self.cluster.touched.host(host);
            return;
        };
        let mut is = now;
        let gone = was
            .replicas
            .keys()
            .filter(|id| !is.replicas.contains_key(id));
        let changed = is
            .replicas
            .iter()
            .filter(|(id, r)| was.replicas.get(id) != Some(r));
        let touched: Vec<ReplicaId> = gone.copied().chain(changed.map(|(id, _)| *id)).collect();
        for id in touched {
            self.cluster.touched.replica(id);
        }
        was.replicas.clear();
        is.replicas.clear();
        let silent = was.lease_until < self.now();
        (was.lease_until, was.last_seen) = (is.lease_until, is.last_seen);
        // What a load balancer answered may concern any replica.
        if was.proxy != is.proxy {
            self.cluster.touched.add(Touched::everything());
        }
        if silent || was != is {
            self.cluster.touched.host(host);
        }
    }

    fn report(&self, id: ReplicaId, run: &Run) -> ReplicaReport {
        let app = &run.assigned.app;
        let older = self.cluster.state.replicas_of(&run.assigned.instance);
        let rank = older
            .filter(|(other, r)| r.app == *app && *other < id)
            .count();
        let healthy = self.healthy_most.get(app).is_none_or(|most| rank < *most);
        let drained_at = run
            .draining_since
            .zip(self.drain_ms)
            .map(|(since, ms)| since.after_ms(ms));
        let agent = &self.agents[&self.host_of(id)];
        let (broken, worn) = (agent.broken, agent.worn);
        let phase = match (broken, run.draining_since) {
            (true, _) if agent.trying => Phase::Starting,
            (true, _) => Phase::BackingOff,
            (false, Some(_)) => Phase::Draining,
            (false, None) => Phase::Running,
        };
        ReplicaReport {
            id,
            app: app.clone(),
            phase,
            health: match healthy {
                _ if agent.newer => Health::Unrecognized(UnrecognizedWord::new("newer")),
                true => Health::Healthy,
                false => Health::Unhealthy,
            },
            started_at: Some(run.started_at),
            host_port: u16::try_from(id.0).ok(),
            container: None,
            run: 1,
            failures: match broken {
                true if worn => run.assigned.tried.failures.saturating_mul(4).max(20),
                true => run.assigned.tried.failures + 9,
                false => 0,
            },
            next_try_at: None,
            drained: drained_at.is_some_and(|at| at <= self.now()),
            in_load_balancer: None,
            message: String::new(),
            image: Default::default(),
            last_end: None,
            troubles: Default::default(),
            other_troubles: 0,
        }
    }

    pub(crate) fn view(&self, id: &InstanceId) -> &InstanceReport {
        &self.last.report.instances[id]
    }

    /// The replicas of an app that are to run.
    pub(crate) fn running(&self, app: &AppId) -> BTreeSet<ReplicaId> {
        let state = &self.cluster.state;
        let all = state.replicas_of(&state.app(app).expect("a known app").instance);
        all.filter(|(_, r)| r.app == *app && r.want == Want::Run)
            .map(|(id, _)| id)
            .collect()
    }

    /// How many replicas of an app are recorded, whatever should become of them.
    pub(crate) fn recorded(&self, id: &InstanceId, app: &AppId) -> usize {
        self.cluster
            .state
            .replicas_of(id)
            .filter(|(_, replica)| replica.app == *app)
            .count()
    }

    /// Whether the instance is exactly as wanted, and nothing is left of anything else.
    pub(crate) fn is_steady(&self, id: &InstanceId) -> bool {
        let Some(record) = self.cluster.state.instance(id) else {
            return true;
        };
        let Some(view) = self.last.report.instances.get(id) else {
            return false;
        };
        let happy = view
            .replicas
            .iter()
            .filter(|replica| replica.class == Class::Happy);
        record.bounce.is_none()
            && view.replicas.len() == record.wanted() as usize
            && happy
                .filter(|replica| replica.app == *record.desired_app())
                .count()
                == record.wanted() as usize
    }

    pub(crate) fn host_of(&self, id: ReplicaId) -> HostId {
        self.cluster
            .state
            .replica(id)
            .expect("a known replica")
            .host
            .clone()
    }
}

impl Agent {
    fn obey(&mut self, assigned: BTreeMap<ReplicaId, AssignedReplica>, now: Timestamp) {
        // What is not assigned any more, or should stop, is gone by the next report.
        self.runs.retain(|id, _| {
            assigned
                .get(id)
                .is_some_and(|replica| replica.want != Want::Stop)
        });
        for (id, assigned) in assigned {
            match assigned.want {
                Want::Stop => {}
                Want::Run => {
                    let run = Run {
                        assigned: assigned.clone(),
                        started_at: now,
                        draining_since: None,
                    };
                    let run = self.runs.entry(id).or_insert(run);
                    run.draining_since = None;
                    run.assigned = assigned;
                }
                Want::Drain => {
                    if let Some(run) = self.runs.get_mut(&id) {
                        run.draining_since.get_or_insert(now);
                    }
                }
            }
        }
    }
}
