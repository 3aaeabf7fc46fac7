//! Members come and go while leaders die in the middle of a change and a node that lags is brought
//! up by a snapshot: what was once acknowledged stays, and no configuration that was never agreed
//! on counts.

use std::{collections::BTreeSet, path::Path, time::Duration};

use paasta_coordinator::raft::{MemberError, RaftOptions};

use super::harness::{PATIENCE, TestNode, acknowledged, alike, eventually, leader, three};

/// Snapshots are frequent and the log short: who is away for a moment needs a snapshot.
fn short_log(options: &mut RaftOptions) {
    options.snapshot_every = 20;
    options.keep_log = 2;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn churn_with_snapshots_and_a_lagging_node_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = three(dir.path(), short_log).await;
    let mut written = 0;
    for round in 0..3 {
        write(&nodes, &mut written, 10).await;
        nodes = one_round(dir.path(), nodes, 10 + round, &mut written).await;
    }
    write(&nodes, &mut written, 5).await;
    alike(&nodes, written).await;
    let status = leader(&nodes).await.status();
    let voters: BTreeSet<u64> = status.voters.keys().copied().collect();
    assert_eq!(voters, BTreeSet::from([1, 2, 3]));
    assert!(status.learners.is_empty() && !status.changing, "{status:?}");
    for node in nodes {
        node.stop().await;
    }
}

/// A newcomer is made a voter while it is away and the leader dies; later both come back.
async fn one_round(
    dir: &Path,
    mut nodes: Vec<TestNode>,
    newcomer: u64,
    written: &mut usize,
) -> Vec<TestNode> {
    let fresh = TestNode::start(newcomer, dir, "", short_log).await;
    until_done(&nodes, "the learner", |node| {
        let (consensus, address) = (node.consensus.clone(), fresh.address.clone());
        async move {
            consensus
                .add_learner(newcomer, &address, PATIENCE)
                .await
                .is_ok()
        }
    })
    .await;
    let (newcomer, its_address) = fresh.stop().await;

    let leading = leader(&nodes).await;
    let (led, consensus) = (leading.id, leading.consensus.clone());
    let promoting = tokio::spawn(async move {
        let voters = BTreeSet::from([1, 2, 3, newcomer]);
        consensus
            .change_voters(voters, Duration::from_secs(5))
            .await
    });
    let at = nodes.iter().position(|node| node.id == led);
    let (led, led_address) = nodes.remove(at.expect("it is one of them")).stop().await;
    // Whether it got through is chance; both must be survived.
    let _ = promoting.await.expect("it ends");

    // With three of four voters the two that are left may be no majority: the newcomer decides.
    nodes.push(TestNode::start(newcomer, dir, &its_address, short_log).await);
    write(&nodes, written, 60).await;
    nodes.push(TestNode::start(led, dir, &led_address, short_log).await);
    write(&nodes, written, 30).await;
    alike(&nodes, *written).await;

    until_done(&nodes, "the removal", |node| {
        let consensus = node.consensus.clone();
        async move {
            let mine = consensus.status().node_id;
            if mine == newcomer {
                let _ = consensus.transfer_leader(led, Duration::from_secs(2)).await;
                return false;
            }
            let removed = consensus.remove(newcomer, Duration::from_secs(5)).await;
            matches!(removed, Ok(()) | Err(MemberError::Unknown(_)))
        }
    })
    .await;
    let gone = nodes.iter().position(|node| node.id == newcomer);
    nodes.remove(gone.expect("it ran")).stop().await;
    nodes
}

async fn write(nodes: &[TestNode], written: &mut usize, count: usize) {
    for _ in 0..count {
        acknowledged(nodes, &format!("key-{written}"), b"kept").await;
        *written += 1;
    }
}

/// Asks the leader, again and again, until it says that it is done.
async fn until_done<F>(nodes: &[TestNode], what: &str, act: impl Fn(&TestNode) -> F)
where
    F: Future<Output = bool>,
{
    eventually(what, || async {
        act(leader(nodes).await).await.then_some(())
    })
    .await;
}
