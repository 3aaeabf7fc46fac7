//! A follower that takes what it is sent and never answers, and one that hangs up.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::stream::{self, BoxStream, StreamExt};
use paasta_coordinator::{raft::RaftOptions, store::StoreId};
use paasta_proto::v1::{
    IntroduceRequest, Introduction, RaftPayload, SnapshotChunk,
    raft_service_server::{RaftService, RaftServiceServer},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

use super::harness::{TestNode, acknowledged, alike, eventually, leader};

/// Bytes of a value: a message with such a record is no heartbeat.
const RECORD_BYTES: usize = 1000;

/// Counts the streams on which a record came.
#[derive(Clone, Default)]
pub(super) struct Silent {
    id: u64,
    streams: Arc<AtomicU32>,
}

#[tonic::async_trait]
impl RaftService for Silent {
    type AppendStreamStream = BoxStream<'static, Result<RaftPayload, Status>>;

    async fn append_stream(
        &self,
        request: Request<Streaming<RaftPayload>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let (streams, mut incoming) = (Arc::clone(&self.streams), request.into_inner());
        tokio::spawn(async move {
            let mut with_records = false;
            while let Ok(Some(message)) = incoming.message().await {
                if message.data.len() > RECORD_BYTES && !with_records {
                    with_records = true;
                    streams.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Response::new(stream::pending().boxed()))
    }

    async fn vote(&self, _: Request<RaftPayload>) -> Result<Response<RaftPayload>, Status> {
        std::future::pending().await
    }

    async fn pre_vote(&self, _: Request<RaftPayload>) -> Result<Response<RaftPayload>, Status> {
        std::future::pending().await
    }

    async fn echo(&self, _: Request<RaftPayload>) -> Result<Response<RaftPayload>, Status> {
        std::future::pending().await
    }

    async fn transfer_leader(
        &self,
        _: Request<RaftPayload>,
    ) -> Result<Response<RaftPayload>, Status> {
        std::future::pending().await
    }

    async fn introduce(
        &self,
        _: Request<IntroduceRequest>,
    ) -> Result<Response<Introduction>, Status> {
        Ok(Response::new(Introduction {
            node: self.id,
            store: StoreId::from_bits(u128::from(self.id)).to_string(),
            empty: true,
            ..Introduction::default()
        }))
    }

    async fn install_snapshot(
        &self,
        _: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<RaftPayload>, Status> {
        std::future::pending().await
    }
}

impl Silent {
    /// Under this id.
    pub(super) fn of(id: u64) -> Self {
        Self {
            id,
            ..Self::default()
        }
    }

    /// The same, on one connection.
    fn serve_one(&self, connection: TcpStream) -> JoinHandle<()> {
        let service = RaftServiceServer::new(self.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        let one = stream::iter([Ok::<_, std::io::Error>(connection)]).chain(stream::pending());
        tokio::spawn(async move { server.serve_with_incoming(one).await.expect("it serves") })
    }

    /// Says who it is, and nothing else.
    pub(super) fn serve(&self, listener: TcpListener) -> JoinHandle<()> {
        let service = RaftServiceServer::new(self.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        let serving = server.serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(async move { serving.await.expect("it serves") })
    }
}

/// Two nodes, with a third member at the address, that have a leader and take writes.
async fn two_and(third: String, dir: &Path) -> Vec<TestNode> {
    let tune = |options: &mut RaftOptions| options.append_timeout = Duration::from_millis(300);
    let mut nodes = Vec::new();
    for id in [1, 2] {
        nodes.push(TestNode::start(id, dir, "", tune).await);
    }
    let own = nodes.iter().map(|node| (node.id, node.address.clone()));
    let members: BTreeMap<u64, String> = own.chain([(3, third)]).collect();
    let first = &nodes[0].consensus;
    first.init("a-cluster", members).await.expect("it is made");
    leader(&nodes).await;
    for number in 0..20 {
        acknowledged(&nodes, &number.to_string(), &[0; RECORD_BYTES]).await;
    }
    alike(&nodes, 20).await;
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_never_answers_is_asked_again_and_holds_up_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let silent = Silent::of(3);
    let server = silent.serve(listener);
    let nodes = two_and(address, dir.path()).await;
    // Each stream is given up for one request that was not answered in time.
    let asked_again = || async {
        let streams = silent.streams.load(Ordering::Relaxed);
        (streams >= 3).then_some(())
    };
    eventually("another stream", asked_again).await;
    for node in nodes {
        node.stop().await;
    }
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_hangs_up_is_dialled_with_pauses() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let dialled = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&dialled);
    let introducing = Silent::of(3);
    let made = Arc::new(Notify::new());
    let making = Arc::clone(&made);
    let server = tokio::spawn(async move {
        // Who is asked to be a member answers; then it only hangs up.
        let (first, _) = listener.accept().await.expect("it is asked");
        let introduced = introducing.serve_one(first);
        making.notified().await;
        introduced.abort();
        while let Ok((connection, _)) = listener.accept().await {
            counting.fetch_add(1, Ordering::Relaxed);
            drop(connection);
        }
    });
    let nodes = two_and(address, dir.path()).await;
    made.notify_one();
    let (before, began) = (dialled.load(Ordering::Relaxed), Instant::now());
    let more = || async { (dialled.load(Ordering::Relaxed) >= before + 20).then_some(()) };
    eventually("20 more", more).await;
    // Heartbeats each 100 ms, and appends at growing distances; else it would take some 10 ms.
    assert!(began.elapsed() > Duration::from_millis(200));
    for node in nodes {
        node.stop().await;
    }
    server.abort();
}
