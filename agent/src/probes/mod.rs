//! Health checks and drain calls: many at a time but not too many, each with its own timeout, and
//! none of them waiting for the engine but those that run a command inside a container.

mod http;
mod tls;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use paasta_agent_core::{
    actions::Target,
    drain::calls::{CALL_TIMEOUT_MS, Call, Request},
    observed::Event,
};
use paasta_common::{id::ReplicaId, url::Url};
use parking_lot::Mutex;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, mpsc},
    time::timeout,
};

use crate::{
    engine::{Engine, EngineError, Executed},
    inbox::Happened,
};

/// Probes at a time.
pub const PARALLEL: usize = 128;
/// Commands inside containers at a time: each is a process on the host.
pub const COMMANDS: usize = 8;
/// Commands at a time of runs whose last one did not end in time: they keep no other waiting.
pub const SLOW_COMMANDS: usize = 4;
/// How long a command that timed out may take to be killed.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// Runs that are remembered for a command that did not end in time, at most.
const SLOW_MAX: usize = 1_000;

/// Sends probes.
#[derive(Clone)]
pub struct Probes {
    engine: Arc<dyn Engine>,
    permits: Arc<Semaphore>,
    commands: Arc<Semaphore>,
    slow_commands: Arc<Semaphore>,
    checks: Arc<Mutex<Checks>>,
    inbox: mpsc::Sender<Happened>,
    http: http::Http,
    address: Arc<str>,
}

/// What is known of the commands of runs.
#[derive(Default)]
struct Checks {
    /// Runs whose command waits or goes on: each has one at a time.
    asked: BTreeSet<(ReplicaId, u64)>,
    /// Runs whose last command did not end in time.
    slow: BTreeSet<(ReplicaId, u64)>,
}

/// The command of a run that waits or goes on, until it is dropped.
struct Asked {
    checks: Arc<Mutex<Checks>>,
    run: (ReplicaId, u64),
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.checks.lock().asked.remove(&self.run);
    }
}

impl Probes {
    /// What they come to goes to `inbox`. Ports are asked at `address`, the host's own, where
    /// clients ask, too: on loopback dockerd's proxy answers, which dies with dockerd while the
    /// containers live.
    pub fn new(engine: Arc<dyn Engine>, inbox: mpsc::Sender<Happened>, address: &str) -> Self {
        Self {
            engine,
            permits: Arc::new(Semaphore::new(PARALLEL)),
            commands: Arc::new(Semaphore::new(COMMANDS)),
            slow_commands: Arc::new(Semaphore::new(SLOW_COMMANDS)),
            checks: Arc::default(),
            inbox,
            http: http::Http::default(),
            address: address.into(),
        }
    }

    /// Sends one; the timeout begins when it is sent.
    pub fn probe(&self, replica: ReplicaId, run: u64, target: Target, timeout_ms: u64) {
        let probes = self.clone();
        let patience = Duration::from_millis(timeout_ms);
        let asked = match &target {
            Target::Cmd { .. } => match self.command((replica, run)) {
                Some(asked) => Some(asked),
                // The one that goes on will answer.
                None => return,
            },
            Target::Http { .. } | Target::Tcp { .. } => None,
        };
        tokio::spawn(async move {
            let result = match &target {
                Target::Cmd { container, command } => {
                    let what = (container.as_str(), command.as_str());
                    probes.execute((replica, run), what, patience).await
                }
                Target::Http { .. } | Target::Tcp { .. } => match probes.permits.acquire().await {
                    Ok(_permit) => timeout(patience, probes.ask(&target))
                        .await
                        .unwrap_or_else(|_| Err(format!("no answer within {timeout_ms} ms"))),
                    Err(closed) => Err(closed.to_string()),
                },
            };
            drop(asked);
            tracing::debug!(%replica, run, ?result, "probed");
            let event = Event::Probed {
                replica,
                run,
                result,
            };
            // When the agent is gone nobody waits for the answer.
            let _ = probes.inbox.send(Happened::Event(event)).await;
        });
    }

    /// The place of a run's command; none while another of that run waits or goes on.
    fn command(&self, run: (ReplicaId, u64)) -> Option<Asked> {
        let mut checks = self.checks.lock();
        checks.asked.insert(run).then(|| Asked {
            checks: Arc::clone(&self.checks),
            run,
        })
    }

    /// Runs a command inside a container; its time begins when it has a place.
    async fn execute(
        &self,
        run: (ReplicaId, u64),
        (container, command): (&str, &str),
        patience: Duration,
    ) -> Result<(), String> {
        let is_slow = self.checks.lock().slow.contains(&run);
        let places = match is_slow {
            true => &self.slow_commands,
            false => &self.commands,
        };
        let _place = places
            .acquire()
            .await
            .map_err(|closed| closed.to_string())?;
        let longest = patience + KILL_PATIENCE;
        let executed = timeout(longest, self.engine.exec(container, command, patience)).await;
        let executed = executed
            .unwrap_or_else(|_| Err(EngineError::Silent(format!("nothing within {longest:?}"))));
        let ended = matches!(&executed, Ok(Executed { code: Some(_), .. }));
        self.note(run, ended);
        match executed {
            Ok(Executed { code: Some(0), .. }) => Ok(()),
            Ok(Executed {
                code: Some(code),
                last_line,
            }) => Err(format!(
                "the command exited with {code}{}",
                said(&last_line)
            )),
            Ok(Executed {
                code: None,
                last_line,
            }) => Err(format!(
                "the command did not end within {} ms and was killed{}",
                patience.as_millis(),
                said(&last_line)
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Remembers whether the command of a run ended in time. Of a replica only the last run counts.
    fn note(&self, (replica, run): (ReplicaId, u64), ended: bool) {
        let slow = &mut self.checks.lock().slow;
        slow.retain(|(held, _)| *held != replica);
        if !ended && slow.len() < SLOW_MAX {
            slow.insert((replica, run));
        }
    }

    /// Makes the calls of one drain step, one after the other.
    pub fn drain(&self, replica: ReplicaId, call: Call, requests: Vec<Request>) {
        let probes = self.clone();
        tokio::spawn(async move {
            let patience = Duration::from_millis(CALL_TIMEOUT_MS);
            let mut result = Ok(true);
            for request in requests {
                let answer = timeout(patience, probes.http.send(&request))
                    .await
                    .unwrap_or_else(|_| Err(format!("no answer within {CALL_TIMEOUT_MS} ms")));
                let is_yes = |status: u16| {
                    request
                        .success
                        .iter()
                        .any(|(low, high)| (*low..=*high).contains(&status))
                };
                match answer {
                    Ok(status) => result = result.map(|yes| yes && is_yes(status)),
                    Err(error) => {
                        result = Err(format!("{}: {error}", Url::new(&request.url)));
                        break;
                    }
                }
            }
            let event = Event::DrainAnswered {
                replica,
                call,
                result,
            };
            // When the agent is gone nobody waits for the answer.
            let _ = probes.inbox.send(Happened::Event(event)).await;
        });
    }

    async fn ask(&self, target: &Target) -> Result<(), String> {
        match target {
            Target::Http { port: 0, .. } | Target::Tcp { port: 0 } => {
                Err("the replica has no port to be checked on".to_owned())
            }
            Target::Http { port, uri, tls } => {
                let scheme = if *tls { "https" } else { "http" };
                let slash = if uri.starts_with('/') { "" } else { "/" };
                // An IPv6 address stands in brackets.
                let host = match self.address.contains(':') {
                    true => format!("[{}]", self.address),
                    false => self.address.to_string(),
                };
                let request = Request {
                    method: "GET".to_owned(),
                    url: format!("{scheme}://{host}:{port}{slash}{uri}"),
                    form: None,
                    success: vec![(200, 399)],
                };
                match self.http.send(&request).await? {
                    200..=399 => Ok(()),
                    status => Err(format!("GET {uri} answered {status}")),
                }
            }
            Target::Tcp { port } => TcpStream::connect((&*self.address, *port))
                .await
                .map(drop)
                .map_err(|error| format!("port {port}: {error}")),
            Target::Cmd { .. } => Err("a command is not asked by its port".to_owned()),
        }
    }
}

/// The last line of a command, as the end of a reason.
fn said(last_line: &str) -> String {
    match last_line.is_empty() {
        true => String::new(),
        false => format!(": {last_line}"),
    }
}

#[cfg(test)]
mod tests;
