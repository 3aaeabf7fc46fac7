//! Names.

use axum::extract::{Path, Query, State};
use paasta_process::http::Problem;
use paasta_proto::v1::{ListRequest, admin_server::Admin as _};
use serde::Serialize;
use tonic::Request;

use super::{Json, problem};
use crate::http::{Api, answer::Reading};

/// Names in one call to the leader.
const PAGE: u32 = 1_000;
/// Calls for one answer, at most: a million names.
const PAGES_MAX: usize = 1_000;

/// Every instance of the cluster.
#[derive(Serialize)]
pub(super) struct Services {
    services: Vec<(String, String)>,
}

/// The instances of one service.
#[derive(Serialize)]
pub(super) struct Instances {
    instances: Vec<String>,
}

/// `GET /services`
pub(super) async fn all(
    State(api): State<Api>,
    Query(reading): Query<Reading>,
) -> Result<Json<Services>, Problem> {
    let services = names(&api, "", reading.is_stale()).await?;
    Ok(Json(Services { services }))
}

/// `GET /services/SERVICE`
pub(super) async fn instances(
    State(api): State<Api>,
    Path(service): Path<String>,
    Query(reading): Query<Reading>,
) -> Result<Json<Instances>, Problem> {
    let names = names(&api, &service, reading.is_stale()).await?;
    if names.is_empty() {
        let text = format!(
            "service {service} has no instance in this cluster; /v1/services has the names"
        );
        return Err(Problem::new(404, text));
    }
    let instances = names.into_iter().map(|(_, instance)| instance).collect();
    Ok(Json(Instances { instances }))
}

async fn names(api: &Api, service: &str, stale: bool) -> Result<Vec<(String, String)>, Problem> {
    let mut names = Vec::new();
    let mut ask = ListRequest {
        service: service.to_owned(),
        page_size: PAGE,
        page: String::new(),
        stale,
    };
    for _ in 0..PAGES_MAX {
        let answer = api.admin.list(Request::new(ask.clone())).await;
        let page = answer.map_err(|status| problem(&status))?.into_inner();
        let split = |id: &String| {
            let (service, instance) = id.split_once('.')?;
            Some((service.to_owned(), instance.to_owned()))
        };
        names.extend(page.instances.iter().filter_map(split));
        if page.next_page.is_empty() {
            return Ok(names);
        }
        ask.page = page.next_page;
    }
    Err(Problem::new(
        500,
        "there are more names than one answer may have",
    ))
}
