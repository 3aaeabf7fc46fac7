//! Why an instance gets no room.

use std::collections::BTreeMap;

use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use paasta_process::http::Problem;
use paasta_proto::v1::InstanceStatus;

use super::{Json, Named, status_of};
use crate::http::{Api, answer::Reading};

/// `GET /services/S/I/delay`: hosts refused by reason, or 204 when nothing waits for room.
pub(super) async fn get(
    State(api): State<Api>,
    Path((service, instance)): Named,
    Query(reading): Query<Reading>,
) -> Result<Response, Problem> {
    let (_, status) = status_of(&api, &service, &instance, reading.is_stale()).await?;
    let refusals = refusals(&status);
    Ok(match refusals.is_empty() {
        true => StatusCode::NO_CONTENT.into_response(),
        false => Json(refusals).into_response(),
    })
}

/// How many hosts refused a replica, by reason.
pub(super) fn refusals(status: &InstanceStatus) -> BTreeMap<&str, u32> {
    let mut sums = BTreeMap::new();
    for (why, hosts) in status.waiting.iter().flat_map(|waiting| &waiting.refusals) {
        *sums.entry(why.as_str()).or_default() += hosts;
    }
    sums
}
