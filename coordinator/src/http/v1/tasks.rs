//! Replicas, in PaaSTA's word tasks.

use axum::extract::{Path, Query, State};
use paasta_process::http::Problem;
use serde::Deserialize;

use super::{Json, Named, status::Task, status_of};
use crate::http::{Api, answer::Flag};

/// What may be asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// Only those on this host, by its id or address.
    slave_hostname: Option<String>,
    stale: Option<Flag>,
}

/// `GET /services/S/I/tasks`
pub(super) async fn list(
    State(api): State<Api>,
    Path((service, instance)): Named,
    Query(asked): Query<Asked>,
) -> Result<Json<Vec<Task>>, Problem> {
    let stale = asked.stale.is_some_and(Flag::is_set);
    let (_, status) = status_of(&api, &service, &instance, stale).await?;
    let on = |task: &Task| match &asked.slave_hostname {
        Some(host) => task.is_on(host),
        None => true,
    };
    Ok(Json(
        status.replicas.iter().map(Task::of).filter(on).collect(),
    ))
}

/// `GET /services/S/I/tasks/ID`
pub(super) async fn one(
    State(api): State<Api>,
    Path((service, instance, task)): Path<(String, String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Json<Task>, Problem> {
    let stale = asked.stale.is_some_and(Flag::is_set);
    let (_, status) = status_of(&api, &service, &instance, stale).await?;
    let found = status.replicas.iter().find(|replica| replica.id == task);
    let text = format!("task {task} is not one of {service}.{instance}; /tasks has the ids");
    found
        .map(|replica| Json(Task::of(replica)))
        .ok_or_else(|| Problem::new(404, text))
}
