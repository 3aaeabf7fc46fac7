//! A member that lost its data directory and starts again under its id: its empty store takes no
//! part, whichever members are there, and the others say so.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use paasta_coordinator::raft::{Consensus, InitOutcome, MemberError, RaftError, Role};
use paasta_proto::v1::{
    IntroduceRequest, RaftPayload, SnapshotChunk, raft_service_client::RaftServiceClient,
};
use tokio::time::sleep;
use tonic::{Code, Status};

use super::harness::{
    PATIENCE, TestNode, acknowledged, alike, data_dir, eventually, leader, three,
};

/// Long enough for several elections.
const A_WHILE: Duration = Duration::from_secs(4);

/// Stops a node, deletes all it had, and starts it again as it was.
async fn lose(nodes: &mut Vec<TestNode>, id: u64, dir: &Path) {
    let at = nodes.iter().position(|node| node.id == id);
    let (id, address) = nodes.remove(at.expect("it runs")).stop().await;
    fs::remove_dir_all(data_dir(dir, id)).expect("it is gone");
    nodes.push(TestNode::start(id, dir, &address, |_| {}).await);
}

fn node(nodes: &[TestNode], id: u64) -> &TestNode {
    let found = nodes.iter().find(|node| node.id == id);
    found.expect("it runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_store_does_not_elect_a_leader_that_lacks_what_was_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = three(dir.path(), |_| {}).await;
    acknowledged(&nodes, "before", b"").await;
    alike(&nodes, 1).await;
    // 2 and 3 acknowledge what 1 never hears of.
    let (one, at_one) = nodes.remove(0).stop().await;
    acknowledged(&nodes, "by two and three", b"").await;
    let (two, at_two) = nodes.remove(0).stop().await;
    lose(&mut nodes, 3, dir.path()).await;
    nodes.push(TestNode::start(one, dir.path(), &at_one, |_| {}).await);
    sleep(A_WHILE).await;
    for node in &nodes {
        assert_ne!(node.status().role, Role::Leader, "{:?}", node.status());
    }
    let empty = node(&nodes, 3).status();
    assert_eq!((empty.term, empty.last_log), (0, None), "it never voted");
    let words = empty.refused_here.expect("it says what it is");
    assert!(words.contains("data directory was lost"), "{words}");
    assert!(words.contains("paasta-coordinator rejoin"), "{words}");
    let refused = &node(&nodes, 1).status().refused;
    assert!(refused[&3].contains("another store") || refused[&3].contains("has store"));

    nodes.push(TestNode::start(two, dir.path(), &at_two, |_| {}).await);
    let both = [1, 2].map(|id| nodes.iter().position(|node| node.id == id).expect("runs"));
    let led = || async {
        let leads = |at: &usize| nodes[*at].status().role == Role::Leader;
        both.iter().copied().find(|at| leads(at))
    };
    let leading = &nodes[eventually("a leader", led).await];
    leading
        .consensus
        .linearize(PATIENCE)
        .await
        .expect("it leads");
    assert!(leading.pairs.has("by two and three"), "nothing is lost");
    let status = leading.status();
    assert!(status.refused.contains_key(&3) && !status.matched.contains_key(&3));
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_leader_it_is_named_and_its_machine_comes_back_under_a_new_id() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = three(dir.path(), |_| {}).await;
    for n in 0..50 {
        acknowledged(&nodes, &format!("before-{n}"), b"").await;
    }
    alike(&nodes, 50).await;
    let led = leader(&nodes).await.id;
    let lost = led % 3 + 1;
    lose(&mut nodes, lost, dir.path()).await;
    let leading = node(&nodes, led);
    let named = || async { leading.status().refused.get(&lost).cloned() };
    let words = eventually("the refusal", named).await;
    assert!(
        words.contains(&format!("coordinator remove {lost}")),
        "{words}"
    );
    assert!(
        !leading.status().matched.contains_key(&lost),
        "it is not listed as up to date"
    );
    acknowledged(&nodes, "without it", b"").await;
    let address = &node(&nodes, lost).address;
    let again = leading.consensus.add_learner(lost, address, PATIENCE).await;
    let Err(MemberError::Refused(words)) = again else {
        panic!("{again:?}");
    };
    assert!(words.contains("has store"), "{words}");
    let init = node(&nodes, lost)
        .consensus
        .init("a-cluster", members(&nodes))
        .await;
    let Err(RaftError::Elsewhere { member, .. }) = init else {
        panic!("{init:?}");
    };
    assert_ne!(member.id, lost);
    let status = leading.status();
    assert_eq!(
        (status.role, status.node_id),
        (Role::Leader, led),
        "nothing moved"
    );

    leading
        .consensus
        .remove(lost, PATIENCE)
        .await
        .expect("removed");
    let at = nodes
        .iter()
        .position(|node| node.id == lost)
        .expect("it runs");
    nodes.remove(at).stop().await;
    let fresh = TestNode::start(4, dir.path(), "", |_| {}).await;
    let leading = node(&nodes, led);
    let added = leading
        .consensus
        .add_learner(4, &fresh.address, PATIENCE)
        .await;
    added.expect("a new id is welcome");
    let caught_up = || async { fresh.pairs.has("without it").then_some(()) };
    eventually("the record in the new member", caught_up).await;
    assert!(leading.status().refused.is_empty());
    nodes.push(fresh);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_the_data_directory_takes_no_part_under_the_leader_it_had_answered() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = three(dir.path(), |_| {}).await;
    acknowledged(&nodes, "early", b"").await;
    alike(&nodes, 1).await;
    let led = leader(&nodes).await.id;
    let old = led % 3 + 1;
    let at = nodes.iter().position(|node| node.id == old);
    let (_, address) = nodes.remove(at.expect("it runs")).stop().await;
    let copy = dir.path().join("copy");
    copy_all(&data_dir(dir.path(), old), &copy);
    nodes.push(TestNode::start(old, dir.path(), &address, |_| {}).await);
    for n in 0..50 {
        acknowledged(&nodes, &format!("late-{n}"), b"").await;
    }
    alike(&nodes, 51).await;
    let term = node(&nodes, led).status().term;
    let at = nodes.iter().position(|node| node.id == old);
    nodes.remove(at.expect("it runs")).stop().await;
    fs::remove_dir_all(data_dir(dir.path(), old)).expect("it is gone");
    fs::rename(&copy, data_dir(dir.path(), old)).expect("the older copy");
    nodes.push(TestNode::start(old, dir.path(), &address, |_| {}).await);
    let leading = node(&nodes, led);
    let named = || async { leading.status().refused.get(&old).cloned() };
    let words = eventually("the refusal", named).await;
    assert!(words.contains("an older copy"), "{words}");
    assert!(!leading.status().matched.contains_key(&old));
    acknowledged(&nodes, "without it", b"").await;
    let status = leading.status();
    assert_eq!(
        (status.role, status.term),
        (Role::Leader, term),
        "nothing moved"
    );
    for node in nodes {
        node.stop().await;
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("it can be listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_all(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("it is copied")),
        }
    }
}

/// Members that are given otherwise than they are.
type Change<'a> = &'a [(u64, &'a str)];

fn members(nodes: &[TestNode]) -> BTreeMap<u64, String> {
    let each = nodes.iter().map(|node| (node.id, node.address.clone()));
    each.collect()
}

async fn client(node: &TestNode) -> RaftServiceClient<tonic::transport::Channel> {
    let address = format!("http://{}", node.address);
    RaftServiceClient::connect(address)
        .await
        .expect("connected")
}

/// Sends the message in every way there is.
async fn every_way(to: &TestNode, message: &RaftPayload) -> Vec<Status> {
    let mut client = client(to).await;
    let one = || futures_util::stream::iter([message.clone()]);
    let appends = client.append_stream(one()).await;
    let mut answers = appends.expect("it is opened").into_inner();
    let snapshot = SnapshotChunk {
        head: Some(message.clone()),
        data: vec![0],
        total_bytes: 1,
    };
    let snapshot = futures_util::stream::iter([snapshot]);
    vec![
        answers.message().await.expect_err("an append"),
        client.vote(message.clone()).await.expect_err("a vote"),
        client
            .pre_vote(message.clone())
            .await
            .expect_err("a pre-vote"),
        client
            .transfer_leader(message.clone())
            .await
            .expect_err("a transfer"),
        client
            .install_snapshot(snapshot)
            .await
            .expect_err("a snapshot"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_of_or_for_another_store_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let nodes = three(dir.path(), |_| {}).await;
    acknowledged(&nodes, "a", b"").await;
    alike(&nodes, 1).await;
    let mut stores = BTreeMap::new();
    for node in &nodes {
        let asked = client(node).await.introduce(IntroduceRequest {}).await;
        let told = asked.expect("it says who it is").into_inner();
        assert_eq!((told.node, told.empty), (node.id, false));
        stores.insert(node.id, told.store);
    }
    let good = RaftPayload {
        cluster_id: "a-cluster".to_owned(),
        from_node: 2,
        to_node: 1,
        epoch: 1,
        from_store: stores[&2].clone(),
        to_store: stores[&1].clone(),
        data: Vec::new().into(),
    };
    let other = "0123456789abcdef0123456789abcdef".to_owned();
    let cases = [
        (
            RaftPayload {
                to_store: other.clone(),
                ..good.clone()
            },
            "coordinator 1 has store",
        ),
        (
            RaftPayload {
                from_store: other,
                ..good.clone()
            },
            "coordinator 2 has store 0123",
        ),
        (
            RaftPayload {
                from_store: String::new(),
                ..good.clone()
            },
            "does not name its store",
        ),
    ];
    for (message, words) in cases {
        for refused in every_way(&nodes[0], &message).await {
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
            assert!(refused.message().contains(words), "{refused}");
        }
    }
    let bad = RaftPayload {
        from_store: "no store".to_owned(),
        ..good
    };
    for refused in every_way(&nodes[0], &bad).await {
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }

    // One that is of no cluster takes nothing that does not name it, and learns nothing from it.
    let fresh = TestNode::start(9, dir.path(), "", |_| {}).await;
    let unnamed = RaftPayload {
        to_node: 9,
        to_store: String::new(),
        from_store: stores[&1].clone(),
        from_node: 1,
        ..bad
    };
    for refused in every_way(&fresh, &unnamed).await {
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("does not name it"), "{refused}");
    }
    let status = fresh.status();
    assert_eq!((status.cluster_id, status.term), (None, 0));
    fresh.stop().await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_made_only_of_members_that_answer_as_they_should() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(TestNode::start(id, dir.path(), "", |_| {}).await);
    }
    let good = members(&nodes);
    let first = nodes[0].consensus.clone();
    let try_with = |change: Change<'_>| {
        let mut members = good.clone();
        members.extend(change.iter().map(|(id, at)| (*id, (*at).to_owned())));
        let first: Consensus = first.clone();
        async move { first.init("a-cluster", members).await }
    };
    let swapped = [(2, good[&3].as_str()), (3, good[&2].as_str())];
    let cases: [(Change<'_>, &[&str]); 3] = [
        (
            &swapped,
            &[
                "says that its id is 3, not 2",
                "says that its id is 2, not 3",
            ],
        ),
        (
            &[(3, "127.0.0.1:1")],
            &["3=127.0.0.1:1: no coordinator answers"],
        ),
        (&[(1, good[&2].as_str())], &["says that its id is 2, not 1"]),
    ];
    for (change, words) in cases {
        let refused = try_with(change)
            .await
            .expect_err("it is refused")
            .to_string();
        for word in words {
            assert!(refused.contains(word), "{refused}");
        }
        for node in &nodes {
            let status = node.status();
            assert!(
                status.is_uninitialized() && status.cluster_id.is_none(),
                "{status:?}"
            );
        }
    }
    let made = try_with(&[]).await.expect("it is made");
    assert_eq!(made, InitOutcome::Initialized);
    acknowledged(&nodes, "a", b"").await;
    assert_eq!(
        try_with(&[]).await.expect("again"),
        InitOutcome::AlreadyInitialized
    );
    let other = try_with(&swapped)
        .await
        .expect_err("other members")
        .to_string();
    assert!(other.contains("is in a cluster of 1="), "{other}");
    assert!(other.contains("paasta coordinator add"), "{other}");

    // A member of one cluster is not taken into another.
    let spare = TestNode::start(8, dir.path(), "", |_| {}).await;
    let mixed = BTreeMap::from([(8, spare.address.clone()), (1, good[&1].clone())]);
    let refused = spare.consensus.init("other", mixed).await;
    assert!(
        matches!(&refused, Err(RaftError::Elsewhere { member, .. }) if member.id == 1),
        "{refused:?}"
    );
    assert!(spare.status().is_uninitialized());
    spare.stop().await;
    for node in nodes {
        node.stop().await;
    }
}
