//! Growing, shrinking and handing over a cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use paasta_coordinator::raft::{MemberError, RaftOptions, Role};

use tokio::net::TcpListener;

use super::{
    harness::{PATIENCE, TestNode, acknowledged, alike, eventually, leader, three},
    silent::Silent,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_one_grows_to_three_and_sheds_the_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let tune = |options: &mut RaftOptions| {
        options.snapshot_every = 30;
        options.keep_log = 5;
    };
    let mut nodes = vec![TestNode::start(1, dir.path(), "", tune).await];
    let first = nodes[0].consensus.clone();
    let members = BTreeMap::from([(1, nodes[0].address.clone())]);
    first.init("a-cluster", members).await.expect("made");
    for n in 0..100 {
        acknowledged(&nodes, &format!("before-{n}"), b"").await;
    }
    assert_eq!(
        first.change_voters(BTreeSet::from([1, 2]), PATIENCE).await,
        Err(MemberError::Unknown(2)),
        "only a learner can become a voter"
    );
    for id in [2, 3] {
        let node = TestNode::start(id, dir.path(), "", tune).await;
        first
            .add_learner(id, &node.address, PATIENCE)
            .await
            .expect("added");
        first
            .add_learner(id, &node.address, PATIENCE)
            .await
            .expect("harmless");
        assert!(
            node.pairs.has("before-0"),
            "it has caught up, through a snapshot"
        );
        nodes.push(node);
    }
    let taken = first.add_learner(2, "elsewhere:1", PATIENCE).await;
    assert!(
        matches!(taken, Err(MemberError::Taken { id: 2, .. })),
        "{taken:?}"
    );
    first
        .change_voters(BTreeSet::from([1, 2, 3]), PATIENCE)
        .await
        .expect("three vote");
    let status = first.status();
    assert_eq!(
        (status.voters.len(), status.changing),
        (3, false),
        "{status:?}"
    );
    let refused = first.remove(1, PATIENCE).await;
    assert!(
        matches!(refused, Err(MemberError::Refused(_))),
        "{refused:?}"
    );

    first
        .transfer_leader(3, PATIENCE)
        .await
        .expect("handed over");
    let leading = leader(&nodes).await;
    assert_eq!(leading.id, 3);
    let elsewhere = first.remove(2, PATIENCE).await;
    assert!(
        matches!(elsewhere, Err(MemberError::NotLeader { .. })),
        "{elsewhere:?}"
    );
    leading
        .consensus
        .remove(1, PATIENCE)
        .await
        .expect("removed");
    assert_eq!(
        leading.consensus.remove(1, PATIENCE).await,
        Err(MemberError::Unknown(1))
    );
    let gone = nodes.remove(0);
    acknowledged(&nodes, "after", b"").await;
    alike(&nodes, 101).await;
    let status = leader(&nodes).await.status();
    assert_eq!(status.voters.keys().copied().collect::<Vec<_>>(), [2, 3]);
    assert!(status.learners.is_empty());
    drop(first);
    gone.stop().await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_that_is_not_there_is_said_not_to_catch_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let nodes = three(dir.path(), |_| {}).await;
    acknowledged(&nodes, "a", b"").await;
    let leading = leader(&nodes).await;
    let nobody = leading
        .consensus
        .add_learner(9, "127.0.0.1:1", Duration::from_secs(1))
        .await;
    assert!(matches!(nobody, Err(MemberError::Refused(_))), "{nobody:?}");
    assert!(!leading.status().learners.contains_key(&9));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let silent = Silent::of(9);
    let server = silent.serve(listener);
    let silent = leading
        .consensus
        .add_learner(9, &address, Duration::from_secs(1))
        .await;
    assert_eq!(silent, Err(MemberError::NotCaughtUp(9)));
    acknowledged(&nodes, "b", b"").await;
    let again = || async {
        let leading = leader(&nodes).await;
        leading.consensus.remove(9, PATIENCE).await.ok()
    };
    eventually("the removal", again).await;
    server.abort();
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_returns_does_not_unseat_the_leader() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = three(dir.path(), |_| {}).await;
    acknowledged(&nodes, "a", b"").await;
    let leading = leader(&nodes).await;
    let (id, term) = (leading.id, leading.status().term);
    let other = nodes
        .iter()
        .position(|node| node.id != id)
        .expect("two others");
    let (away, address) = nodes.remove(other).stop().await;
    acknowledged(&nodes, "b", b"").await;
    nodes.push(TestNode::start(away, dir.path(), &address, |_| {}).await);
    alike(&nodes, 2).await;
    let status = leader(&nodes).await.status();
    assert_eq!(
        (status.node_id, status.term, status.role),
        (id, term, Role::Leader)
    );
    for node in nodes {
        node.stop().await;
    }
}
