//! Following events: what one coordinator began to tell, another one goes on with.

use paasta_proto::v1::{DeployStatus, Event, EventsRequest, FollowRequest};
use tonic::Code;

use super::{agent::FakeAgent, coordinators::Coordinators};
use crate::PATIENCE;

/// Reads from coordinator `id` until `enough`, or until it ends the stream; returns how it ended.
async fn read(
    cluster: &Coordinators,
    id: u64,
    seen: &mut Vec<Event>,
    after: &mut u64,
    enough: impl Fn(&[Event]) -> bool,
) -> Option<Code> {
    let ask = FollowRequest {
        after: *after,
        instance: String::new(),
    };
    let reading = async {
        let mut admin = cluster.admin(id);
        let mut stream = admin.follow(ask).await.expect("it tells").into_inner();
        while !enough(seen) {
            match stream.message().await {
                Ok(Some(news)) => {
                    assert!(news.last_index >= *after && !news.missed, "{news:?}");
                    let fresh = |event: &Event| event.index > *after;
                    assert!(news.events.iter().all(fresh), "after {after}: {news:?}");
                    seen.extend(news.events);
                    *after = news.last_index;
                }
                Ok(None) => return Some(Code::Ok),
                Err(status) => return Some(status.code()),
            }
        }
        None
    };
    let ended = tokio::time::timeout(PATIENCE, reading).await;
    ended.expect("what is waited for is told in time")
}

fn tells(seen: &[Event], text: &str) -> bool {
    seen.iter().any(|event| event.text.contains(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_over_elections_without_gaps_or_doubles() {
    let mut cluster = Coordinators::start(3).await;
    let _agents = FakeAgent::several(&cluster, 2).await;
    let (mut seen, mut after) = (Vec::new(), 0);
    cluster.declare("hello", "main: {instances: 2, cpus: 0.1, mem: 64}");
    cluster.deploy("hello", 'a');
    cluster.wait_running("hello.main", 2, PATIENCE).await;
    let leader = cluster.leader(PATIENCE).await;
    let ended = read(&cluster, leader, &mut seen, &mut after, |seen| {
        tells(seen, "aaaaaaaa")
    });
    assert_eq!(ended.await, None);
    // The leader goes away while its stream is read; a new one leads.
    cluster.kill(leader).await;
    let next = cluster.leader(PATIENCE).await;
    cluster.deploy("hello", 'b');
    let ended = read(&cluster, next, &mut seen, &mut after, |seen| {
        tells(seen, "bbbbbbbb")
    });
    assert_eq!(ended.await, None);
    cluster
        .wait("hello.main", PATIENCE, |status| {
            status.deploy_status() == DeployStatus::Running && status.git_sha.starts_with('b')
        })
        .await;
    // A follower tells the same.
    let follower = cluster
        .ids()
        .into_iter()
        .find(|id| ![leader, next].contains(id));
    let follower = follower.expect("three were started");
    let all = cluster.admin(next).events(EventsRequest::default()).await;
    let all = all.expect("the leader answers").into_inner();
    let last = all.events.last().map_or(0, |event| event.index);
    let ended = read(&cluster, follower, &mut seen, &mut after, |seen| {
        seen.last().is_some_and(|event| event.index >= last)
    });
    assert_eq!(ended.await, None);
    let told: Vec<(u64, String)> = seen
        .into_iter()
        .map(|event| (event.index, event.text))
        .collect();
    let wanted: Vec<(u64, String)> = all
        .events
        .into_iter()
        .map(|event| (event.index, event.text))
        .collect();
    assert_eq!(told[..wanted.len()], wanted);
    // Alone it knows no leader, and says so rather than nothing.
    cluster.kill(next).await;
    let ended = read(&cluster, follower, &mut Vec::new(), &mut after, |_| false).await;
    assert_eq!(ended, Some(Code::Unavailable));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_follow_and_only_a_cluster_is_followed() {
    let mut cluster = Coordinators::start(1).await;
    let mut streams = Vec::new();
    let refused = loop {
        match cluster.admin(1).follow(FollowRequest::default()).await {
            Ok(stream) => streams.push(stream),
            Err(status) => break status,
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(streams.len(), 64);
    let _ = cluster.spare(5).await;
    cluster.wait_listening(5).await;
    let nothing = cluster.admin(5).follow(FollowRequest::default()).await;
    assert_eq!(
        nothing.expect_err("it is of no cluster").code(),
        Code::FailedPrecondition
    );
    cluster.stop().await;
}
