//! Who may speak for a host id, and which cluster's agents and coordinators are taken.

use std::time::Duration;

use paasta_common::host::HostInfo;
use paasta_coordinator::run::RunError;
use paasta_proto::v1::{
    AddMemberRequest, AgentMessage, EventsRequest, HostState, HostStatus, MetastatusRequest,
    Renewal, agent_message::Kind, agents_client::AgentsClient,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tonic::{Code, Status};

use super::{
    agent::{info, welcomed},
    coordinators::Coordinators,
    members::add,
};
use crate::PATIENCE;

/// An agent's session that goes on; dropping it is the end of it.
struct Session {
    renewing: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

fn machine(number: usize, digit: char, address: &str) -> HostInfo {
    let id: String = std::iter::repeat_n(digit, 32).collect();
    HostInfo {
        machine: Some(id.parse().expect("a machine id")),
        address: address.to_owned(),
        ..info(number)
    }
}

/// Opens a session and waits for the welcome.
async fn hello(address: &str, host: &HostInfo, cluster: &str) -> Result<Session, Status> {
    let connected = AgentsClient::connect(format!("http://{address}")).await;
    let client = connected.map_err(|error| Status::unavailable(error.to_string()))?;
    let (mut answers, outbox) = welcomed(client, host, cluster).await?;
    let renewing = tokio::spawn(async move {
        loop {
            let kind = Some(Kind::Renewal(Renewal::default()));
            if outbox.send(AgentMessage { kind }).await.is_err() {
                return;
            }
            let next = tokio::time::timeout(Duration::from_millis(200), answers.message()).await;
            if matches!(next, Ok(Ok(None) | Err(_))) {
                return;
            }
        }
    });
    Ok(Session { renewing })
}

/// The same, again and again while there is no leader.
async fn settled(cluster: &Coordinators, host: &HostInfo, name: &str) -> Result<Session, Status> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match hello(&cluster.addresses()[0], host, name).await {
            Err(status) if status.code() == Code::Unavailable && Instant::now() < deadline => {
                sleep(Duration::from_millis(50)).await;
            }
            answer => return answer,
        }
    }
}

async fn host_status(cluster: &Coordinators) -> HostStatus {
    let mut admin = cluster.admin(1);
    let asked = admin.metastatus(MetastatusRequest::default());
    let told = asked.await.expect("there is a leader").into_inner();
    told.hosts.into_iter().next().expect("one host")
}

async fn events_of_claims(cluster: &Coordinators) -> Vec<String> {
    let mut admin = cluster.admin(1);
    let asked = admin.events(EventsRequest::default());
    let told = asked.await.expect("there is a leader").into_inner();
    let texts = told.events.into_iter().map(|event| event.text);
    texts.filter(|text| text.contains("machine")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_machine_under_a_living_host_id_is_refused_and_named_once() {
    let cluster = Coordinators::start(3).await;
    let first = machine(1, 'a', "10.0.0.1");
    let second = machine(1, 'b', "10.0.0.2");
    let living = settled(&cluster, &first, "demo")
        .await
        .expect("it is the first");
    for _ in 0..5 {
        let refused = settled(&cluster, &second, "demo").await;
        let status = refused.err().expect("the id is taken");
        assert_eq!(status.code(), Code::AlreadyExists, "{status}");
        for words in ["host-1", "10.0.0.1", "agent.host_id", "lease"] {
            assert!(status.message().contains(words), "{status}");
        }
        assert!(
            !living.renewing.is_finished(),
            "the first keeps its session"
        );
    }
    let shown = host_status(&cluster).await;
    assert_eq!((shown.state(), shown.connected), (HostState::Up, true));
    assert_eq!(
        (shown.address.as_str(), shown.rival_address.as_str()),
        ("10.0.0.1", "10.0.0.2")
    );
    let events = events_of_claims(&cluster).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].contains("10.0.0.2"), "{events:?}");

    // Its own agent may come back at once; the other machine when the lease has ended.
    drop(living);
    let again = settled(&cluster, &first, "demo")
        .await
        .expect("the same machine");
    drop(again);
    let deadline = Instant::now() + PATIENCE;
    let taken_over = loop {
        match settled(&cluster, &second, "demo").await {
            Ok(session) => break session,
            Err(status) => assert!(Instant::now() < deadline, "{status}"),
        }
        sleep(Duration::from_millis(200)).await;
    };
    let shown = host_status(&cluster).await;
    assert_eq!(
        (shown.address.as_str(), shown.connected),
        ("10.0.0.2", true)
    );
    let refused = settled(&cluster, &first, "demo").await;
    assert_eq!(
        refused.err().expect("it lost the id").code(),
        Code::AlreadyExists
    );
    let events = events_of_claims(&cluster).await;
    assert!(
        events.iter().any(|text| text.contains("another machine")),
        "{events:?}"
    );
    drop(taken_over);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_another_cluster_is_refused_by_name() {
    let cluster = Coordinators::start(1).await;
    let host = machine(1, 'a', "10.0.0.1");
    let refused = settled(&cluster, &host, "prod").await;
    let status = refused.err().expect("it is of another cluster");
    for words in ["prod", "demo", "agent.coordinators"] {
        assert!(status.message().contains(words), "{status}");
    }
    for named in ["demo", ""] {
        let taken = settled(&cluster, &host, named).await;
        taken.unwrap_or_else(|status| panic!("{named:?}: {status}"));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_of_another_cluster_neither_joins_nor_starts() {
    let mut cluster = Coordinators::start(1).await;
    cluster.name = "prod".to_owned();
    let address = cluster.spare(2).await;
    cluster.wait_listening(2).await;
    let ask = AddMemberRequest {
        id: 2,
        address: address.clone(),
        wait_ms: 1_000,
    };
    let refused = cluster
        .members(1)
        .add(ask)
        .await
        .expect_err("another cluster's");
    for words in ["prod", "demo", "correct `cluster`"] {
        assert!(refused.message().contains(words), "{refused}");
    }
    cluster.kill(2).await;
    cluster.name = "demo".to_owned();
    cluster.restart(2).await;
    assert!(add(&cluster, 1, 2, &address).await.changed);
    let caught_up = || async { cluster.node(2).await.filter(|node| node.cluster == "demo") };
    cluster.wait_for("its state", caught_up).await;
    cluster.kill(2).await;
    cluster.name = "prod".to_owned();
    let ended = cluster.run_to_its_end(2).await;
    let Err(error @ RunError::OtherCluster { .. }) = ended else {
        panic!("{ended:?}");
    };
    for words in ["prod", "demo", "data directory"] {
        assert!(error.to_string().contains(words), "{error}");
    }
    cluster.forget(2);
    cluster.stop().await;
}
