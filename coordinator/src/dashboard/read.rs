//! Answers for a page: the leader's, or what this coordinator has where there is no leader.

use std::time::Duration;

use futures_util::future::BoxFuture;
use maud::{Markup, html};
use paasta_process::http::Problem;
use tonic::{Code, Response, Status};

use super::parts;
use crate::{http::Api, raft::RaftStatus, rpc::admin::AdminService};

/// How long the leader is waited for before this coordinator shows what it has.
const LEADER_WAIT: Duration = Duration::from_secs(2);

/// Where what a page shows comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Standing {
    /// The cluster's name; empty before it has one.
    pub(super) cluster: String,
    /// The coordinator that makes the page.
    pub(super) node: u64,
    /// The leader whose answer it is; none without one.
    pub(super) leader: Option<u64>,
    /// Whether this coordinator belongs to a cluster.
    pub(super) member: bool,
    /// When the page was made, milliseconds.
    pub(super) now_ms: u64,
    /// When a leader was last heard of, milliseconds; none if never.
    pub(super) heard_at_ms: Option<u64>,
    /// The last record of the log that this coordinator has applied.
    pub(super) applied: u64,
}

impl Standing {
    /// Of this moment.
    pub(super) fn of(api: &Api) -> Self {
        let raft = api.admin.consensus.status();
        let name = {
            let state = api.admin.machine.read();
            state.cluster().map(|cluster| cluster.name.to_string())
        };
        Self::new(&raft, name.unwrap_or_default(), api.admin.clock.now().0)
    }

    fn new(raft: &RaftStatus, cluster: String, now_ms: u64) -> Self {
        let heard = [raft.since_quorum_ack, raft.since_heard];
        let heard = heard.into_iter().flatten().min();
        let ago = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            cluster,
            node: raft.node_id,
            leader: raft.leader.as_ref().map(|leader| leader.id),
            member: !raft.is_uninitialized(),
            now_ms,
            heard_at_ms: heard.map(|span| now_ms.saturating_sub(ago(span))),
            applied: raft.applied.unwrap_or_default(),
        }
    }

    /// What the reader must know of it. An assistive program reads it out when it changes.
    pub(super) fn words(&self) -> Markup {
        let node = self.node;
        match (self.member, self.leader) {
            (false, _) => html! {
                p #standing.leaderless role="status" {
                    "Coordinator " (node) " is not part of a cluster yet: "
                    (parts::command("paasta cluster init --help"))
                }
            },
            (true, Some(leader)) => html! {
                p #standing role="status" {
                    "Coordinator " (leader) " leads; coordinator " (node) " shows this page."
                }
            },
            (true, None) => html! {
                p #standing.leaderless role="status" {
                    "No leader"
                    @if let Some(at) = self.heard_at_ms { " since about " (parts::moment(seconds(at))) }
                    ". What runs keeps running, and nothing is decided until there is one. Coordinator "
                    (node) " shows what it has; what hosts run is not known to it."
                }
            },
        }
    }

    /// As of when it is.
    pub(super) fn moment(&self) -> Markup {
        html! { p #as-of { "As of " (parts::moment(self.now_ms)) ", record " (self.applied) " of the log." } }
    }
}

/// A moment that is the same for a while: it is reckoned from an age, which has no fixed beginning.
fn seconds(ms: u64) -> u64 {
    ms / 10_000 * 10_000
}

/// Asks for answers. After the first that the leader does not give in time, all are of this
/// coordinator: one page is not of two.
pub(super) struct Reader {
    admin: AdminService,
    stale: bool,
}

impl Reader {
    /// A reader for one page.
    pub(super) fn new(api: &Api) -> Self {
        let has_leader = api.admin.consensus.status().has_leader();
        Self {
            admin: api.admin.clone(),
            stale: !has_leader,
        }
    }

    /// Whether the answers are those of this coordinator.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    /// The answer of a call, which gets whether it may be this coordinator's own.
    ///
    /// # Errors
    /// What is wrong with the request, or that this coordinator has too much to do.
    pub(super) async fn ask<T, F>(&mut self, call: F) -> Result<T, Problem>
    where
        F: Fn(AdminService, bool) -> BoxFuture<'static, Result<Response<T>, Status>>,
    {
        if !self.stale {
            let answer = tokio::time::timeout(LEADER_WAIT, call(self.admin.clone(), false));
            match answer.await {
                Ok(Err(status)) if !is_away(&status) => return Err(problem(&status)),
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(_)) | Err(_) => self.stale = true,
            }
        }
        let answer = call(self.admin.clone(), true).await;
        answer
            .map(Response::into_inner)
            .map_err(|status| problem(&status))
    }
}

/// Whether another coordinator may have an answer, or this one an older one.
fn is_away(status: &Status) -> bool {
    matches!(
        status.code(),
        // A leader of an older version does not know the call.
        Code::Unavailable | Code::DeadlineExceeded | Code::FailedPrecondition | Code::Unimplemented
    )
}

fn problem(status: &Status) -> Problem {
    let code = match status.code() {
        Code::NotFound => 404,
        Code::InvalidArgument => 400,
        Code::Unavailable | Code::FailedPrecondition | Code::ResourceExhausted => 503,
        Code::DeadlineExceeded => 504,
        _ => 500,
    };
    Problem::new(code, status.message())
}
