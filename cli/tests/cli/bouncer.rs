//! A coordinator that is asked about bounces: it answers what a test wants, and notes what it was
//! asked.

use std::sync::{Arc, Mutex};

use paasta_proto::v1::{
    Asker, BounceStatusRequest, BounceStatusResponse, ForceBounceRequest, OperateResponse,
    RequestOutcome, ResumeBounceRequest, RollBackRequest,
    bounces_server::{Bounces, BouncesServer},
};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A running coordinator; it stops when it is dropped.
pub(crate) struct Bouncer {
    pub(crate) address: String,
    service: Service,
    _runtime: Runtime,
}

#[derive(Clone)]
struct Service {
    status: Arc<BounceStatusResponse>,
    asked: Arc<Mutex<Vec<(String, Asker)>>>,
}

impl Bouncer {
    /// Starts a coordinator that shows `status` and does everything but for `nobody.main`.
    pub(crate) fn start(status: BounceStatusResponse) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let bind = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = runtime.block_on(bind).expect("listen on loopback");
        let address = listener.local_addr().expect("its address").to_string();
        let service = Service {
            status: Arc::new(status),
            asked: Arc::default(),
        };
        let server = Server::builder().add_service(BouncesServer::new(service.clone()));
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self {
            address,
            service,
            _runtime: runtime,
        }
    }

    /// What was asked so far, and by whom.
    pub(crate) fn asked(&self) -> Vec<(String, Asker)> {
        self.service.asked.lock().expect("not poisoned").clone()
    }
}

impl Service {
    fn write(
        &self,
        what: String,
        asker: Option<Asker>,
        instance: &str,
    ) -> Result<Response<OperateResponse>, Status> {
        let asker = asker.ok_or_else(|| Status::invalid_argument("asker: missing"))?;
        let (outcome, text) = match instance {
            "nobody.main" => {
                return Err(Status::not_found("instance \"nobody.main\" is not known"));
            }
            "refused.main" => (
                RequestOutcome::Refused,
                "refused.main has no earlier app".to_owned(),
            ),
            _ => (RequestOutcome::Done, format!("{what}: done")),
        };
        let mut asked = self.asked.lock().expect("not poisoned");
        asked.push((what, asker));
        Ok(Response::new(OperateResponse {
            outcome: outcome.into(),
            outcome_word: String::new(),
            text,
        }))
    }
}

#[tonic::async_trait]
impl Bounces for Service {
    async fn bounce_status(
        &self,
        ask: Request<BounceStatusRequest>,
    ) -> Result<Response<BounceStatusResponse>, Status> {
        let named = ask.into_inner().instances;
        let mut answer = BounceStatusResponse::clone(&self.status);
        let wanted = |name: &String| named.is_empty() || named.contains(name);
        answer.instances.retain(|one| wanted(&one.instance));
        match answer.instances.len() < named.len() {
            true => Err(Status::not_found("an instance is not known")),
            false => Ok(Response::new(answer)),
        }
    }

    async fn resume_bounce(
        &self,
        ask: Request<ResumeBounceRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let ask = ask.into_inner();
        let what = format!("resume {}: {}", ask.instance, ask.reason);
        self.write(what, ask.asker, &ask.instance)
    }

    async fn roll_back(
        &self,
        ask: Request<RollBackRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let ask = ask.into_inner();
        let what = format!(
            "roll back {} to {:?}: {}",
            ask.instance, ask.app, ask.reason
        );
        self.write(what, ask.asker, &ask.instance)
    }

    async fn force_bounce(
        &self,
        ask: Request<ForceBounceRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let ask = ask.into_inner();
        let what = format!("force {}: {}", ask.instance, ask.reason);
        self.write(what, ask.asker, &ask.instance)
    }
}
