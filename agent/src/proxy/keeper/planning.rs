//! What the keeper has done: the plan of the core, its commands over the runtime API, and the job
//! that writes or loads a configuration.

use std::{sync::Arc, time::Duration};

use paasta_agent_core::proxy::{
    config::{Config, ProxyProblem, ProxyProblemKind},
    plan::{Action, Command, Plan, Situation, plan},
};
use paasta_process::clock::{Clock, SystemClock};
use tokio::time::Instant;

use super::Keeper;
use crate::proxy::{
    api::ask,
    commands::{complaint, lines, words},
    job::{Job, JobEnd},
};

impl Keeper {
    /// Whether something that a plan depends on is other than at the last one, the time included.
    pub(super) fn is_plan_due(&self) -> bool {
        !self.is_planned || self.wake_at.is_some_and(|at| Instant::now() >= at)
    }

    /// What is to be done now.
    pub(super) fn plan(&mut self) -> Plan {
        self.is_planned = true;
        self.is_reported = false;
        if self.base.is_none() || self.is_adopted && !self.is_fresh {
            // What is there stays until a whole set of a coordinator says otherwise.
            self.wake_at = None;
            return Plan::default();
        }
        let now = SystemClock.now();
        let config = match &self.job {
            Some(_) => None,
            None => Some(
                self.rendered
                    .of(&self.settings, &self.wanted, &self.refused),
            ),
        };
        let situation = Situation {
            settings: &self.settings,
            wanted: &self.wanted,
            refused: &self.refused,
            seen: &self.seen,
            file: self.file.as_deref(),
            config: config.as_ref(),
            old_workers: self.processes.as_ref().map_or(0, |found| found.old.len()),
            now,
        };
        let plan = plan(&situation, &mut self.memory);
        self.wake_at = plan
            .wake_at
            .map(|at| Instant::now() + Duration::from_millis(at.since_ms(now)));
        plan
    }

    /// Does what was planned. Returns how many commands were sent.
    pub(super) async fn act(&mut self, plan: Plan) -> usize {
        self.problems = plan.problems;
        self.looks = plan.looks;
        let mut commands: Vec<Command> = Vec::new();
        for action in plan.actions {
            match action {
                Action::Command(command) => commands.push(command),
                Action::Write(config) => self.begin(config, false),
                Action::Reload(config) => self.begin(config, true),
            }
        }
        let words: Vec<String> = commands.iter().flat_map(words).collect();
        for line in lines(words.into_iter()) {
            match ask(&self.process.api_socket, &line).await {
                Ok(answer) => {
                    if let Some(words) = complaint(&answer) {
                        tracing::warn!(haproxy = words, "a change of servers was refused");
                    }
                }
                Err(error) => self.failed("a change of servers", &error),
            }
        }
        // What became of it is looked at, and not assumed.
        self.looks
            .extend(commands.iter().map(|command| command.namespace.clone()));
        commands.len()
    }

    fn begin(&mut self, config: Arc<Config>, reload: bool) {
        let job = Job {
            config,
            set: self.base.clone(),
            reload,
        };
        if reload {
            self.loading = Some(self.wanted.clone());
        }
        let (process, files) = (self.process.clone(), self.files.clone());
        self.job = Some(tokio::spawn(job.run(process, files)));
    }

    pub(super) fn job_ended(&mut self, end: JobEnd) {
        self.changed();
        if let Some(text) = end.written {
            self.file = Some(text);
        }
        if end.reload {
            self.memory.reloaded(end.failure.is_none());
            self.counts.reloads += 1;
            self.counts.failed_reloads += u64::from(end.failure.is_some());
            if end.failure.is_some() {
                self.mine.clear();
            }
            // The next look shows the worker that serves now, before anything else is said of it.
            self.looked_at = None;
            self.ports_at = None;
            self.loading = None;
        }
        if let Some(processes) = end.processes {
            self.processes = Some(processes);
        }
        if let Some(namespace) = end.blamed {
            let detail = end.failure.clone().unwrap_or_default();
            let kind = ProxyProblemKind::Refused;
            let problem = ProxyProblem { kind, detail };
            self.refused.insert(namespace, problem);
            self.rendered.forget();
        }
        if let Some(failure) = &end.failure {
            tracing::error!(
                failure,
                "the load balancer's configuration is not in effect"
            );
        }
        self.reload_failure = end.failure;
    }
}
