//! Health checks and drain calls: many at a time but not too many, each with its own timeout, and
//! none of them waiting for the engine but those that run a command inside a container.

mod http;
mod tls;

use std::{sync::Arc, time::Duration};

use paasta_agent_core::{
    actions::Target,
    drain::calls::{CALL_TIMEOUT_MS, Call, Request},
    observed::Event,
};
use paasta_common::id::ReplicaId;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, mpsc},
    time::timeout,
};

use crate::{agent::Happened, engine::Engine};

/// Probes at a time.
pub const PARALLEL: usize = 128;
/// Commands inside containers at a time: each is a process on the host.
pub const COMMANDS: usize = 8;
/// Sends probes.
#[derive(Clone)]
pub struct Probes {
    engine: Arc<dyn Engine>,
    permits: Arc<Semaphore>,
    commands: Arc<Semaphore>,
    inbox: mpsc::Sender<Happened>,
    http: http::Http,
    address: Arc<str>,
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
            inbox,
            http: http::Http::default(),
            address: address.into(),
        }
    }

    /// Sends one; the timeout begins when it is sent.
    pub fn probe(&self, replica: ReplicaId, run: u64, target: Target, timeout_ms: u64) {
        let probes = self.clone();
        tokio::spawn(async move {
            let patience = Duration::from_millis(timeout_ms);
            let permits = match target {
                Target::Cmd { .. } => &probes.commands,
                Target::Http { .. } | Target::Tcp { .. } => &probes.permits,
            };
            let result = match permits.acquire().await {
                Ok(_permit) => timeout(patience, probes.ask(&target))
                    .await
                    .unwrap_or_else(|_| Err(format!("no answer within {timeout_ms} ms"))),
                Err(closed) => Err(closed.to_string()),
            };
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
                        result = Err(format!("{}: {error}", request.url));
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
            Target::Cmd { container, command } => {
                match self.engine.exec(container, command).await {
                    Ok(0) => Ok(()),
                    Ok(code) => Err(format!("the command exited with {code}")),
                    Err(error) => Err(error.to_string()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
