//! Asking every replica of an instance again and again while something happens to it, as a load
//! balancer's users would.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};

use super::containers::containers;
use super::operator::Operator;
use crate::hosts::Host;
use crate::http::get;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// One look at the instance.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Since the beginning.
    pub at: Duration,
    /// Containers that answered their health check, by the app they belong to.
    pub answering: BTreeMap<String, usize>,
    /// How many containers ran.
    pub running: usize,
    /// How many replicas paasta held for happy; `None` when no coordinator answered.
    pub happy: Option<u32>,
}

/// What was seen from start to stop.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Each look, in order.
    pub samples: Vec<Sample>,
    /// Every container ever seen, by app.
    pub containers: BTreeMap<String, BTreeSet<String>>,
}

impl Seen {
    /// Fails unless at least `floor` containers, of whatever app, answered in every sample.
    pub fn answered(&self, floor: usize) -> Result<()> {
        self.held(&format!("{floor} answer"), |sample| {
            sample.answering.values().sum::<usize>() >= floor
        })
    }

    /// Fails unless at least `floor` containers of this app answered in every sample.
    pub fn app_answered(&self, app: &str, floor: usize) -> Result<()> {
        self.held(&format!("{floor} of {app} answer"), |sample| {
            sample
                .answering
                .get(app)
                .is_some_and(|count| *count >= floor)
        })
    }

    /// Fails unless paasta held at least `floor` replicas for happy whenever it answered. On a busy
    /// machine an answer may be late, but more than half must have come.
    pub fn happy(&self, floor: u32) -> Result<()> {
        self.held(&format!("{floor} are happy"), |sample| {
            sample.happy.is_none_or(|happy| happy >= floor)
        })?;
        let answered = self.samples.iter().filter(|one| one.happy.is_some());
        ensure!(
            answered.count() * 2 > self.samples.len(),
            "most questions had no answer:\n{}",
            self.story()
        );
        Ok(())
    }

    fn held(&self, what: &str, holds: impl Fn(&Sample) -> bool) -> Result<()> {
        let all = &self.samples;
        // Fewer would show nothing.
        ensure!(all.len() >= 5, "{what}: only {} samples", all.len());
        if let Some(sample) = all.iter().find(|sample| !holds(sample)) {
            bail!(
                "not always {what}: {sample:?}\nall samples:\n{}",
                self.story()
            );
        }
        Ok(())
    }

    /// A line per change.
    pub fn story(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        let mut last = None;
        for sample in &self.samples {
            let state = (&sample.answering, sample.running, sample.happy);
            if last != Some(state) {
                lines.push(format!(
                    "{:8.2?} answering {:?}, running {}, happy {:?}",
                    sample.at, sample.answering, sample.running, sample.happy
                ));
            }
            last = Some(state);
        }
        lines.join("\n")
    }
}

/// A thread that looks. Dropped without [`Traffic::stop`], it ends by itself soon.
#[derive(Debug)]
pub struct Traffic {
    stop: SyncSender<()>,
    thread: JoinHandle<Seen>,
}

impl Traffic {
    /// Begins to look at the instance `id` on these hosts.
    pub fn start(hosts: Vec<Host>, operator: Operator, id: &str) -> Self {
        let id = id.to_owned();
        let (stop, stopped) = sync_channel(1);
        let thread = thread::spawn(move || {
            let started = Instant::now();
            let mut seen = Seen::default();
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                // A dockerd that is away for a moment shows nothing about the replicas.
                if let Ok(sample) = look(&hosts, &operator, &id, started, &mut seen) {
                    seen.samples.push(sample);
                }
            }
            seen
        });
        Self { stop, thread }
    }

    /// Ends it and returns what it saw.
    pub fn stop(self) -> Result<Seen> {
        // It may have ended by itself, and then the join says why.
        let _ = self.stop.send(());
        self.thread
            .join()
            .map_err(|_| anyhow!("the thread that looked at the replicas panicked"))
    }
}

fn look(
    hosts: &[Host],
    operator: &Operator,
    id: &str,
    started: Instant,
    seen: &mut Seen,
) -> Result<Sample> {
    let happy = operator
        .status(id)
        .ok()
        .and_then(|status| status.counts)
        .map(|counts| counts.happy);
    let at = started.elapsed();
    let found = containers(hosts, id)?;
    let mut answering = BTreeMap::new();
    for container in &found {
        seen.containers
            .entry(container.app.clone())
            .or_default()
            .insert(container.id.clone());
        let answers = |address| get(address, "/status").is_ok();
        if container.runs() && container.address.is_some_and(answers) {
            *answering.entry(container.app.clone()).or_default() += 1;
        }
    }
    Ok(Sample {
        at,
        answering,
        running: found.iter().filter(|container| container.runs()).count(),
        happy,
    })
}
