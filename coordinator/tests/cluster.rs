//! Whole coordinators in one process, on loopback, with agents that speak the real protocol and
//! pretend to run what they are told: the desired state becomes replicas, a new version is
//! bounced, leaders come and go, and a silent host is replaced.

mod cluster {
    pub(crate) mod agent;
    mod bounces;
    mod claims;
    pub(crate) mod coordinators;
    mod desired;
    mod endpoints;
    mod events;
    mod git;
    mod handover;
    mod health;
    mod hooks;
    mod http;
    mod logs;
    mod members;
    mod newer;
    mod older;
    mod operate;
    mod paced;
    mod pools;
    mod recovery;
    mod refusals;
    mod remotes;
    mod schema;
    mod settings;
    mod stale;
}

use std::time::Duration;

use cluster::{agent::FakeAgent, coordinators::Coordinators};
use paasta_proto::v1::{
    DeployStatus, ReplicaClass, StatusRequest, Waiting, WaitingKind, WhyRequest,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_becomes_replicas_and_a_new_version_is_bounced() {
    let cluster = Coordinators::start(1).await;
    let agents = FakeAgent::several(&cluster, 3).await;
    cluster.declare("hello", "main: {instances: 3, cpus: 0.1, mem: 64}");
    cluster.deploy("hello", 'a');
    let first = cluster.wait_running("hello.main", 3, PATIENCE).await;
    assert_eq!(first.git_sha, "a".repeat(40));
    let spread: Vec<usize> = agents.iter().map(FakeAgent::running).collect();
    assert_eq!(
        spread,
        [1, 1, 1],
        "identical replicas are spread over the hosts"
    );

    cluster.deploy("hello", 'b');
    let second = cluster
        .wait("hello.main", PATIENCE, |status| {
            status.deploy_status() == DeployStatus::Running && status.git_sha.starts_with('b')
        })
        .await;
    assert_ne!(first.desired_app, second.desired_app);
    assert_eq!(second.apps.len(), 1);
    let running: usize = agents.iter().map(FakeAgent::running).sum();
    assert_eq!(running, 3);
    let fewest = agents[0].fewest_serving();
    assert!(fewest >= 3, "crossover let {fewest} of 3 replicas serve");

    cluster.declare("hello", "main: {instances: 5, cpus: 0.1, mem: 64}");
    let scaled = cluster.wait_running("hello.main", 5, PATIENCE).await;
    assert_eq!(
        scaled.desired_app, second.desired_app,
        "scaling is no bounce"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_hurts_its_own_instance_only_and_is_named() {
    let cluster = Coordinators::start(1).await;
    let _agents = FakeAgent::several(&cluster, 1).await;
    cluster.declare(
        "hello",
        "main: {cpus: 0.1, mem: 64}\nweb: {cpus: 0.1, mem: 64}",
    );
    cluster.declare("other", "main: {cpus: 0.1, mem: 64}");
    cluster.deploy("hello", 'a');
    cluster.deploy("other", 'a');
    cluster.wait_running("hello.main", 1, PATIENCE).await;
    cluster.wait_running("hello.web", 1, PATIENCE).await;

    cluster.declare(
        "hello",
        "main: {cpus: 0.1, mem: -5}\nweb: {cpus: 0.1, mem: 64}",
    );
    cluster.deploy("hello", 'b');
    let broken = cluster
        .wait("hello.main", PATIENCE, |status| !status.problems.is_empty())
        .await;
    assert!(
        broken.git_sha.starts_with('a'),
        "the last good version stays"
    );
    let problem = &broken.problems[0];
    assert_eq!(problem.file, "hello/marathon-demo.yaml");
    assert_eq!(problem.line, Some(1));
    assert!(problem.field.ends_with("mem"), "{problem:?}");
    let moved = cluster
        .wait("hello.web", PATIENCE, |status| {
            status.git_sha.starts_with('b') && status.deploy_status() == DeployStatus::Running
        })
        .await;
    assert!(moved.problems.is_empty(), "{:?}", moved.problems);

    cluster.declare("other", "main: {cpus: [");
    let broken = cluster
        .wait("other.main", PATIENCE, |status| !status.problems.is_empty())
        .await;
    assert_eq!(broken.counts.unwrap_or_default().happy, 1);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_coordinator_answers_and_a_leader_that_dies_is_replaced() {
    let mut cluster = Coordinators::start(3).await;
    let agents = FakeAgent::several(&cluster, 2).await;
    cluster.declare("hello", "main: {instances: 2, cpus: 0.1, mem: 64}");
    cluster.deploy("hello", 'a');
    cluster.wait_running("hello.main", 2, PATIENCE).await;
    let containers: Vec<u64> = agents.iter().flat_map(FakeAgent::replicas).collect();
    for id in cluster.ids() {
        let mut admin = cluster.admin(id);
        let request = StatusRequest {
            service: "hello".to_owned(),
            ..StatusRequest::default()
        };
        let status = admin
            .status(request)
            .await
            .expect("every coordinator answers");
        assert_eq!(status.into_inner().instances.len(), 1);
    }

    let leader = cluster.leader(PATIENCE).await;
    cluster.kill(leader).await;
    cluster.wait_running("hello.main", 2, PATIENCE).await;
    let after: Vec<u64> = agents.iter().flat_map(FakeAgent::replicas).collect();
    assert_eq!(after, containers, "a new leader touches nothing that runs");

    cluster.deploy("hello", 'b');
    cluster
        .wait("hello.main", PATIENCE, |status| {
            status.git_sha.starts_with('b') && status.deploy_status() == DeployStatus::Running
        })
        .await;
    cluster.restart(leader).await;
    cluster.wait_caught_up(leader, PATIENCE).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replicas_of_a_silent_host_are_placed_elsewhere_and_it_may_come_back() {
    let cluster = Coordinators::start(1).await;
    let mut agents = FakeAgent::several(&cluster, 3).await;
    cluster.declare("hello", "main: {instances: 3, cpus: 0.1, mem: 64}");
    cluster.deploy("hello", 'a');
    cluster.wait_running("hello.main", 3, PATIENCE).await;

    let silent = agents.remove(0);
    let kept = silent.fall_silent().await;
    cluster
        .wait("hello.main", PATIENCE, |status| {
            let happy = status
                .replicas
                .iter()
                .filter(|replica| replica.class() == ReplicaClass::Happy);
            happy.filter(|replica| replica.host != "host-1").count() == 3
        })
        .await;
    let elsewhere: usize = agents.iter().map(FakeAgent::running).sum();
    assert_eq!(elsewhere, 3);

    agents.push(FakeAgent::come_back(&cluster, kept).await);
    cluster.wait_running("hello.main", 3, PATIENCE).await;
    let everywhere: usize = agents.iter().map(FakeAgent::running).sum();
    assert_eq!(everywhere, 3, "no surplus");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_what_is_missing() {
    let cluster = Coordinators::start(1).await;
    let _agents = FakeAgent::several(&cluster, 1).await;
    cluster.declare("hello", "main: {instances: 1, cpus: 0.1, mem: 640000}");
    cluster.deploy("hello", 'a');
    // Nothing waits for ever.
    let in_time = |on: &Waiting| on.kind() == WaitingKind::Capacity && on.deadline_ms.is_some();
    let waiting = cluster
        .wait("hello.main", PATIENCE, |status| {
            status.waiting.iter().any(in_time)
        })
        .await;
    let capacity = waiting.waiting.iter().find(|on| in_time(on));
    let refusals = &capacity.expect("just seen").refusals;
    assert_eq!(refusals.values().sum::<u32>(), 1, "{capacity:?}");

    let mut admin = cluster.admin(1);
    let unknown = WhyRequest {
        instance: "hello.mian".to_owned(),
    };
    let status = admin.why(unknown).await.expect_err("it does not exist");
    assert_eq!(status.code(), tonic::Code::NotFound);
    assert!(
        status.message().contains("hello.main"),
        "{}",
        status.message()
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_answer_for_every_service() {
    let cluster = Coordinators::start(1).await;
    let mut reflection = ServerReflectionClient::new(cluster.channel(1));
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection.server_reflection_info(tokio_stream::iter([ask]));
    let mut answers = answers.await.expect("it is served").into_inner();
    let answer = answers
        .message()
        .await
        .expect("it answers")
        .expect("an answer");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let ours: Vec<String> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .filter(|name| name.starts_with("paasta.v1."))
        .collect();
    assert!(ours.contains(&"paasta.v1.Admin".to_owned()), "{ours:?}");
    let mut health = HealthClient::new(cluster.channel(1));
    for service in ours {
        let answer = health
            .check(HealthCheckRequest {
                service: service.clone(),
            })
            .await
            .unwrap_or_else(|status| panic!("{service}: {status}"));
        assert_eq!(
            answer.into_inner().status(),
            ServingStatus::Serving,
            "{service}"
        );
    }
    cluster.stop().await;
}
