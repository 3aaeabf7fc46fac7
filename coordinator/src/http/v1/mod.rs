//! PaaSTA's API, version 1, as far as it reads, and the hooks of git servers. Field names are PaaSTA's, so that what speaks to a
//! PaaSTA API can speak to this one; `openapi.json` beside this file says every one of them, and a
//! test holds real answers against it.

mod app;
mod autoscaler;
mod cluster;
mod delay;
mod hooks;
mod services;
mod status;
mod tasks;
mod utilization;

use axum::{
    Router,
    extract::Path,
    http::header::CONTENT_TYPE,
    response::IntoResponse,
    routing::{get, post},
};
use paasta_common::id::InstanceId;
use paasta_process::http::Problem;
use paasta_proto::v1::{InstanceStatus, StatusRequest, StatusResponse, admin_server::Admin as _};
use tonic::{Code, Request};

use super::{
    Api,
    answer::{Json, problem},
};

/// The description of everything under `/v1`.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

pub(super) fn routes() -> Router<Api> {
    let instance = Router::new()
        .route("/status", get(status::get))
        .route("/tasks", get(tasks::list))
        .route("/tasks/{task}", get(tasks::one))
        .route("/delay", get(delay::get))
        .route("/autoscaler", get(autoscaler::get))
        .route("/marathon_app", get(app::get));
    Router::new()
        .route("/openapi.json", get(openapi))
        .route("/version", get(cluster::version))
        .route("/metastatus", get(cluster::metastatus))
        .route("/resources/utilization", get(utilization::get))
        .route("/services", get(services::all))
        .route("/services/{service}", get(services::instances))
        .nest("/services/{service}/{instance}", instance)
        .route("/hooks/git", post(hooks::git))
}

async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

/// The `SERVICE` and `INSTANCE` of a path.
type Named = Path<(String, String)>;

/// The status of one instance, its replicas listed.
async fn status_of(
    api: &Api,
    service: &str,
    instance: &str,
    stale: bool,
) -> Result<(StatusResponse, InstanceStatus), Problem> {
    format!("{service}.{instance}")
        .parse::<InstanceId>()
        .map_err(|error| Problem::new(400, error.to_string()))?;
    let ask = StatusRequest {
        service: service.to_owned(),
        instances: vec![instance.to_owned()],
        replicas: true,
        stale,
        ..StatusRequest::default()
    };
    let answer = api.admin.status(Request::new(ask)).await;
    let mut response = answer
        .map_err(|status| unknown(api, service, instance, &status))?
        .into_inner();
    let one = response.instances.pop();
    let one = one.ok_or_else(|| Problem::new(404, format!("{service}.{instance} is not known")))?;
    Ok((response, one))
}

/// What is said of an instance that does not exist names its deployment key, as PaaSTA does.
fn unknown(api: &Api, service: &str, instance: &str, status: &tonic::Status) -> Problem {
    if status.code() != Code::NotFound {
        return problem(status);
    }
    let cluster = api
        .admin
        .machine
        .read()
        .cluster()
        .map(|own| own.name.clone());
    let cluster = cluster.map_or_else(String::new, |name| name.to_string());
    let words = status.message();
    let text = format!("deployment key {cluster}.{instance} of {service} not found: {words}");
    Problem::new(404, text)
}
