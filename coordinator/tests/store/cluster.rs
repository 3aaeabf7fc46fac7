//! Three nodes over real connections.

use std::time::{Duration, Instant};

use paasta_coordinator::raft::{ProposeError, RaftOptions, Role};

use super::harness::{PATIENCE, TestNode, acknowledged, alike, eventually, leader, set, three};

/// Generous, for a loaded machine: on a quiet one it is 0.6 to 0.8 s.
const LONGEST_OUTAGE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_leads_and_the_others_say_who() {
    let dir = tempfile::tempdir().expect("a directory");
    let nodes = three(dir.path(), |_| {}).await;
    let leading = leader(&nodes).await;
    acknowledged(&nodes, "a", b"1").await;
    for node in nodes.iter().filter(|node| node.id != leading.id) {
        let refused = node.consensus.propose(set("b", b""), PATIENCE).await;
        let Err(ProposeError::NotLeader {
            leader: Some(named),
        }) = refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!((named.id, &named.address), (leading.id, &leading.address));
        let read = node.consensus.linearize(PATIENCE).await;
        assert!(
            matches!(read, Err(ProposeError::NotLeader { .. })),
            "{read:?}"
        );
        assert_eq!(
            node.status().cluster_id.as_deref(),
            Some("a-cluster"),
            "learned and kept"
        );
    }
    leading
        .consensus
        .linearize(PATIENCE)
        .await
        .expect("a majority answers");
    alike(&nodes, 1).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_outlive_their_leaders() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = three(dir.path(), |_| {}).await;
    let mut written = 0;
    for round in 0..3 {
        for n in 0..20 {
            acknowledged(&nodes, &format!("{round}-{n}"), &[n; 100]).await;
            written += 1;
        }
        let id = leader(&nodes).await.id;
        let at = nodes
            .iter()
            .position(|node| node.id == id)
            .expect("it is one of them");
        let mut changes = nodes[(at + 1) % 3].consensus.watch();
        let term = changes.borrow_and_update().term;
        let (id, address) = nodes.remove(at).stop().await;
        let lost_at = Instant::now();
        acknowledged(&nodes, &format!("{round}-after"), b"").await;
        written += 1;
        let outage = lost_at.elapsed();
        assert!(
            outage < LONGEST_OUTAGE,
            "round {round}: no write for {outage:?}"
        );
        let new = changes.wait_for(|status| status.term > term);
        let new = tokio::time::timeout(PATIENCE, new)
            .await
            .expect("in time")
            .expect("it watches");
        assert_ne!(new.role, Role::Stopped);
        drop(new);
        nodes.push(TestNode::start(id, dir.path(), &address, |_| {}).await);
        alike(&nodes, written).await;
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_away_catches_up_through_a_large_snapshot() {
    let dir = tempfile::tempdir().expect("a directory");
    let tune = |options: &mut RaftOptions| {
        options.snapshot_every = 40;
        options.keep_log = 8;
    };
    let mut nodes = three(dir.path(), tune).await;
    acknowledged(&nodes, "first", b"").await;
    let leading = leader(&nodes).await.id;
    let away = nodes
        .iter()
        .position(|node| node.id != leading)
        .expect("two others");
    let (id, address) = nodes.remove(away).stop().await;
    for n in 0..120 {
        acknowledged(&nodes, &format!("large-{n}"), &vec![n; 64 << 10]).await;
    }
    let purged = || async {
        leader(&nodes)
            .await
            .status()
            .purged
            .filter(|index| *index > 60)
    };
    let gone = eventually("a purged log", purged).await;
    nodes.push(TestNode::start(id, dir.path(), &address, tune).await);
    alike(&nodes, 121).await;
    let back = nodes.last().expect("it was pushed").status();
    assert!(
        back.snapshot.is_some_and(|index| index >= gone),
        "{back:?}: through a snapshot"
    );
    let bytes: usize = nodes[0].pairs.all().values().map(Vec::len).sum();
    assert!(
        bytes > 4 << 20,
        "{bytes} bytes do not test the message limit"
    );
    acknowledged(&nodes, "after", b"").await;
    alike(&nodes, 122).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_left_alone_refuses_in_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = three(dir.path(), |_| {}).await;
    acknowledged(&nodes, "a", b"").await;
    let id = leader(&nodes).await.id;
    let at = nodes
        .iter()
        .position(|node| node.id == id)
        .expect("it is one of them");
    let lone = nodes.remove(at);
    for node in nodes {
        node.stop().await;
    }
    let deadline = Duration::from_secs(60);
    let started = Instant::now();
    let first = lone.consensus.propose(set("b", b""), deadline).await;
    assert!(
        matches!(
            first,
            Err(ProposeError::Uncertain { .. } | ProposeError::NoQuorum)
        ),
        "{first:?}"
    );
    let second = lone.consensus.propose(set("c", b""), deadline).await;
    assert_eq!(second, Err(ProposeError::NoQuorum));
    assert!(!ProposeError::NoQuorum.outcome_unknown());
    let many = vec![set("d", b""), set("e", b"")];
    let many = lone.consensus.propose_many(many, deadline).await;
    assert_eq!(many, vec![Err(ProposeError::NoQuorum); 2]);
    let read = lone.consensus.linearize(deadline).await;
    assert_eq!(read, Err(ProposeError::NoQuorum));
    assert!(
        started.elapsed() < PATIENCE,
        "errors before the deadline of {deadline:?}"
    );
    lone.stop().await;
}
