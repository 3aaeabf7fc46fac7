//! Where agents go when their coordinator leads no more: the last message of each session says it.

use paasta_proto::v1::{
    AgentMessage, CoordinatorMessage, Reconnect, TransferLeaderRequest,
    agents_client::AgentsClient, coordinator_message,
};
use tokio::{sync::mpsc, time::timeout};
use tonic::Streaming;

use super::{
    agent::{info, welcomed},
    coordinators::Coordinators,
};
use crate::PATIENCE;

/// A session that was welcomed. It goes on for as long as this is held.
struct Session {
    answers: Streaming<CoordinatorMessage>,
    _outbox: mpsc::Sender<AgentMessage>,
}

/// Opens a session; none where the coordinator does not lead yet.
async fn open(cluster: &Coordinators, at: u64) -> Option<Session> {
    let client = AgentsClient::new(cluster.channel(at));
    let (answers, outbox) = welcomed(client, &info(1), "demo").await.ok()?;
    Some(Session {
        answers,
        _outbox: outbox,
    })
}

/// The last message of the session.
async fn farewell(mut session: Session) -> Reconnect {
    let mut last = None;
    let hear = async {
        while let Ok(Some(message)) = session.answers.message().await {
            last = message.kind;
        }
    };
    timeout(PATIENCE, hear).await.expect("the session ends");
    match last {
        Some(coordinator_message::Kind::Reconnect(ask)) => ask,
        other => panic!("the last message is {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_message_of_a_session_names_the_next_leader() {
    let mut cluster = Coordinators::start(3).await;
    let leader = cluster.leader(PATIENCE).await;
    let session = cluster
        .wait_for("a session", || open(&cluster, leader))
        .await;
    let to = leader % 3 + 1;
    let transfer = TransferLeaderRequest {
        to,
        ..TransferLeaderRequest::default()
    };
    let mut members = cluster.members(leader);
    let (moved, last) = tokio::join!(members.transfer_leader(transfer), farewell(session));
    moved.expect("it is handed over");
    let address = |id: u64| cluster.addresses()[id as usize - 1].clone();
    assert_eq!(last.address, address(to), "{}", last.reason);
    assert_eq!(last.reason, "another coordinator leads");

    // One that stops cannot know who leads next: it names one of the others.
    let leader = cluster.leader(PATIENCE).await;
    let session = cluster
        .wait_for("a session", || open(&cluster, leader))
        .await;
    let others: Vec<String> = (1..=3).filter(|id| *id != leader).map(address).collect();
    let ((), last) = tokio::join!(cluster.kill(leader), farewell(session));
    assert!(others.contains(&last.address), "{last:?} of {others:?}");
    cluster.stop().await;
}
