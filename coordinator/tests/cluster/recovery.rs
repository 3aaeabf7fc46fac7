//! Saved states, lost majorities and damaged stores: a cluster begins again, and what is left of
//! before never mixes with it.

use std::{fs, io::Read, path::Path, time::Duration};

use paasta_common::time::Timestamp;
use paasta_coordinator::{
    codec,
    offline::{
        OfflineError,
        recover::{look, recover},
        rejoin::rejoin,
        restore::{Restore, restore},
    },
    store::{Ballot, FlushTimer, IoMode, OnVolume, Store, StoreId, StoreOptions},
};
use paasta_coordinator_core::state::ClusterState;
use paasta_process::saved::{Incoming, Saved};
use paasta_proto::v1::{
    AddMemberRequest, DeployStatus, MetastatusRequest, NodeRequest, NodeRole, SaveSnapshotRequest,
};

use super::{
    agent::FakeAgent,
    coordinators::Coordinators,
    http::get,
    members::{add, list, promote, remove},
};
use crate::PATIENCE;

const NOW: Timestamp = Timestamp(1_763_903_530_000);

async fn save(cluster: &Coordinators, through: u64, path: &Path) -> Saved {
    let answer = cluster
        .snapshots(through)
        .save(SaveSnapshotRequest {})
        .await;
    let mut parts = answer.expect("it is sent").into_inner();
    let mut incoming = Incoming::begin(path).expect("a file");
    while let Some(part) = parts.message().await.expect("it is sent whole") {
        incoming.write(&part.data).expect("it is written");
    }
    incoming.finish().expect("it is whole")
}

fn state_of(saved: &Saved) -> ClusterState {
    let mut body = Vec::new();
    let mut reader = saved.body().expect("a body");
    reader.read_to_end(&mut body).expect("it can be read");
    codec::decode(&body).expect("it is a state")
}

/// A cluster of three with a running instance, and the ids of its replicas.
async fn running() -> (Coordinators, Vec<FakeAgent>, Vec<u64>) {
    let cluster = Coordinators::start(3).await;
    let agents = FakeAgent::several(&cluster, 2).await;
    cluster.declare("hello", "main: {instances: 3, cpus: 0.1, mem: 64}");
    cluster.deploy("hello", 'a');
    cluster.wait_running("hello.main", 3, PATIENCE).await;
    let replicas = agents.iter().flat_map(FakeAgent::replicas).collect();
    (cluster, agents, replicas)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_state_becomes_a_new_cluster_that_the_old_members_cannot_join() {
    let (mut cluster, agents, replicas) = running().await;
    let path = cluster.scratch().join("saved");
    let leader = cluster.leader(PATIENCE).await;
    let saved = save(&cluster, leader % 3 + 1, &path).await;
    let head = saved.head().clone();
    assert_eq!((head.cluster.as_str(), head.epoch), ("demo", 1));
    assert_eq!((head.counts.replicas, head.counts.hosts), (3, 2));
    assert_eq!(head.coordinators.len(), 3);

    // Everything that is done after the save is lost, and must not come back to haunt the hosts.
    cluster.declare("hello", "main: {instances: 5, cpus: 0.1, mem: 64}");
    cluster.wait_running("hello.main", 5, PATIENCE).await;
    let kept = fall_silent(agents).await;
    for id in 1..=3 {
        cluster.kill(id).await;
    }
    let old = cluster.ids();
    let address = cluster.reserve(10);
    let dir = cluster.data_dir(10);
    let what = Restore {
        snapshot: &path,
        data_dir: &dir,
        node: 10,
        address: &address,
        at: NOW,
    };
    let restored = restore(&what).await.expect("it is restored");
    assert_eq!((restored.epoch, restored.replicas), (2, 3));
    assert_eq!(restored.cluster_id, head.cluster_id);
    let again = restore(&what).await.expect_err("there is a store now");
    assert!(matches!(again, OfflineError::Occupied { .. }), "{again}");

    cluster.restart(10).await;
    assert_eq!(cluster.leader(PATIENCE).await, 10);
    let back = come_back(&cluster, kept).await;
    cluster.wait_running("hello.main", 5, PATIENCE).await;
    let after: Vec<u64> = back.iter().flat_map(FakeAgent::replicas).collect();
    assert!(
        replicas.iter().all(|id| after.contains(id)),
        "what was saved runs on: {after:?}"
    );
    let same = save(&cluster, 10, &cluster.scratch().join("again")).await;
    let (before, now) = (state_of(&saved), state_of(&same));
    assert_eq!(
        now.cluster().map(|c| (&c.id, c.epoch)),
        Some((&head.cluster_id, 2))
    );
    for (id, instance) in before.instances() {
        let kept = now.instance(id).expect("every instance is kept");
        assert_eq!(kept.spec.app_id, instance.spec.app_id);
    }
    leftover_is_refused(&mut cluster, old[0]).await;
    for agent in back {
        agent.fall_silent().await;
    }
    cluster.stop().await;
}

/// A member of before starts again: it finds no cluster, and the new one does not take it.
async fn leftover_is_refused(cluster: &mut Coordinators, old: u64) {
    cluster.restart(old).await;
    let address = cluster.addresses()[0].clone();
    let members = list(cluster, 10).await;
    assert_eq!(members.members.len(), 1, "{members:?}");
    let ask = AddMemberRequest {
        id: old,
        address,
        wait_ms: 2_000,
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let refused = loop {
        let refused = cluster.members(10).add(ask.clone()).await;
        let refused = refused.expect_err("it is of an older epoch");
        // Until it listens there is nobody to refuse.
        if !refused.message().contains("no coordinator answers")
            || tokio::time::Instant::now() > deadline
        {
            break refused;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(refused.message().contains("epoch 1"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_of_a_lost_majority_goes_on_alone_and_nothing_running_is_touched() {
    let (mut cluster, agents, replicas) = running().await;
    let kept = fall_silent(agents).await;
    let leader = cluster.leader(PATIENCE).await;
    let survivor = leader % 3 + 1;
    cluster.wait_caught_up(survivor, PATIENCE).await;
    for id in 1..=3 {
        cluster.kill(id).await;
    }
    for id in (1..=3).filter(|id| *id != survivor) {
        cluster.forget(id);
    }
    let dir = cluster.data_dir(survivor);
    let found = look(&dir).await.expect("its store is sound");
    assert_eq!(found.survey.node, survivor);
    assert_eq!((found.survey.epoch, found.survey.voters.len()), (1, 3));
    assert_eq!(found.state.replica_count(), 3);
    assert!(found.last_event().is_some());
    let address = found.address().expect("it had a vote").to_owned();
    let looked = look(&dir).await.expect("looking changes nothing");
    assert_eq!(looked.survey, found.survey);

    let done = recover(found, &dir, &address, NOW)
        .await
        .expect("recovered");
    assert_eq!(done.epoch, 2);
    assert!(
        done.aside.join("hardstate").exists(),
        "the old store is kept"
    );
    cluster.restart(survivor).await;
    assert_eq!(cluster.leader(PATIENCE).await, survivor);
    let back = come_back(&cluster, kept).await;
    cluster.wait_running("hello.main", 3, PATIENCE).await;
    let after: Vec<u64> = back.iter().flat_map(FakeAgent::replicas).collect();
    assert_eq!(after, replicas, "nothing that ran was touched");
    cluster.deploy("hello", 'b');
    cluster
        .wait("hello.main", PATIENCE, |status| {
            status.git_sha.starts_with('b') && status.deploy_status() == DeployStatus::Running
        })
        .await;
    let fresh = cluster.spare(7).await;
    add(&cluster, survivor, 7, &fresh).await;
    promote(&cluster, survivor, 7).await;
    assert_eq!(list(&cluster, 7).await.epoch, 2);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_says_so_and_its_machine_joins_again_under_a_new_id() {
    let (mut cluster, _agents, _) = running().await;
    let leader = cluster.leader(PATIENCE).await;
    let broken = leader % 3 + 1;
    let other = broken % 3 + 1;
    cluster.kill(broken).await;
    let log = cluster.data_dir(broken).join("log/db");
    let length = fs::metadata(&log).expect("a log").len();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&log)
        .expect("it opens");
    file.set_len(length / 3).expect("it is cut");
    drop(file);
    for _ in 0..2 {
        let ended = cluster.run_to_its_end(broken).await;
        let error = ended.expect_err("it must not run").to_string();
        assert!(
            error.contains("damaged") && error.contains("rejoin"),
            "{error}"
        );
    }
    let dir = cluster.data_dir(broken);
    let same = rejoin(&dir, broken).expect_err("the id is spent");
    assert!(matches!(same, OfflineError::SameId { .. }), "{same}");
    let done = rejoin(&dir, 4).expect("set aside");
    assert_eq!(done.old, Some(broken));
    assert!(done.aside.join("DAMAGED").exists());

    cluster.forget(broken);
    remove(&cluster, other, broken).await;
    let address = cluster.reserve(4);
    fs::create_dir_all(cluster.data_dir(4)).expect("a directory");
    cluster.restart(4).await;
    add(&cluster, other, 4, &address).await;
    promote(&cluster, other, 4).await;
    let members = list(&cluster, 4).await;
    let ids: Vec<u64> = members.members.iter().map(|member| member.id).collect();
    assert!(ids.contains(&4) && !ids.contains(&broken), "{ids:?}");
    cluster.wait_caught_up(4, PATIENCE).await;
    cluster.stop().await;
}

/// Writes into a store at rest what 0.1.0 took from any member: a vote for the last term there is.
async fn forge_vote(dir: &Path, node: u64) {
    let store = Store::open(&StoreOptions {
        dir: dir.to_owned(),
        node,
        cluster: None,
        fresh: StoreId::from_bits(0),
        volume: OnVolume::default(),
        io: IoMode::Inline,
        timer: FlushTimer::default(),
    });
    let vote = Ballot {
        term: u64::MAX,
        node: 1,
        committed: false,
    };
    let saved = store.expect("it is sound").log.save_vote(vote).await;
    saved.expect("it is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_that_no_election_has_made_is_mended_by_a_recovery() {
    let (mut cluster, agents, replicas) = running().await;
    let kept = fall_silent(agents).await;
    let survivor = cluster.leader(PATIENCE).await;
    for id in 1..=3 {
        cluster.kill(id).await;
        forge_vote(&cluster.data_dir(id), id).await;
    }
    for id in 1..=3 {
        let error = cluster.run_to_its_end(id).await.expect_err("no such term");
        let error = error.to_string();
        assert!(error.contains("paasta-coordinator recover"), "{error}");
    }
    for id in (1..=3).filter(|id| *id != survivor) {
        cluster.forget(id);
    }
    let dir = cluster.data_dir(survivor);
    let found = look(&dir).await.expect("its log is sound");
    assert!(found.survey.term < 1 << 48, "{:?}", found.survey);
    let address = found.address().expect("it had a vote").to_owned();
    let done = recover(found, &dir, &address, NOW).await;
    assert_eq!(done.expect("recovered").epoch, 2);
    cluster.restart(survivor).await;
    assert_eq!(cluster.leader(PATIENCE).await, survivor);
    let back = come_back(&cluster, kept).await;
    cluster.wait_running("hello.main", 3, PATIENCE).await;
    let after: Vec<u64> = back.iter().flat_map(FakeAgent::replicas).collect();
    assert_eq!(after, replicas, "nothing that ran was touched");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_without_its_data_directory_is_named_wherever_an_operator_looks() {
    let mut cluster = Coordinators::start_with_http(3).await;
    let leader = cluster.leader(PATIENCE).await;
    let lost = leader % 3 + 1;
    cluster.wait_caught_up(lost, PATIENCE).await;
    cluster.kill(lost).await;
    fs::remove_dir_all(cluster.data_dir(lost)).expect("it is gone");
    cluster.restart(lost).await;
    let refused = || async {
        let members = list(&cluster, leader).await.members;
        members
            .into_iter()
            .find(|one| one.id == lost && !one.refused.is_empty())
    };
    let member = cluster.wait_for("the refusal", refused).await;
    assert_eq!(
        (member.matched_index, member.lag),
        (None, None),
        "not up to date"
    );
    assert!(
        member.refused.contains("paasta-coordinator rejoin"),
        "{member:?}"
    );
    let asked = cluster
        .admin(leader)
        .metastatus(MetastatusRequest::default())
        .await;
    let told = asked.expect("there is a leader").into_inner().coordinators;
    let shown = told
        .iter()
        .find(|one| one.id == lost)
        .expect("it is a member");
    assert_eq!(
        (shown.refused.as_str(), shown.matched_index),
        (member.refused.as_str(), None)
    );
    let node = cluster.node(lost).await.expect("it answers");
    assert_eq!((node.role(), node.term), (NodeRole::Uninitialized, 0));
    assert!(
        node.refused.contains("data directory was lost"),
        "{}",
        node.refused
    );
    let ready = get(cluster.http(lost), "/readyz").await;
    assert_eq!(ready.code, 503, "{}", ready.body);
    assert!(ready.body.contains("coordinator remove"), "{}", ready.body);
    let lives = get(cluster.http(lost), "/healthz").await;
    assert_eq!(lives.code, 200, "a restart mends nothing");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_verbs_refuse_what_they_cannot_mend() {
    let cluster = Coordinators::start(1).await;
    let dir = cluster.data_dir(1);
    let running = look(&dir).await.expect_err("its coordinator runs");
    assert!(running.to_string().contains("in use"), "{running}");
    let rejoining = rejoin(&dir, 2).expect_err("its coordinator runs");
    assert!(rejoining.to_string().contains("in use"), "{rejoining}");
    let nothing = cluster.scratch().join("nothing");
    let empty = look(&nothing).await.expect_err("there is nothing");
    assert!(matches!(empty, OfflineError::Empty { .. }), "{empty}");
    let garbage = cluster.scratch().join("garbage");
    fs::write(&garbage, [0_u8; 100]).expect("a file");
    let what = Restore {
        snapshot: &garbage,
        data_dir: &nothing,
        node: 1,
        address: "127.0.0.1:1",
        at: NOW,
    };
    let unreadable = restore(&what).await.expect_err("it is no saved state");
    assert!(
        unreadable.to_string().contains("not a whole saved state"),
        "{unreadable}"
    );
    assert!(!nothing.exists());
    let node = cluster.cluster(1).node(NodeRequest {}).await;
    assert_eq!(node.expect("it answers").into_inner().epoch, 1);
    cluster.stop().await;
}

async fn fall_silent(agents: Vec<FakeAgent>) -> Vec<super::agent::Kept> {
    let mut kept = Vec::new();
    for agent in agents {
        kept.push(agent.fall_silent().await);
    }
    kept
}

async fn come_back(cluster: &Coordinators, kept: Vec<super::agent::Kept>) -> Vec<FakeAgent> {
    let mut agents = Vec::new();
    for kept in kept {
        agents.push(FakeAgent::come_back(cluster, kept).await);
    }
    agents
}
