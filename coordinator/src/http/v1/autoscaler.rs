//! How many instances the autoscaler asks for.

use axum::extract::{Path, Query, State};
use paasta_process::http::Problem;
use serde::Serialize;

use super::{Json, Named, status_of};
use crate::http::{Api, answer::Reading};

/// What is asked for.
#[derive(Serialize)]
pub(super) struct Autoscaler {
    desired_instances: u32,
    min_instances: u32,
    max_instances: u32,
}

/// `GET /services/S/I/autoscaler`: 404 for an instance that is not autoscaled.
pub(super) async fn get(
    State(api): State<Api>,
    Path((service, instance)): Named,
    Query(reading): Query<Reading>,
) -> Result<Json<Autoscaler>, Problem> {
    let (_, status) = status_of(&api, &service, &instance, reading.is_stale()).await?;
    let text = format!(
        "{service}.{instance} is not autoscaled: it has no min_instances and max_instances"
    );
    let scaled = status.autoscaling.ok_or_else(|| Problem::new(404, text))?;
    Ok(Json(Autoscaler {
        desired_instances: status.wanted,
        min_instances: scaled.min_instances,
        max_instances: scaled.max_instances,
    }))
}
