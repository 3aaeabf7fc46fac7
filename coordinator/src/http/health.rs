//! Whether the process lives, and whether it can answer for the cluster.

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use paasta_process::http::{Problem, text};

use super::Api;
use crate::raft::Role;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
}

/// 200 as long as consensus runs here. Where it has ended the process ends as well; until then 503
/// asks for a restart.
async fn healthz(State(api): State<Api>) -> Result<impl IntoResponse, Problem> {
    match api.admin.consensus.status().role {
        Role::Stopped => Err(Problem::new(
            503,
            "consensus has ended on this coordinator; its log says why",
        )),
        role => Ok(text(format!("{}\n", role.as_str()))),
    }
}

/// 200 while it belongs to a cluster that has a leader: only then can it answer with anything but
/// what it has.
async fn readyz(State(api): State<Api>) -> Result<impl IntoResponse, Problem> {
    let status = api.admin.consensus.status();
    if let Some(why) = &status.refused_here {
        return Err(Problem::new(503, why.as_str()));
    }
    if status.is_uninitialized() {
        let words = "not part of a cluster yet: `paasta cluster init`, or `paasta coordinator add`";
        return Err(Problem::new(503, words));
    }
    match &status.leader {
        Some(leader) if status.has_leader() => Ok(text(format!("{leader} leads\n"))),
        _ => Err(Problem::new(
            503,
            "there is no leader that this coordinator hears",
        )),
    }
}
