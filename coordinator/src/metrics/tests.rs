//! What a scrape of a coordinator holds.

use super::*;

fn text(metrics: &Metrics) -> String {
    metrics.meters().text(Page::new("coordinator")).unwrap()
}

#[test]
fn what_never_happened_is_told_as_zero() {
    let text = text(&Metrics::new());
    for line in [
        "paasta_proposals_total{outcome=\"failed\"} 0",
        "paasta_plan_duration_seconds_count{scope=\"changed\"} 0",
        "paasta_log_fsync_duration_seconds_count 0",
        "paasta_raft_elections_total 0",
        "paasta_unrecognized_messages_total 0",
        "paasta_unrecognized_values_total 0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test]
async fn elections_and_leaders_are_counted_as_they_are_seen() {
    let metrics = Metrics::new();
    let (seen, status) = watch::channel(RaftStatus::blank());
    let following = tokio::spawn(metrics.clone().follow(status));
    let look = |term, leader: Option<u64>| {
        seen.send_modify(|status| {
            status.term = term;
            status.leader = leader.map(|id| crate::raft::Peer {
                id,
                address: String::new(),
            });
        });
    };
    look(3, None);
    while !text(&metrics).contains("paasta_raft_elections_total 3") {
        tokio::task::yield_now().await;
    }
    look(3, Some(2));
    while !text(&metrics).contains("paasta_raft_leader_changes_total 1") {
        tokio::task::yield_now().await;
    }
    drop(seen);
    following.await.unwrap();
}
