//! hacheck's protocol over HTTP, for load balancers and habits that know it: `/http/SERVICE/PORT/..`
//! and its likes, and the spool. It answers from the agent's own checks and sends none.

use std::{
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::get,
};
use paasta_agent_core::hacheck::{Answer, CheckedService, Down, Spool, judge, spooled};
use paasta_common::time::Timestamp;
use paasta_process::{atomic_file, chain::chain};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::Mutex as AsyncMutex;

use crate::agent::Handle;

/// The file of the spool, in the state directory.
pub const SPOOL_FILE: &str = "hacheck.json";
/// The longest spool that is read, in bytes.
const SPOOL_BYTES_MAX: u64 = 4 << 20;
/// The words before the port in the header with HAProxy's state.
const STATE_HEADER: &str = "x-haproxy-server-state";

/// What the answers are made from.
#[derive(Clone)]
pub struct Hacheck {
    agent: Handle,
    /// Held for moments only: checks read it.
    spool: Arc<Mutex<Spool>>,
    /// Held by the one change that is written.
    writing: Arc<AsyncMutex<()>>,
    file: PathBuf,
}

/// The fields of `POST /spool/SERVICE/PORT/status`.
#[derive(Debug, Deserialize)]
struct Form {
    status: String,
    reason: Option<String>,
    expiration: Option<f64>,
    creation: Option<f64>,
}

impl Hacheck {
    /// With the spool of the agent before; one that cannot be read is none.
    pub fn new(agent: Handle, state_dir: &FilePath) -> Self {
        let file = state_dir.join(SPOOL_FILE);
        let spool = read(&file).unwrap_or_else(|error| {
            tracing::error!(error, file = %file.display(), "the spool cannot be read");
            Spool::default()
        });
        Self {
            agent,
            spool: Arc::new(Mutex::new(spool)),
            writing: Arc::default(),
            file,
        }
    }

    /// Every path.
    pub fn router(self) -> Router {
        let kinds = ["http", "https", "tcp", "mysql", "smtp"];
        let mut router = Router::new().route("/status", get(async || "OK\n"));
        for kind in kinds {
            router = router
                .route(&format!("/{kind}/{{service}}/{{port}}"), get(short))
                .route(
                    &format!("/{kind}/{{service}}/{{port}}/{{*query}}"),
                    get(long),
                );
        }
        router
            .route("/spool/{service}/{port}/{*query}", get(look).post(set))
            .with_state(self)
    }

    fn check(&self, service: String, port: u16, headers: &HeaderMap) -> Answer {
        let Ok(service) = CheckedService::try_from(service) else {
            return bad("the name of the service");
        };
        let port = match port {
            0 => match real_port(headers) {
                Some(port) => port,
                None => return bad("port 0 without the header X-Haproxy-Server-State"),
            },
            port => port,
        };
        let view = self.agent.view.borrow().clone();
        let now = self.agent.clock.now();
        judge(&view.reports, &self.spool.lock(), &service, port, now)
    }

    /// Changes the spool and writes it, all of it or nothing. Once it is begun, it is done also for a
    /// caller that goes away.
    async fn change(&self, service: String, port: u16, form: Form) -> Answer {
        let Ok(service) = CheckedService::try_from(service) else {
            return bad("the name of the service");
        };
        let writing = Arc::clone(&self.writing).lock_owned().await;
        let now = self.agent.clock.now();
        let mut next = self.spool.lock().clone();
        next.expire(now);
        let changed = match (form.status.as_str(), form.reason) {
            ("up", _) => {
                next.up(&service, port);
                Ok(())
            }
            ("down", Some(reason)) if !reason.is_empty() => {
                let since = form.creation.map_or(now, moment);
                let until = form.expiration.map(moment);
                let down = Down {
                    reason,
                    since,
                    until,
                };
                next.down(service, port, down)
            }
            ("down", _) => return bad("status=down without a reason"),
            _ => return bad("a status other than up and down"),
        };
        if let Err(error) = changed {
            return refused(503, error.to_string());
        }
        let hacheck = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let _writing = writing;
            hacheck.write(next)
        });
        written
            .await
            .unwrap_or_else(|error| refused(500, error.to_string()))
    }

    /// Replaces the file, then the spool that checks read.
    fn write(&self, next: Spool) -> Answer {
        let bytes = match serde_json::to_vec(&next) {
            Ok(bytes) => bytes,
            Err(error) => return refused(500, error.to_string()),
        };
        match atomic_file::write(&self.file, &bytes, 0o600) {
            Ok(_) => {
                *self.spool.lock() = next;
                refused(200, String::new())
            }
            Err(error) => refused(500, chain(&error)),
        }
    }
}

fn read(file: &FilePath) -> Result<Spool, String> {
    match std::fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Spool::default()),
        Err(error) => Err(error.to_string()),
        Ok(data) if data.len() > SPOOL_BYTES_MAX => Err("it is too long".to_owned()),
        Ok(_) => {
            let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
            serde_json::from_slice(&bytes).map_err(|error| error.to_string())
        }
    }
}

/// Seconds since 1970, as hacheck has them; what is beyond time ends with it.
fn moment(seconds: f64) -> Timestamp {
    Timestamp((seconds * 1_000.0).clamp(0.0, 9.0e15) as u64)
}

/// The port in HAProxy's words of the server's state: `...; port=31001; ...`.
fn real_port(headers: &HeaderMap) -> Option<u16> {
    let state = headers.get(STATE_HEADER)?.to_str().ok()?;
    let mut fields = state.split(';').map(str::trim);
    fields.find_map(|field| field.strip_prefix("port=")?.parse().ok())
}

fn refused(status: u16, text: String) -> Answer {
    Answer { status, text }
}

fn bad(what: &str) -> Answer {
    refused(400, format!("cannot be answered: {what}"))
}

fn respond(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    (status, format!("{}\n", answer.text)).into_response()
}

async fn short(
    State(hacheck): State<Hacheck>,
    Path((service, port)): Path<(String, u16)>,
    headers: HeaderMap,
) -> Response {
    respond(hacheck.check(service, port, &headers))
}

async fn long(
    State(hacheck): State<Hacheck>,
    Path((service, port, _)): Path<(String, u16, String)>,
    headers: HeaderMap,
) -> Response {
    respond(hacheck.check(service, port, &headers))
}

async fn look(
    State(hacheck): State<Hacheck>,
    Path((service, port, _)): Path<(String, u16, String)>,
) -> Response {
    let now = hacheck.agent.clock.now();
    respond(match CheckedService::try_from(service) {
        Ok(service) => spooled(&hacheck.spool.lock(), &service, port, now),
        Err(error) => bad(&error.to_string()),
    })
}

async fn set(
    State(hacheck): State<Hacheck>,
    Path((service, port, _)): Path<(String, u16, String)>,
    body: Bytes,
) -> Response {
    // A form in a body has the form of a query.
    let form = std::str::from_utf8(&body).ok();
    let form = form.and_then(|form| format!("/?{form}").parse::<Uri>().ok());
    let form = form.and_then(|uri| Query::<Form>::try_from_uri(&uri).ok());
    respond(match form {
        Some(Query(form)) => hacheck.change(service, port, form).await,
        None => bad("a form without status"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::World;

    fn form(reason: &str) -> Form {
        Form {
            status: "down".to_owned(),
            reason: Some(reason.to_owned()),
            expiration: None,
            creation: None,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn changes_at_the_same_time_are_all_kept_and_are_all_in_the_file() {
        let world = World::new();
        let hacheck = Hacheck::new(world.agent.handle.clone(), world.dir.path());
        let changes = (1..=20).map(|port| {
            let hacheck = hacheck.clone();
            tokio::spawn(async move {
                let answer = hacheck.change("web.main".to_owned(), port, form("later"));
                answer.await.status
            })
        });
        let changes: Vec<_> = changes.collect();
        for change in changes {
            assert_eq!(change.await.unwrap(), 200);
        }
        let service = CheckedService::try_from("web.main".to_owned()).unwrap();
        let now = hacheck.agent.clock.now();
        let held = read(&hacheck.file).unwrap();
        for port in 1..=20 {
            assert_eq!(
                spooled(&hacheck.spool.lock(), &service, port, now).status,
                503
            );
            assert_eq!(spooled(&held, &service, port, now).status, 503);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn checks_are_answered_while_a_change_is_written_and_a_change_without_its_file_is_none() {
        let world = World::new();
        let hacheck = Hacheck::new(world.agent.handle.clone(), world.dir.path());
        // One that is being written.
        let writing = Arc::clone(&hacheck.writing).lock_owned().await;
        let next = hacheck.change("web.main".to_owned(), 1, form("later"));
        let waited = tokio::time::timeout(std::time::Duration::from_millis(50), next).await;
        assert!(waited.is_err(), "it waits for its turn");
        let checked = hacheck.check("web.main".to_owned(), 1, &HeaderMap::new());
        assert_eq!(checked.status, 503, "{}", checked.text);
        drop(writing);
        // The file's place is taken by a directory.
        std::fs::create_dir(&hacheck.file).unwrap();
        let answer = hacheck
            .change("web.main".to_owned(), 1, form("later"))
            .await;
        assert_eq!(answer.status, 500, "{}", answer.text);
        let service = CheckedService::try_from("web.main".to_owned()).unwrap();
        let now = hacheck.agent.clock.now();
        assert_eq!(spooled(&hacheck.spool.lock(), &service, 1, now).status, 200);
    }
}
