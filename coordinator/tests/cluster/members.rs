//! Coordinators come and go while services are deployed.

use std::time::Duration;

use paasta_proto::v1::{
    AddMemberRequest, ChangeMembersResponse, DeployStatus, ListMembersRequest, ListMembersResponse,
    MemberRole, PromoteMemberRequest, RemoveMemberRequest, TransferLeaderRequest,
};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::{agent::FakeAgent, coordinators::Coordinators};
use crate::PATIENCE;

const STEP: Duration = Duration::from_millis(50);

/// Repeats a change until it is made, as an operator would: leaders move.
async fn until_done<F>(what: &str, mut change: impl FnMut() -> F) -> ChangeMembersResponse
where
    F: Future<Output = Result<tonic::Response<ChangeMembersResponse>, Status>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        match change().await {
            Ok(done) => return done.into_inner(),
            Err(status) if Instant::now() > deadline => panic!("{what}: {status}"),
            Err(status) if passes(&status) => tokio::time::sleep(STEP).await,
            Err(status) => panic!("{what}: {status}"),
        }
    }
}

/// Whether it may be otherwise in a moment: who was just started does not listen yet.
fn passes(status: &Status) -> bool {
    let codes = [
        Code::Unavailable,
        Code::Aborted,
        Code::DeadlineExceeded,
        Code::Cancelled,
    ];
    codes.contains(&status.code()) || status.message().contains("no coordinator answers")
}

pub(super) async fn add(
    cluster: &Coordinators,
    through: u64,
    id: u64,
    address: &str,
) -> ChangeMembersResponse {
    let ask = AddMemberRequest {
        id,
        address: address.to_owned(),
        wait_ms: 10_000,
    };
    until_done("add", || {
        let (mut members, ask) = (cluster.members(through), ask.clone());
        async move { members.add(ask).await }
    })
    .await
}

pub(super) async fn promote(
    cluster: &Coordinators,
    through: u64,
    id: u64,
) -> ChangeMembersResponse {
    let ask = PromoteMemberRequest {
        id,
        wait_ms: 10_000,
    };
    until_done("promote", || {
        let mut members = cluster.members(through);
        async move { members.promote(ask).await }
    })
    .await
}

pub(super) async fn remove(cluster: &Coordinators, through: u64, id: u64) -> ChangeMembersResponse {
    let ask = RemoveMemberRequest {
        id,
        wait_ms: 10_000,
        force: false,
    };
    until_done("remove", || {
        let mut members = cluster.members(through);
        async move { members.remove(ask).await }
    })
    .await
}

pub(super) async fn list(cluster: &Coordinators, through: u64) -> ListMembersResponse {
    let answer = cluster
        .members(through)
        .list(ListMembersRequest::default())
        .await;
    answer.expect("the members are told").into_inner()
}

fn roles(list: &ListMembersResponse) -> Vec<(u64, &str)> {
    let members = list.members.iter();
    members
        .map(|member| {
            (
                member.id,
                if member.role() == MemberRole::Learner {
                    "learner"
                } else {
                    "votes"
                },
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_coordinator_becomes_three_and_five_and_a_dead_one_is_removed() {
    let mut cluster = Coordinators::start(1).await;
    let mut agents = FakeAgent::several(&cluster, 2).await;
    cluster.declare("hello", "main: {instances: 2, cpus: 0.1, mem: 64}");
    cluster.deploy("hello", 'a');
    cluster.wait_running("hello.main", 2, PATIENCE).await;
    for id in 2..=5 {
        let address = cluster.spare(id).await;
        let added = add(&cluster, 1, id, &address).await;
        assert!(added.changed, "{}", added.text);
        let members = added.members.expect("they are told");
        assert_eq!(roles(&members).last(), Some(&(id, "learner")));
        assert!(
            !add(&cluster, 1, id, &address).await.changed,
            "it is one already"
        );
        assert!(promote(&cluster, 1, id).await.changed);
        assert!(
            !promote(&cluster, 1, id).await.changed,
            "it has a vote already"
        );
    }
    let five = list(&cluster, 4).await;
    assert_eq!(
        (five.members.len(), five.tolerates, five.changing),
        (5, 2, false)
    );
    assert_eq!((five.cluster.as_str(), five.epoch), ("demo", 1));

    cluster.kill(5).await;
    cluster.forget(5);
    let removed = remove(&cluster, 2, 5).await;
    let members = removed.members.expect("they are told");
    assert_eq!(
        roles(&members),
        [(1, "votes"), (2, "votes"), (3, "votes"), (4, "votes")]
    );
    let again = cluster
        .members(3)
        .remove(RemoveMemberRequest {
            id: 5,
            ..Default::default()
        })
        .await;
    assert_eq!(again.expect_err("it is gone").code(), Code::NotFound);

    // The first one, which led alone, is not needed any more. Agents are told of the others.
    for agent in std::mem::take(&mut agents) {
        let kept = agent.fall_silent().await;
        agents.push(FakeAgent::come_back(&cluster, kept).await);
    }
    let leader = cluster.leader(PATIENCE).await;
    cluster.kill(leader).await;
    cluster.deploy("hello", 'b');
    let moved = cluster
        .wait("hello.main", PATIENCE, |status| {
            status.git_sha.starts_with('b') && status.deploy_status() == DeployStatus::Running
        })
        .await;
    assert_eq!(moved.wanted, 2);
    drop(agents);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_under_writes_and_nothing_is_lost() {
    let cluster = Coordinators::start(3).await;
    let _agents = FakeAgent::several(&cluster, 2).await;
    cluster.declare("hello", "main: {instances: 2, cpus: 0.1, mem: 64}");
    for (round, digit) in "ab".chars().enumerate() {
        cluster.deploy("hello", digit);
        let before = cluster.leader(PATIENCE).await;
        let to = match round % 2 {
            0 => 0,
            _ => before % 3 + 1,
        };
        let ask = TransferLeaderRequest { to, wait_ms: 5_000 };
        let handed = until_done("transfer", || {
            let mut members = cluster.members(before % 3 + 1);
            async move { members.transfer_leader(ask).await }
        })
        .await;
        assert!(handed.text.contains("leads"), "{}", handed.text);
        cluster
            .wait("hello.main", PATIENCE, |status| {
                status.git_sha.starts_with(digit) && status.deploy_status() == DeployStatus::Running
            })
            .await;
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_the_reason() {
    let mut cluster = Coordinators::start(1).await;
    let address = cluster.spare(2).await;
    let refused = |id, address: &str| {
        let ask = AddMemberRequest {
            id,
            address: address.to_owned(),
            wait_ms: 1_000,
        };
        let mut members = cluster.members(1);
        async move { members.add(ask).await.expect_err("it is refused") }
    };
    let silent = refused(9, "127.0.0.1:1").await;
    assert!(
        silent.message().contains("no coordinator answers"),
        "{silent}"
    );
    let other = refused(3, &address).await;
    assert!(other.message().contains("says that its id is 2"), "{other}");
    for (id, address) in [(0, address.as_str()), (2, "nowhere"), (2, "h:0")] {
        let bad = refused(id, address).await;
        assert_eq!(bad.code(), Code::InvalidArgument, "{bad}");
    }
    let mut members = cluster.members(1);
    let unknown = members
        .promote(PromoteMemberRequest {
            id: 2,
            wait_ms: 1_000,
        })
        .await;
    assert_eq!(unknown.expect_err("no member yet").code(), Code::NotFound);

    add(&cluster, 1, 2, &address).await;
    promote(&cluster, 1, 2).await;
    let leader = cluster.leader(PATIENCE).await;
    let mut members = cluster.members(leader);
    let own = members
        .remove(RemoveMemberRequest {
            id: leader,
            ..Default::default()
        })
        .await;
    let own = own.expect_err("it leads");
    assert!(own.message().contains("hand leadership over"), "{own}");
    cluster.stop().await;
}
