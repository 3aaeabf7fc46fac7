//! What a git server says when something was pushed: the leader asks that repository now.
//!
//! A hook decides nothing. It is a hint to look, and what the repository then answers counts; the
//! secret is there so that not everybody makes the leader ask.

mod payload;
mod secret;

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use paasta_common::id::ServiceName;
use paasta_coordinator_core::remotes::same_place;
use paasta_process::http::Problem;
use paasta_proto::v1::{
    Asker, PokeRequest, RemotesRequest, RequestOutcome, deploys_server::Deploys as _,
};
use serde::Serialize;
use tonic::Request;
use uuid::Uuid;

use self::payload::Pushed;
use super::{Api, Json, problem};

/// Services that one hook makes the leader ask, at most: as many may share a repository.
const SERVICES_MAX: usize = 100;

/// The answer.
#[derive(Serialize)]
struct Asked {
    asked: Vec<ServiceName>,
}

/// `POST /hooks/git`.
pub(super) async fn git(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let path = api.admin.desired.repositories.hook_secret_file();
    let path = path.ok_or_else(|| {
        Problem::new(
            404,
            "there are no hooks here: deployments.hook_secret_file is not set",
        )
    })?;
    let body = body.map_err(|error| Problem::new(error.status().as_u16(), error.body_text()))?;
    let secret = secret::read(path).await.map_err(|error| {
        // The client may be anybody, and need not know which file it is.
        tracing::warn!(%error, "a hook could not be judged");
        Problem::new(
            503,
            "the secret of deployments.hook_secret_file cannot be read; the log says why",
        )
    })?;
    secret
        .judge(&headers, &body)
        .map_err(|refused| Problem::new(401, refused.to_string()))?;
    let pushed = payload::read(&body).map_err(|error| Problem::new(400, error))?;
    let asked = services(&api, pushed).await?;
    for service in &asked {
        poke(&api, service).await?;
    }
    tracing::info!(?asked, "a git server reports a push");
    Ok((StatusCode::ACCEPTED, Json(Asked { asked })).into_response())
}

/// The services that are meant.
async fn services(api: &Api, pushed: Pushed) -> Result<Vec<ServiceName>, Problem> {
    let urls = match pushed {
        Pushed::Service(service) => return Ok(vec![service]),
        Pushed::Repository(urls) => urls,
    };
    let mut found = Vec::new();
    let mut page = String::new();
    loop {
        let ask = RemotesRequest {
            page,
            ..RemotesRequest::default()
        };
        let answer = api.deploys.remotes(Request::new(ask)).await;
        let answer = answer.map_err(|status| problem(&status))?.into_inner();
        let ours = |url: &str| urls.iter().any(|pushed| same_place(pushed, url));
        let names = answer.remotes.iter().filter(|remote| ours(&remote.url));
        found.extend(names.filter_map(|remote| ServiceName::new(&remote.service).ok()));
        page = answer.next_page;
        if page.is_empty() || found.len() >= SERVICES_MAX {
            break;
        }
    }
    found.truncate(SERVICES_MAX);
    match found.is_empty() {
        true => Err(Problem::new(
            404,
            format!("no service has its git_url at {}", urls.join(" or ")),
        )),
        false => Ok(found),
    }
}

async fn poke(api: &Api, service: &ServiceName) -> Result<(), Problem> {
    let ask = PokeRequest {
        asker: Some(Asker {
            request_id: Uuid::now_v7().to_string(),
            by: "git hook".to_owned(),
        }),
        service: service.to_string(),
        tags: Vec::new(),
    };
    let told = api.deploys.poke(Request::new(ask)).await;
    let told = told.map_err(|status| problem(&status))?.into_inner();
    match told.outcome() {
        RequestOutcome::Refused => Err(Problem::new(404, told.text)),
        RequestOutcome::Done
        | RequestOutcome::Unchanged
        | RequestOutcome::Planned
        | RequestOutcome::Unspecified => Ok(()),
    }
}
