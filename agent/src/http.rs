//! What an agent says over HTTP: `/metrics`, `/healthz`, `/readyz`. It reads only. Which callers may
//! have which path is one table; what is not in it is answered to none.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use paasta_common::report::{HostPart, Runtime};
use paasta_identity::{
    Role,
    web::{Access, Door, Endpoint, Row},
};
use paasta_process::{
    accept::Open,
    http::{Problem, text},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    agent::Handle,
    metrics::{Metrics, proxy_figures},
    proxy::ProxyView,
};

/// Figures of this process; on loopback also for processes that prove nothing.
const MEASURE: Access = Access::Local(&[
    Role::Coordinator,
    Role::Admin,
    Role::Deployer,
    Role::Reader,
    Role::Metrics,
]);

/// Every path.
const ROWS: &[Row] = &[
    ("GET", "/metrics", MEASURE),
    ("GET", "/healthz", Access::Open),
    ("GET", "/readyz", Access::Open),
];

/// What the answers are made from.
#[derive(Clone)]
pub struct Api {
    /// The agent.
    pub agent: Handle,
    /// What it counts.
    pub metrics: Metrics,
    /// The host's load balancer, when it has one.
    pub proxy: Option<watch::Receiver<Arc<ProxyView>>>,
    /// What is open.
    pub connections: Vec<Arc<Open>>,
    /// Whose requests are answered.
    pub door: Door,
}

/// Serves the paths until `shutdown`.
pub async fn serve(endpoint: Endpoint, mut api: Api, shutdown: CancellationToken) {
    let metrics = api.metrics.clone();
    let counts = (metrics.connections(), metrics.handshakes().clone());
    let router = move |open, door| {
        api.connections.push(open);
        api.door = door;
        api.router()
    };
    endpoint.serve(ROWS, counts, router, shutdown).await;
}

impl Api {
    /// Every path.
    pub fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .fallback(nothing)
            .layer(from_fn_with_state(self.door.clone(), admit))
            .with_state(self)
    }
}

async fn admit(State(door): State<Door>, request: Request, next: Next) -> Response {
    let admitted = door.admit(&request);
    match admitted.await {
        Ok(_) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn nothing() -> Problem {
    Problem::new(404, "an agent has /metrics, /healthz and /readyz only")
}

async fn metrics(State(api): State<Api>) -> Response {
    let view = api.agent.view.borrow().clone();
    let mut page = api.metrics.page(&view);
    if let Some(proxy) = &api.proxy {
        proxy_figures(&proxy.borrow(), &mut page);
    }
    let open: Vec<&Open> = api.connections.iter().map(Arc::as_ref).collect();
    Open::measure(&open, &mut page);
    api.metrics.meters().answer(page)
}

/// 200 as long as the agent's own task lives: 503 asks for a restart, which touches no container.
async fn healthz(State(api): State<Api>) -> Result<impl IntoResponse, Problem> {
    match api.agent.inbox.is_closed() {
        true => Err(Problem::new(503, "the agent has ended; its log says why")),
        false => Ok(text("well\n".to_owned())),
    }
}

/// 200 while it can do what it is told: the engine works and a coordinator is connected. Without
/// a coordinator it goes on with what it knows.
async fn readyz(State(api): State<Api>) -> Result<impl IntoResponse, Problem> {
    let view = api.agent.view.borrow().clone();
    if let Runtime::Degraded { reason, part, .. } = &view.runtime
        && *part != HostPart::DockerDisk
    {
        return Err(Problem::new(503, format!("nothing new is begun: {reason}")));
    }
    if api.metrics.is_revoked() {
        return Err(Problem::new(
            503,
            "the identity of this host is revoked, and coordinators refuse it; what runs here goes on",
        ));
    }
    match api.metrics.is_connected() {
        true => Ok(text("connected\n".to_owned())),
        false => Err(Problem::new(
            503,
            "no coordinator is connected; it goes on with what it knows",
        )),
    }
}
