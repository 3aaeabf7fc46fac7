//! The cluster as a whole.

use axum::extract::{Query, State};
use paasta_process::http::Problem;
use paasta_proto::v1::{MetastatusRequest, MetastatusResponse, admin_server::Admin as _};
use tonic::Request;

use super::{Json, problem};
use crate::http::{Api, answer::Reading};

/// `GET /version`
pub(super) async fn version() -> Json<&'static str> {
    Json(env!("CARGO_PKG_VERSION"))
}

/// `GET /metastatus`: the figures and states themselves, field by field as `paasta metastatus
/// --json` has them, and not PaaSTA's printed text.
pub(super) async fn metastatus(
    State(api): State<Api>,
    Query(reading): Query<Reading>,
) -> Result<Json<MetastatusResponse>, Problem> {
    asked(&api, reading.is_stale()).await.map(Json)
}

pub(super) async fn asked(api: &Api, stale: bool) -> Result<MetastatusResponse, Problem> {
    let answer = api
        .admin
        .metastatus(Request::new(MetastatusRequest { stale }));
    Ok(answer
        .await
        .map_err(|status| problem(&status))?
        .into_inner())
}
