//! A cluster of one, and what a node refuses.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use futures_util::stream;
use paasta_coordinator::raft::{
    Consensus, InitOutcome, MAX_COMMAND_BYTES, Machine, ProposeError, RaftError, RaftOptions, Role,
};
use paasta_coordinator::store::IoMode;
use paasta_proto::v1::{RaftPayload, raft_service_client::RaftServiceClient};
use tonic::Code;

use super::harness::{PATIENCE, Pairs, TestNode, data_dir, eventually, set};

async fn alone(node: &TestNode) {
    let members = BTreeMap::from([(node.id, node.address.clone())]);
    node.consensus
        .init("a-cluster", members)
        .await
        .expect("a cluster of one");
    let leads = || async { node.consensus.linearize(Duration::from_secs(1)).await.ok() };
    eventually("leadership", leads).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_one_serves_and_recovers() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = TestNode::start(1, dir.path(), "", |_| {}).await;
    let before = node.consensus.propose(set("a", b"1"), PATIENCE).await;
    assert_eq!(
        before,
        Err(ProposeError::NotLeader { leader: None }),
        "there is no cluster yet"
    );
    alone(&node).await;
    let outcome = node.consensus.propose(set("a", b"1"), PATIENCE).await;
    assert_eq!(outcome, Ok(b"1".to_vec()));
    let not_a_command = node.consensus.propose(b"\xc1".to_vec(), PATIENCE).await;
    assert_eq!(not_a_command, Ok(b"what?".to_vec()));

    let commands: Vec<_> = (0..600).map(|n| set(&format!("b{n}"), &[0; 10])).collect();
    let outcomes = node.consensus.propose_many(commands, PATIENCE).await;
    let numbers = outcomes
        .into_iter()
        .map(|outcome| outcome.expect("applied"));
    let expected = (2..602).map(|n: u32| n.to_string().into_bytes());
    assert!(numbers.eq(expected), "outcomes come in order");

    let status = node.status();
    assert_eq!(
        (status.role, status.leader.expect("itself").id),
        (Role::Leader, 1)
    );
    assert_eq!(status.cluster_id.as_deref(), Some("a-cluster"));
    assert_eq!((status.voters.len(), status.changing), (1, false));
    let applied = || async { (node.status().applied == node.status().last_log).then_some(()) };
    eventually("everything applied", applied).await;

    let (id, address) = node.stop().await;
    let node = TestNode::start(id, dir.path(), &address, |_| {}).await;
    assert!(
        !node.status().is_uninitialized(),
        "from its first moment it says which cluster it is of"
    );
    let recovered = || async { (node.pairs.all().len() == 601).then_some(()) };
    eventually("the state from before", recovered).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_commands_pass_and_larger_ones_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = TestNode::start(1, dir.path(), "", |_| {}).await;
    alone(&node).await;
    let large = set("large", &vec![1; MAX_COMMAND_BYTES / 2]);
    let too_large = vec![0; MAX_COMMAND_BYTES + 1];
    let bytes = too_large.len();
    let commands = vec![set("x", b""), too_large.clone(), large, set("y", b"")];
    let outcomes = node.consensus.propose_many(commands, PATIENCE).await;
    let refused = ProposeError::TooLarge {
        bytes,
        limit: MAX_COMMAND_BYTES,
    };
    let expected = [Ok("1"), Err(refused.clone()), Ok("2"), Ok("3")];
    assert_eq!(
        outcomes,
        expected.map(|outcome| outcome.map(|n| n.as_bytes().to_vec()))
    );
    assert_eq!(
        node.consensus.propose(too_large, PATIENCE).await,
        Err(refused)
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_twice_is_harmless_and_another_cluster_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = TestNode::start(1, dir.path(), "", |_| {}).await;
    let members = BTreeMap::from([(1, node.address.clone())]);
    let init = |cluster| node.consensus.init(cluster, members.clone());
    assert_eq!(init("ours").await.expect("made"), InitOutcome::Initialized);
    assert_eq!(
        init("ours").await.expect("known"),
        InitOutcome::AlreadyInitialized
    );
    let other = init("theirs").await;
    assert!(
        matches!(other, Err(RaftError::OtherCluster { .. })),
        "{other:?}"
    );
    let without_us = BTreeMap::from([(2, "elsewhere:1".to_owned())]);
    let refused = node.consensus.init("ours", without_us).await;
    assert!(matches!(refused, Err(RaftError::Members(_))), "{refused:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_others_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = TestNode::start(1, dir.path(), "", |_| {}).await;
    alone(&node).await;
    let address = format!("http://{}", node.address);
    let mut client = RaftServiceClient::connect(address)
        .await
        .expect("connected");
    let message = |cluster: &str, to_node| RaftPayload {
        data: Vec::new().into(),
        cluster_id: cluster.to_owned(),
        from_node: 2,
        to_node,
        epoch: 1,
        ..RaftPayload::default()
    };
    let cases = [
        (
            message("another-cluster", 1),
            Code::FailedPrecondition,
            "belongs to cluster a-cluster",
        ),
        (
            RaftPayload {
                epoch: 2,
                ..message("a-cluster", 1)
            },
            Code::FailedPrecondition,
            "is of epoch 1 of this cluster, not of epoch 2",
        ),
        (
            message("a-cluster", 3),
            Code::FailedPrecondition,
            "this is coordinator 1",
        ),
        (message("", 1), Code::InvalidArgument, "names no cluster"),
        (message("a-cluster", 1), Code::InvalidArgument, "empty"),
    ];
    let term = node.status().term;
    for (message, code, text) in cases {
        let vote = client.vote(message.clone()).await.expect_err("refused");
        let appends = client.append_stream(stream::iter([message]));
        let mut answers = appends.await.expect("it is opened").into_inner();
        let append = answers.message().await.expect_err("refused");
        for refused in [vote, append] {
            assert_eq!(refused.code(), code, "{refused}");
            assert!(refused.message().contains(text), "{refused}");
        }
    }
    assert_eq!(node.status().term, term);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_would_go_on_ends_when_the_node_stops() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = TestNode::start(1, dir.path(), "", |_| {}).await;
    let address = format!("http://{}", node.address);
    let mut client = RaftServiceClient::connect(address)
        .await
        .expect("connected");
    let appends = client.append_stream(stream::pending()).await;
    let mut answers = appends.expect("it is opened").into_inner();
    node.consensus.hang_up();
    let end = tokio::time::timeout(PATIENCE, answers.message()).await;
    assert_eq!(end.expect("it ends").expect("without an error"), None);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_told_its_cluster_refuses_others_from_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let tune = |options: &mut RaftOptions| options.cluster_id = Some("told".to_owned());
    let node = TestNode::start(1, dir.path(), "", tune).await;
    let members = BTreeMap::from([(1, node.address.clone())]);
    let other = node.consensus.init("other", members.clone()).await;
    assert!(
        matches!(other, Err(RaftError::OtherCluster { .. })),
        "{other:?}"
    );
    let told = node.consensus.init("told", members).await;
    assert_eq!(told.expect("made"), InitOutcome::Initialized);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_does_not_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = TestNode::start(1, dir.path(), "", |_| {}).await;
    alone(&node).await;
    node.consensus
        .propose(set("a", b"1"), PATIENCE)
        .await
        .expect("acknowledged");
    let (id, address) = node.stop().await;
    fs::remove_dir_all(data_dir(dir.path(), id).join("log")).expect("gone");
    let options = RaftOptions::new(id, address, data_dir(dir.path(), id));
    let machine: Arc<dyn Machine> = Arc::new(Pairs::default());
    let error = Consensus::start(options, machine)
        .await
        .err()
        .expect("it must not start");
    assert!(matches!(error, RaftError::Damaged(_)), "{error}");
    assert!(
        error.to_string().contains("rejoin"),
        "it says what to do: {error}"
    );
}

#[tokio::test]
async fn without_threads_it_serves_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let tune = |options: &mut RaftOptions| {
        options.io = IoMode::Inline;
        options.snapshot_every = 20;
        options.keep_log = 5;
    };
    let node = TestNode::start(1, dir.path(), "", tune).await;
    alone(&node).await;
    for n in 0..100 {
        node.consensus
            .propose(set(&format!("k{n}"), b""), PATIENCE)
            .await
            .expect("applied");
    }
    let purged = || async { node.status().purged };
    eventually("a purge", purged).await;
    let (id, address) = node.stop().await;
    let node = TestNode::start(id, dir.path(), &address, tune).await;
    let recovered = || async { (node.pairs.all().len() == 100).then_some(()) };
    eventually("the state from before", recovered).await;
    node.stop().await;
}
