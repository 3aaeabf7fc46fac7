//! An agent that was upgraded before its coordinators.

use paasta_proto::v1::{HostState, HostStatus, MetastatusRequest, ReplicaClass, ReplicaHealth};

use super::{agent::FakeAgent, coordinators::Coordinators, http::get};
use crate::PATIENCE;

async fn host(cluster: &Coordinators) -> Option<HostStatus> {
    let mut admin = cluster.admin(1);
    let asked = admin.metastatus(MetastatusRequest::default()).await.ok()?;
    asked.into_inner().hosts.into_iter().next()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_agent_with_a_cause_that_is_not_known_stays_connected_and_serves() {
    let cluster = Coordinators::start_with_http(1).await;
    let agent = FakeAgent::newer(&cluster).await;
    cluster.declare("hello", "main: {instances: 2, cpus: 0.1, mem: 64}");
    cluster.deploy("hello", 'a');
    cluster.wait_running("hello.main", 2, PATIENCE).await;
    let status = cluster
        .wait("hello.main", PATIENCE, |status| {
            let mut replicas = status.replicas.iter();
            replicas.all(|replica| !replica.unrecognized.is_empty())
        })
        .await;
    let before = agent.replicas();
    let sessions = agent.sessions();
    for replica in &status.replicas {
        assert_eq!(replica.class(), ReplicaClass::Happy);
        assert_eq!(replica.health(), ReplicaHealth::Healthy);
        let said = "run 1 ended: cause 17, which this version does not know, exit code 3";
        assert_eq!(replica.last_end_text, said);
        let end = replica.last_end.as_ref().expect("it ended");
        assert_eq!(end.cause, 17);
        let unrecognized = ["cause 17", "2 troubles of other kinds"];
        assert_eq!(replica.unrecognized, unrecognized);
    }
    // Longer than it takes to end a session, to begin the next one, and to see that.
    let since = host(&cluster).await.and_then(|host| host.last_seen_ms);
    let since = since.expect("it reported");
    let later = || async {
        let host = host(&cluster).await?;
        (host.last_seen_ms? >= since + 2_000).then_some(host)
    };
    let host = cluster.wait_for("it goes on", later).await;
    assert_eq!((host.state(), host.connected), (HostState::Up, true));
    assert_eq!(host.disk_limits, 17);
    assert_eq!((agent.sessions(), agent.replicas()), (sessions, before));
    cluster.wait_running("hello.main", 2, PATIENCE).await;
    let metrics = get(cluster.http(1), "/metrics").await.body;
    for counted in ["messages", "values"] {
        let some = format!("\npaasta_unrecognized_{counted}_total ");
        let none = format!("{some}0\n");
        assert!(
            metrics.contains(&some) && !metrics.contains(&none),
            "{metrics}"
        );
    }
    cluster.stop().await;
}
