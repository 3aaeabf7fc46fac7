//! As much of a coordinator as an agent needs: it welcomes, gives one assignment and hears how that
//! comes along.

use std::net::SocketAddr;

use paasta_common::assignment::Assignment;
use paasta_proto::{
    convert,
    v1::{
        self, ReplicaHealth, agent_message,
        agents_server::{Agents, AgentsServer},
        coordinator_message,
    },
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

struct Coordinator {
    assignment: v1::Assignment,
    healthy: watch::Sender<usize>,
}

#[tonic::async_trait]
impl Agents for Coordinator {
    type SessionStream = ReceiverStream<Result<v1::CoordinatorMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (outbox, messages) = mpsc::channel(16);
        let welcome = coordinator_message::Kind::Welcome(v1::Welcome {
            cluster_id: "bench".to_owned(),
            lease_ms: 10_000,
            renew_every_ms: 3_000,
            proves: false,
        });
        let assignment = coordinator_message::Kind::Assignment(self.assignment.clone());
        for kind in [welcome, assignment] {
            let message = v1::CoordinatorMessage { kind: Some(kind) };
            outbox.send(Ok(message)).await.unwrap();
        }
        let (mut inbox, healthy) = (request.into_inner(), self.healthy.clone());
        tokio::spawn(async move {
            let mut well = std::collections::BTreeSet::new();
            while let Ok(Some(message)) = inbox.message().await {
                let Some(agent_message::Kind::Report(report)) = message.kind else {
                    continue;
                };
                for replica in report.replicas {
                    match replica.health() == ReplicaHealth::Healthy {
                        true => well.insert(replica.id),
                        false => well.remove(&replica.id),
                    };
                }
                healthy.send_replace(well.len());
            }
            drop(outbox);
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

/// Serves on a port of its own; returns it and how many replicas are healthy.
pub(crate) async fn serve(assignment: &Assignment) -> (SocketAddr, watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (healthy, seen) = watch::channel(0);
    let coordinator = Coordinator {
        assignment: convert::assignment_to_wire(assignment, true),
        healthy,
    };
    let serving = Server::builder()
        .add_service(AgentsServer::new(coordinator))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    (address, seen)
}
