//! How consensus stands, as this coordinator sees it.

use paasta_process::metrics::Page;

use crate::raft::{RaftStatus, Role};

const ROLES: [Role; 6] = [
    Role::Leader,
    Role::NoQuorum,
    Role::Follower,
    Role::Candidate,
    Role::Learner,
    Role::Stopped,
];

/// Adds role, term, log and members.
pub(super) fn add(page: &mut Page, raft: &RaftStatus) {
    let roles = ROLES.map(|role| ([role.as_str()], f64::from(u8::from(role == raft.role))));
    page.gauges(
        "paasta_raft_role",
        "1 for the role of this coordinator, 0 for the others.",
        ["role"],
        roles,
    );
    page.gauge(
        "paasta_raft_has_leader",
        "1 while this coordinator hears a leader, or leads and is heard by a majority.",
        f64::from(u8::from(raft.has_leader())),
    );
    page.gauge(
        "paasta_raft_term",
        "The newest term it knows.",
        raft.term as f64,
    );
    let indexes = [
        (
            "paasta_raft_last_log_index",
            "Last record of its log.",
            raft.last_log,
        ),
        (
            "paasta_raft_commit_index",
            "Last record that a majority is known to hold.",
            raft.committed,
        ),
        (
            "paasta_raft_applied_index",
            "Last record applied to its state.",
            raft.applied,
        ),
        (
            "paasta_raft_snapshot_index",
            "Last record that its newest snapshot covers.",
            raft.snapshot,
        ),
        (
            "paasta_raft_purged_index",
            "Last record cut off its log.",
            raft.purged,
        ),
    ];
    for (name, help, index) in indexes {
        page.gauge(name, help, index.unwrap_or_default() as f64);
    }
    page.gauges(
        "paasta_raft_members",
        "Coordinators of the cluster, by vote: voter or learner.",
        ["vote"],
        [
            (["voter"], raft.voters.len() as f64),
            (["learner"], raft.learners.len() as f64),
        ],
    );
    links(page, raft);
    if raft.is_leader() {
        peers(page, raft);
    }
}

/// What every coordinator measures of its links to the others.
fn links(page: &mut Page, raft: &RaftStatus) {
    page.gauge(
        "paasta_raft_pace_ratio",
        "How many times longer than configured its timeouts of consensus are, for slow links.",
        f64::from(raft.pace_permille) / 1_000.0,
    );
    page.gauge(
        "paasta_coordinator_clock_ahead_seconds",
        "How far its own clock is ahead of the time of the cluster.",
        raft.clock_ahead_ms as f64 / 1_000.0,
    );
    let round_trips: Vec<(String, f64)> = raft
        .links
        .iter()
        .map(|(id, link)| (id.to_string(), link.round_trip.as_secs_f64()))
        .collect();
    page.gauges(
        "paasta_raft_peer_round_trip_seconds",
        "The usual round trip to the peer of late: the median of five.",
        ["peer"],
        round_trips.iter().map(|(id, took)| ([id.as_str()], *took)),
    );
}

/// What only a leader knows of the others.
fn peers(page: &mut Page, raft: &RaftStatus) {
    let last = raft.last_log.unwrap_or_default();
    let of = |id: &u64| id.to_string();
    let lags: Vec<(String, f64)> = raft
        .matched
        .iter()
        .filter(|(id, _)| **id != raft.node_id)
        .map(|(id, matched)| {
            let lag = last.saturating_sub(matched.unwrap_or_default());
            (of(id), lag as f64)
        })
        .collect();
    page.gauges(
        "paasta_raft_peer_lag_records",
        "On the leader: records that the peer does not have yet.",
        ["peer"],
        lags.iter().map(|(id, lag)| ([id.as_str()], *lag)),
    );
    let answers: Vec<(String, f64)> = raft
        .answered
        .iter()
        .filter(|(id, _)| **id != raft.node_id)
        .map(|(id, ago)| (of(id), ago.as_secs_f64()))
        .collect();
    page.gauges(
        "paasta_raft_peer_silence_seconds",
        "On the leader: since the peer last answered.",
        ["peer"],
        answers.iter().map(|(id, ago)| ([id.as_str()], *ago)),
    );
    page.gauge_if(
        "paasta_raft_quorum_silence_seconds",
        "On the leader: since a majority last answered.",
        raft.since_quorum_ack.map(|ago| ago.as_secs_f64()),
    );
}
