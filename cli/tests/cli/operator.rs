//! A coordinator that takes what operators ask of it, and notes it.

use std::sync::{Arc, Mutex};

use paasta_proto::v1::{
    Asker, BrakeStatusRequest, BrakeStatusResponse, CheckReplicationRequest,
    CheckReplicationResponse, CleanupRequest, CleanupResponse, DrainHostRequest,
    MaintenanceStatusRequest, MaintenanceStatusResponse, OperateResponse, ReleaseBrakeRequest,
    RemoveHostRequest, RequestOutcome, ResetBackoffRequest, UndrainHostRequest,
    operate_server::{Operate, OperateServer},
};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// What it answers.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// One after the other; the last one again and again.
    pub(crate) maintenance: Vec<MaintenanceStatusResponse>,
    pub(crate) brake: BrakeStatusResponse,
    pub(crate) cleanup: CleanupResponse,
    pub(crate) replication: CheckReplicationResponse,
    /// Answered before anything else, once each.
    pub(crate) first: Vec<Status>,
    /// The hosts that are unknown.
    pub(crate) unknown: Vec<String>,
    /// The hosts of which everything is refused.
    pub(crate) refused: Vec<String>,
}

/// One write that it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) what: String,
    pub(crate) asker: Asker,
}

/// A running coordinator; it stops when it is dropped.
pub(crate) struct Operator {
    pub(crate) address: String,
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    _runtime: Runtime,
}

#[derive(Clone)]
struct Service {
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Operator {
    /// Starts a coordinator that follows the script.
    pub(crate) fn start(script: Script) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let bind = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = runtime.block_on(bind).expect("listen on loopback");
        let address = listener.local_addr().expect("its address").to_string();
        let script = Arc::new(Mutex::new(script));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let service = Service {
            script: script.clone(),
            asked: asked.clone(),
        };
        let server = Server::builder().add_service(OperateServer::new(service));
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self {
            address,
            script,
            asked,
            _runtime: runtime,
        }
    }

    /// The writes so far, repetitions included.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }

    /// Fails once more for each of these before it answers again.
    pub(crate) fn fail_first(&self, statuses: Vec<Status>) {
        self.script.lock().expect("not poisoned").first = statuses;
    }
}

impl Service {
    fn write(
        &self,
        what: String,
        asker: Option<Asker>,
        host: &str,
    ) -> Result<Response<OperateResponse>, Status> {
        let asker = asker.ok_or_else(|| Status::invalid_argument("asker: missing"))?;
        let text = format!("{what}: done");
        self.asked
            .lock()
            .expect("not poisoned")
            .push(Asked { what, asker });
        let mut script = self.script.lock().expect("not poisoned");
        if !script.first.is_empty() {
            return Err(script.first.remove(0));
        }
        if script.unknown.iter().any(|unknown| unknown == host) {
            return Err(Status::not_found(format!("host {host:?} is not known")));
        }
        let (outcome, text) = match script.refused.iter().any(|refused| refused == host) {
            true => (
                RequestOutcome::Refused,
                format!("{host} is up; drain it first"),
            ),
            false => (RequestOutcome::Done, text),
        };
        Ok(Response::new(OperateResponse {
            outcome: outcome.into(),
            outcome_word: String::new(),
            text,
        }))
    }
}

#[tonic::async_trait]
impl Operate for Service {
    async fn drain_host(
        &self,
        ask: Request<DrainHostRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let ask = ask.into_inner();
        let what = format!("drain {} for {} ms: {}", ask.host, ask.for_ms, ask.reason);
        self.write(what, ask.asker, &ask.host)
    }

    async fn undrain_host(
        &self,
        ask: Request<UndrainHostRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let ask = ask.into_inner();
        self.write(format!("undrain {}", ask.host), ask.asker, &ask.host)
    }

    async fn remove_host(
        &self,
        ask: Request<RemoveHostRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let ask = ask.into_inner();
        self.write(format!("remove {}", ask.host), ask.asker, &ask.host)
    }

    async fn maintenance_status(
        &self,
        ask: Request<MaintenanceStatusRequest>,
    ) -> Result<Response<MaintenanceStatusResponse>, Status> {
        let named = ask.into_inner().hosts;
        let mut script = self.script.lock().expect("not poisoned");
        let mut answer = match script.maintenance.len() {
            0 => MaintenanceStatusResponse::default(),
            1 => script.maintenance[0].clone(),
            _ => script.maintenance.remove(0),
        };
        answer
            .hosts
            .retain(|host| named.is_empty() || named.contains(&host.host));
        Ok(Response::new(answer))
    }

    async fn brake_status(
        &self,
        _: Request<BrakeStatusRequest>,
    ) -> Result<Response<BrakeStatusResponse>, Status> {
        let script = self.script.lock().expect("not poisoned");
        Ok(Response::new(script.brake.clone()))
    }

    async fn release_brake(
        &self,
        ask: Request<ReleaseBrakeRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let ask = ask.into_inner();
        self.write(format!("release {}", ask.hosts.join(" ")), ask.asker, "")
    }

    async fn reset_backoff(
        &self,
        ask: Request<ResetBackoffRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let ask = ask.into_inner();
        let what = format!("reset {} on {:?}", ask.instance, ask.host);
        self.write(what, ask.asker, &ask.host)
    }

    async fn cleanup(
        &self,
        ask: Request<CleanupRequest>,
    ) -> Result<Response<CleanupResponse>, Status> {
        let ask = ask.into_inner();
        let what = format!("cleanup force {} dry-run {}", ask.force, ask.dry_run);
        self.write(what, ask.asker, "")?;
        let script = self.script.lock().expect("not poisoned");
        Ok(Response::new(script.cleanup.clone()))
    }

    async fn check_replication(
        &self,
        ask: Request<CheckReplicationRequest>,
    ) -> Result<Response<CheckReplicationResponse>, Status> {
        let named = ask.into_inner().instances;
        let mut answer = self
            .script
            .lock()
            .expect("not poisoned")
            .replication
            .clone();
        answer
            .instances
            .retain(|one| named.is_empty() || named.contains(&one.instance));
        match answer.instances.len() < named.len() {
            true => Err(Status::not_found("an instance is not known")),
            false => Ok(Response::new(answer)),
        }
    }
}
