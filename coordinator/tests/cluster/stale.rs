//! What a coordinator without a leader says when it is asked for what it has.

use std::time::Duration;

use paasta_proto::v1::{DeployStatus, HostState, MetastatusRequest, StatusRequest};
use tokio::time::Instant;
use tonic::Code;

use crate::{
    PATIENCE,
    cluster::{agent::FakeAgent, coordinators::Coordinators},
};

const MAIN: &str = "hello.main";

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_says_as_of_when_and_calls_nothing_unhealthy() {
    let mut cluster = Coordinators::start(3).await;
    let _agents = FakeAgent::several(&cluster, 3).await;
    cluster.declare("hello", "main: {instances: 3, cpus: 0.1, mem: 64}");
    cluster.deploy("hello", 'a');
    cluster.wait_running(MAIN, 3, PATIENCE).await;
    // Once the one that led is left, once one that followed.
    let leader = cluster.leader(PATIENCE).await;
    for left in [leader, 1 + leader % 3] {
        let others: Vec<u64> = (1..=3).filter(|id| *id != left).collect();
        for id in &others {
            cluster.kill(*id).await;
        }
        let mut admin = cluster.admin(left);
        let ask = StatusRequest {
            service: "hello".to_owned(),
            replicas: true,
            stale: true,
            ..StatusRequest::default()
        };
        let deadline = Instant::now() + PATIENCE;
        let answer = loop {
            let answer = admin
                .status(ask.clone())
                .await
                .expect("it is answered")
                .into_inner();
            let stale = answer.stale.expect("it says as of when");
            assert_eq!(stale.coordinator, left);
            if !stale.leads && stale.heard_ms.is_none_or(|ms| ms > 3_000) {
                break answer;
            }
            assert!(Instant::now() < deadline, "{stale:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let one = &answer.instances[0];
        let counts = one.counts.expect("they are counted");
        assert_eq!(
            (counts.unknown, counts.unhealthy, counts.lost),
            (3, 0, 0),
            "{one:?}"
        );
        assert_eq!(one.deploy_status(), DeployStatus::Unknown);
        // The leader's lease grows with the links' pace; no coordinator leads after it.
        let deadline = Instant::now() + PATIENCE;
        let meta = loop {
            let meta = admin
                .metastatus(MetastatusRequest { stale: true })
                .await
                .expect("it is answered")
                .into_inner();
            if meta.coordinators.iter().all(|one| !one.leader) {
                break meta;
            }
            assert!(Instant::now() < deadline, "{meta:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        assert!(meta.stale.is_some_and(|stale| !stale.leads), "{meta:?}");
        assert!(
            meta.hosts
                .iter()
                .all(|host| host.state() == HostState::Unknown),
            "{meta:?}"
        );
        // What needs a leader says so, and soon enough.
        let ask = StatusRequest::default();
        let refused = admin.status(ask).await.expect_err("nobody leads");
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        for id in others {
            cluster.restart(id).await;
        }
        cluster.wait_running(MAIN, 3, PATIENCE).await;
    }
    cluster.stop().await;
}
