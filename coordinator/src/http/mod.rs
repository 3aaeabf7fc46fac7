//! What a coordinator says over HTTP: PaaSTA's read API under `/v1`, `/metrics` for Prometheus,
//! `/healthz` and `/readyz` for the supervisor of the process, and the [`dashboard`] for people.
//! Which callers may have which path is in `access`. It reads only, but for the hook of git servers,
//! which makes the leader look; and through the same calls as the command line: a coordinator that
//! does not lead asks the leader, unless `?stale`.
//!
//! One file per path or family of paths; a new one brings a `Router<Api>` and is merged in
//! [`Api::router`].

mod access;
mod answer;
mod health;
mod v1;

use std::{sync::Arc, time::UNIX_EPOCH};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::get,
};
use paasta_identity::{
    Tls,
    web::{Door, Endpoint},
};
use paasta_process::{
    accept::{Open, current_client},
    http::Problem,
};
use tokio_util::sync::CancellationToken;

use crate::{
    dashboard::{self, Live},
    metrics::{Metrics, page},
    rpc::{admin::AdminService, deploys::DeploysService, rights::Rights},
};

/// What the answers are made from. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// Answers of this coordinator or of the leader.
    pub admin: AdminService,
    /// Where a git server's word goes.
    pub deploys: DeploysService,
    /// What is counted.
    pub metrics: Metrics,
    /// What is open at each endpoint.
    pub connections: Vec<Arc<Open>>,
    /// Whose requests are answered.
    pub door: Door,
    /// Whether who is proven has rights now.
    pub rights: Rights,
    /// The open pages that follow what changes.
    pub live: Live,
    /// TLS of this coordinator, where it has some.
    pub tls: Option<Tls>,
}

/// Serves the API until `shutdown`.
pub async fn serve(endpoint: Endpoint, mut api: Api, shutdown: CancellationToken) {
    api.tls.clone_from(&endpoint.tls);
    let metrics = api.metrics.clone();
    let counts = (metrics.connections(), metrics.handshakes().clone());
    let router = move |open, door| {
        api.connections.push(open);
        api.door = door;
        api.router()
    };
    endpoint.serve(access::ROWS, counts, router, shutdown).await;
}

impl Api {
    /// When the certificate of this coordinator expires, milliseconds; none without TLS.
    pub(crate) fn certificate_ends_ms(&self) -> Option<u64> {
        let ends = self.tls.as_ref()?.credentials().validity().not_after;
        let since = ends.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Every path.
    pub fn router(self) -> Router {
        Router::new()
            .nest("/v1", v1::routes())
            .merge(health::routes())
            .merge(dashboard::routes())
            .route("/metrics", get(metrics))
            .fallback(nothing)
            .layer(from_fn_with_state(self.clone(), access::admit))
            .layer(from_fn_with_state(self.clone(), counted))
            .with_state(self)
    }
}

async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    let admin = api.admin.clone();
    let looked = api
        .admin
        .gate
        .looks()
        .take(current_client(), move || admin.view(page));
    let mut page = looked
        .await
        .map_err(|error| Problem::new(503, error.to_string()))?;
    api.admin.rooms.measure(&mut page);
    let open: Vec<&Open> = api.connections.iter().map(Arc::as_ref).collect();
    Open::measure(&open, &mut page);
    Ok(api.metrics.meters().answer(page))
}

async fn nothing() -> Problem {
    Problem::new(
        404,
        "there is nothing here; / is the dashboard, /v1/openapi.json says what else there is",
    )
}

async fn counted(State(api): State<Api>, request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    api.metrics.answered(answer.status().as_u16());
    answer
}
