//! Requests that are too large, or no requests at all; and one client that asks for everything
//! again and again.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Buf as _, BufMut as _, Bytes};
use hyper_util::rt::TokioIo;
use paasta_proto::v1::{
    NodeRequest, StatusRequest, admin_client::AdminClient, cluster_client::ClusterClient,
};
use paasta_tests::loopback::{Loopback, LoopbackOptions};
use tokio::{net::TcpSocket, task::JoinHandle};
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};

const SOON: Duration = Duration::from_secs(120);
const MEBIBYTE: usize = 1 << 20;

fn cluster(name: &'static str, count: usize) -> Loopback {
    Loopback::up(LoopbackOptions::new(name, &vec![0; count])).unwrap()
}

/// A channel from an address of the loopback network.
pub(super) async fn channel(from: [u8; 4], to: SocketAddr) -> Channel {
    let connector = tower::service_fn(move |_: http::Uri| async move {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        socket.connect(to).await.map(TokioIo::new)
    });
    let endpoint = Endpoint::from_shared(format!("http://{to}")).unwrap();
    endpoint.connect_with_connector(connector).await.unwrap()
}

/// Bytes as they are: requests that are none, and answers that nobody reads.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// A client that takes large answers.
async fn ready(channel: &Channel) -> Result<Grpc<Channel>, Status> {
    let mut client = Grpc::new(channel.clone()).max_decoding_message_size(64 << 20);
    let ready = client.ready().await;
    ready.map_err(|error| Status::unknown(error.to_string()))?;
    Ok(client)
}

/// The messages of the answer, as bytes; a call that has one message is a stream of one.
pub(super) async fn stream(
    channel: &Channel,
    path: &'static str,
    bytes: Vec<u8>,
) -> Result<Streaming<Bytes>, Status> {
    let mut client = ready(channel).await?;
    let path = http::uri::PathAndQuery::from_static(path);
    let answer = client.server_streaming(Request::new(bytes), path, Raw);
    Ok(answer.await?.into_inner())
}

async fn raw(channel: &Channel, path: &'static str, bytes: Vec<u8>) -> Result<usize, Status> {
    let mut client = ready(channel).await?;
    let path = http::uri::PathAndQuery::from_static(path);
    let answer = client.unary(Request::new(bytes), path, Raw).await?;
    Ok(answer.into_inner().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_or_means_nothing_is_refused_at_the_door() {
    let cluster = tokio::task::block_in_place(|| cluster("door", 3));
    let leader = tokio::task::block_in_place(|| cluster.leader(SOON)).unwrap();
    let address = cluster.address(leader);
    let term = || {
        let nodes = tokio::task::block_in_place(|| cluster.operator.nodes()).unwrap();
        nodes.iter().map(|node| node.term).max().unwrap_or(0)
    };
    let before = term();
    let own = channel([127, 0, 0, 1], address).await;
    let mut admin = AdminClient::new(own.clone());
    for _ in 0..20 {
        let asked = StatusRequest {
            service: "a".repeat(MEBIBYTE),
            ..StatusRequest::default()
        };
        let refused = admin.status(asked).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let words = refused.message();
        let expected = "StatusRequest.service: 1048576 bytes are more than the 255";
        assert!(words.starts_with(expected) && words.len() < 250, "{words}");
    }
    let many = StatusRequest {
        service: "one".to_owned(),
        instances: vec!["i1".to_owned(); 1_001],
        ..StatusRequest::default()
    };
    let refused = admin.status(many).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused.message().starts_with("StatusRequest.instances"),
        "{refused}"
    );
    let status = "/paasta.v1.Admin/Status";
    for bytes in [
        b"\x0a\xff".to_vec(),
        b"\x0a\x02\xff\xfe".to_vec(),
        vec![0xff; 300],
    ] {
        let refused = raw(&own, status, bytes.clone()).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::InvalidArgument,
            "{bytes:?}: {refused}"
        );
        assert!(refused.message().contains("StatusRequest"), "{refused}");
    }
    // A stream of a member or an agent is no other door.
    for path in ["/paasta.v1.RaftService/Vote", "/paasta.v1.Agents/Session"] {
        let refused = raw(&own, path, b"\x0a\xff".to_vec()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{path}: {refused}");
    }
    assert_eq!(term(), before, "the leader was not deposed");
}

/// What half of the samples are below, and nine of ten.
fn spread(mut samples: Vec<Duration>) -> (Duration, Duration) {
    samples.sort_unstable();
    (samples[samples.len() / 2], samples[samples.len() * 9 / 10])
}

/// One client that asks for everything, with replicas, from many tasks while it is switched on.
struct Flood {
    on: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Flood {
    fn begin(channel: &Channel, tasks: usize) -> Self {
        let (on, answers, refused) = (Arc::default(), Arc::default(), Arc::default());
        let mut flood = Self {
            on,
            answers,
            refused,
            tasks: Vec::new(),
        };
        for _ in 0..tasks {
            let (channel, on) = (channel.clone(), Arc::clone(&flood.on));
            let (answers, refused) = (Arc::clone(&flood.answers), Arc::clone(&flood.refused));
            flood.tasks.push(tokio::spawn(async move {
                loop {
                    if !on.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        continue;
                    }
                    match raw(&channel, "/paasta.v1.Admin/Status", vec![0x18, 1]).await {
                        Ok(_) => answers.fetch_add(1, Ordering::Relaxed),
                        Err(status) if status.code() == Code::ResourceExhausted => {
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                        Err(status) => panic!("{status}"),
                    };
                }
            }));
        }
        flood
    }

    /// How many whole answers it had, and how many refusals.
    fn end(self) -> (u64, u64) {
        self.tasks.iter().for_each(JoinHandle::abort);
        let count = |counter: Arc<AtomicU64>| counter.load(Ordering::Relaxed);
        (count(self.answers), count(self.refused))
    }
}

/// How long one instance's status takes, and what needs no look at the state.
async fn measured(own: &Channel, status: &mut Vec<Duration>, node: &mut Vec<Duration>) {
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let asked = StatusRequest {
            service: "one".to_owned(),
            instances: vec!["i7".to_owned()],
            ..StatusRequest::default()
        };
        let began = Instant::now();
        let answer = AdminClient::new(own.clone()).status(asked).await.unwrap();
        status.push(began.elapsed());
        assert_eq!(answer.into_inner().instances.len(), 1);
        let began = Instant::now();
        let mut cluster = ClusterClient::new(own.clone());
        cluster.node(NodeRequest {}).await.unwrap();
        node.push(began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_the_dearest_reads_costs_others_at_most_twice_their_time() {
    let cluster = tokio::task::block_in_place(|| {
        let cluster = cluster("flood", 1);
        // More than one file may declare.
        cluster.declare("one", 900, 'a').unwrap();
        cluster.declare("two", 600, 'a').unwrap();
        let known = || {
            let known = cluster.operator.metastatus()?.instances;
            anyhow::ensure!(known == 1_500, "{known}");
            Ok(())
        };
        paasta_tests::run::eventually(SOON, "they are known", known).unwrap();
        cluster
    });
    let own = channel([127, 0, 0, 1], cluster.address(1)).await;
    let other = channel([127, 0, 0, 2], cluster.address(1)).await;
    let flood = Flood::begin(&other, 48);
    let mut status = [Vec::new(), Vec::new()];
    let mut node = [Vec::new(), Vec::new()];
    // By turns, so that what else this machine does is in both.
    for turn in 0..8 {
        let at = turn % 2;
        flood.on.store(at == 1, Ordering::Relaxed);
        let settling = if at == 1 { 300 } else { 1_500 };
        tokio::time::sleep(Duration::from_millis(settling)).await;
        measured(&own, &mut status[at], &mut node[at]).await;
    }
    let (answers, refused) = flood.end();
    let samples = status.each_ref().map(Vec::len);
    let ([alone, beside], [node_alone, node_beside]) = (status.map(spread), node.map(spread));
    println!(
        "a status: {alone:?} alone, {beside:?} beside a flood ({samples:?} samples; {answers} whole \
         answers, {refused} refused); what needs no look: {node_alone:?} and {node_beside:?}"
    );
    assert!(answers > 8, "the flood was none: {answers}");
    assert!(
        beside.0 <= alone.0 * 2,
        "{beside:?} beside, {alone:?} alone"
    );
    let most = (node_alone.1 * 2).max(Duration::from_millis(50));
    assert!(
        node_beside.1 <= most,
        "the executor is held for {node_beside:?}"
    );
}
