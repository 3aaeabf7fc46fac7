//! Messages that no honest member sends: terms that no elections have made, votes that pass over a
//! leader's lease without its word, claims in the name of others. They change nothing.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream, stream::BoxStream};
use openraft::{
    LogId, Vote,
    raft::{
        AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest,
        VoteRequest, VoteResponse,
    },
};
use paasta_coordinator::{
    raft::{Consensus, Machine, RaftError, RaftOptions, RaftStatus, TypeConfig},
    store::{Ballot, FlushTimer, IoMode, OnVolume, Store, StoreId, StoreOptions},
};
use paasta_proto::v1::{
    IntroduceRequest, Introduction, RaftPayload, SnapshotChunk,
    raft_service_client::RaftServiceClient,
    raft_service_server::{RaftService, RaftServiceServer},
};
use serde::Serialize;
use tokio::{net::TcpListener, time::sleep};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, Streaming, transport::Channel};

use super::harness::{Pairs, TestNode, acknowledged, alike, data_dir, eventually, leader, three};

type Ask = VoteRequest<TypeConfig>;

/// The last term there is.
const LAST: u64 = u64::MAX;

fn encode(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(rmp_serde::to_vec_named(message).expect("it can be written"));
    bytes
}

/// A faulty member: it has the number, the store and the cluster of a real one.
struct Forger {
    node: u64,
    stores: BTreeMap<u64, String>,
}

impl Forger {
    async fn among(nodes: &[TestNode], node: u64) -> Self {
        let mut stores = BTreeMap::new();
        for one in nodes {
            let told = client(one).await.introduce(IntroduceRequest {}).await;
            stores.insert(one.id, told.expect("it answers").into_inner().store);
        }
        Self { node, stores }
    }

    fn says(&self, to: u64, message: &impl Serialize) -> RaftPayload {
        RaftPayload {
            data: encode(message).into(),
            cluster_id: "a-cluster".to_owned(),
            from_node: self.node,
            to_node: to,
            epoch: 1,
            from_store: self.stores[&self.node].clone(),
            to_store: self.stores[&to].clone(),
        }
    }

    async fn asks(&self, to: &TestNode, ask: &Ask) -> Result<VoteResponse<TypeConfig>, Status> {
        let message = self.says(to.id, ask);
        let answer = client(to).await.vote(message).await?.into_inner();
        Ok(rmp_serde::from_slice(&answer.data[1..]).expect("an answer"))
    }
}

async fn client(node: &TestNode) -> RaftServiceClient<Channel> {
    let address = format!("http://{}", node.address);
    RaftServiceClient::connect(address)
        .await
        .expect("connected")
}

fn standing(nodes: &[TestNode]) -> Vec<(u64, Option<u64>)> {
    let each = nodes.iter().map(TestNode::status);
    each.map(|status: RaftStatus| (status.term, status.leader.map(|peer| peer.id)))
        .collect()
}

fn at(term: u64, index: u64) -> openraft::alias::LogIdOf<TypeConfig> {
    LogId::new(
        openraft::alias::CommittedLeaderIdOf::<TypeConfig>::new(term),
        index,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_forged_vote_or_append_moves_a_leader_or_a_term() {
    let dir = tempfile::tempdir().expect("a directory");
    let nodes = three(dir.path(), |_| {}).await;
    acknowledged(&nodes, "a", b"").await;
    alike(&nodes, 1).await;
    let leading = leader(&nodes).await;
    let (led, term) = (leading.id, leading.status().term);
    let before = standing(&nodes);
    let follower = led % 3 + 1;
    let forger = Forger::among(&nodes, follower).await;
    let transfer = |vote| Ask {
        leadership_transfer: true,
        ..Ask::new(vote, Some(at(term, 1_000)))
    };
    for to in nodes.iter().filter(|to| to.id != follower) {
        let absurd = [
            transfer(Vote::new(LAST, follower)),
            transfer(Vote::new(term + (1 << 40), follower)),
            Ask::new(Vote::new(LAST, follower), None),
        ];
        for ask in &absurd {
            let refused = forger.asks(to, ask).await.expect_err("no such term");
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
            assert!(refused.message().contains("claims term"), "{refused}");
            assert!(refused.message().contains("recover"), "{refused}");
        }
        let in_anothers_name = transfer(Vote::new(term + 1, led));
        let refused = forger
            .asks(to, &in_anothers_name)
            .await
            .expect_err("not its own");
        assert!(refused.message().contains("speaks for"), "{refused}");
        // A term that may be, and a flag that the leader knows nothing of: the lease counts.
        let without_the_leaders_word = transfer(Vote::new(term + 1, follower));
        let answer = forger
            .asks(to, &without_the_leaders_word)
            .await
            .expect("an answer");
        assert!(!answer.vote_granted, "{answer}");

        let append = |vote, prev, commit| AppendEntriesRequest::<TypeConfig> {
            vote,
            prev_log_id: prev,
            entries: Vec::new(),
            leader_commit: commit,
        };
        let appends = [
            append(Vote::new_committed(LAST, follower), None, None),
            append(Vote::new_committed(term + 1, to.id), None, None),
            append(Vote::new(term + 1, follower), None, None),
            append(Vote::new_committed(term, follower), Some(at(LAST, 5)), None),
            append(Vote::new_committed(term, follower), None, Some(at(LAST, 5))),
        ];
        for message in appends {
            let message = stream::iter([forger.says(to.id, &message)]);
            let answers = client(to).await.append_stream(message).await;
            let mut answers = answers.expect("it is opened").into_inner();
            let refused = answers.message().await.expect_err("refused");
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        }
        let word = TransferLeaderRequest::<TypeConfig>::new(
            Vote::new_committed(term, led),
            follower,
            Some(at(term, 1)),
        );
        let word = forger.says(to.id, &word);
        let refused = client(to)
            .await
            .transfer_leader(word)
            .await
            .expect_err("not its word");
        assert!(refused.message().contains("speaks for"), "{refused}");
        let answer = forger
            .asks(to, &without_the_leaders_word)
            .await
            .expect("an answer");
        assert!(
            !answer.vote_granted,
            "the leader's word cannot be forged: {answer}"
        );
    }
    assert_eq!(standing(&nodes), before, "the same leader in the same term");
    acknowledged(&nodes, "b", b"").await;

    // An honest handover still works, and the new leader's term is the next one.
    let to = led % 3 + 1;
    let handed = nodes.iter().find(|node| node.id == led).expect("it runs");
    handed
        .consensus
        .transfer_leader(to, Duration::from_secs(20))
        .await
        .expect("handed over");
    let now = leader(&nodes).await.status();
    assert_eq!((now.node_id, now.term), (to, term + 1));
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_a_term_that_cannot_be_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let tune = |options: &mut RaftOptions| options.snapshot_every = 20;
    let nodes = three(dir.path(), tune).await;
    for n in 0..60 {
        acknowledged(&nodes, &n.to_string(), b"").await;
    }
    let files = || async {
        let dir = data_dir(dir.path(), 1).join("snapshots");
        let names = std::fs::read_dir(dir).ok()?;
        let mut found = names.filter_map(|name| Some(name.ok()?.path()));
        found.find(|path| path.extension().is_some_and(|end| end == "snap"))
    };
    let file = std::fs::read(eventually("a snapshot", files).await).expect("it can be read");
    let forger = Forger::among(&nodes, 2).await;
    let before = standing(&nodes);
    for vote in [
        openraft::alias::VoteOf::<TypeConfig>::new_committed(LAST, 2),
        Vote::new(1, 2),
    ] {
        let head = SnapshotChunk {
            head: Some(forger.says(3, &vote)),
            data: Vec::new(),
            total_bytes: file.len() as u64,
        };
        let rest = SnapshotChunk {
            data: file.clone(),
            ..SnapshotChunk::default()
        };
        let sent = client(&nodes[2])
            .await
            .install_snapshot(stream::iter([head, rest]))
            .await;
        let refused = sent.expect_err("refused");
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    }
    assert_eq!(standing(&nodes), before);
    for node in nodes {
        node.stop().await;
    }
}

/// A member that answers everything with the last term there is.
#[derive(Clone)]
struct Answers {
    store: String,
    asked: Arc<AtomicU64>,
}

impl Answers {
    fn reply(&self, message: &impl Serialize) -> RaftPayload {
        self.asked.fetch_add(1, Ordering::Relaxed);
        RaftPayload {
            data: encode(message).into(),
            from_node: 3,
            from_store: self.store.clone(),
            ..RaftPayload::default()
        }
    }

    fn vote(&self) -> RaftPayload {
        self.reply(&VoteResponse::<TypeConfig>::new(
            Vote::new(LAST, 3),
            Some(at(1, 1)),
            false,
        ))
    }
}

#[tonic::async_trait]
impl RaftService for Answers {
    type AppendStreamStream = BoxStream<'static, Result<RaftPayload, Status>>;

    async fn append_stream(
        &self,
        request: Request<Streaming<RaftPayload>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let own = self.clone();
        let answers = request.into_inner().map(move |_| {
            let higher: StreamAppendResult<TypeConfig> =
                Err(StreamAppendError::HigherVote(Vote::new_committed(LAST, 3)));
            Ok(own.reply(&higher))
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn vote(&self, _: Request<RaftPayload>) -> Result<Response<RaftPayload>, Status> {
        Ok(Response::new(Self::vote(self)))
    }

    async fn pre_vote(&self, _: Request<RaftPayload>) -> Result<Response<RaftPayload>, Status> {
        Ok(Response::new(Self::vote(self)))
    }

    async fn echo(&self, _: Request<RaftPayload>) -> Result<Response<RaftPayload>, Status> {
        Err(Status::unavailable("never"))
    }

    async fn transfer_leader(
        &self,
        _: Request<RaftPayload>,
    ) -> Result<Response<RaftPayload>, Status> {
        Err(Status::unavailable("never"))
    }

    async fn introduce(
        &self,
        _: Request<IntroduceRequest>,
    ) -> Result<Response<Introduction>, Status> {
        Ok(Response::new(Introduction {
            node: 3,
            store: self.store.clone(),
            empty: true,
            ..Introduction::default()
        }))
    }

    async fn install_snapshot(
        &self,
        _: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<RaftPayload>, Status> {
        Ok(Response::new(Self::vote(self)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_answers_with_the_last_term_deposes_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let answers = Answers {
        store: StoreId::from_bits(3).to_string(),
        asked: Arc::default(),
    };
    let server =
        tonic::transport::Server::builder().add_service(RaftServiceServer::new(answers.clone()));
    let server = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let mut nodes = Vec::new();
    for id in [1, 2] {
        nodes.push(TestNode::start(id, dir.path(), "", |_| {}).await);
    }
    let own = nodes.iter().map(|node| (node.id, node.address.clone()));
    let members = own.chain([(3, address)]).collect();
    let first = &nodes[0].consensus;
    first.init("a-cluster", members).await.expect("it is made");
    let led = leader(&nodes).await.status();
    for n in 0..10 {
        acknowledged(&nodes, &n.to_string(), b"").await;
        sleep(Duration::from_millis(100)).await;
    }
    assert!(answers.asked.load(Ordering::Relaxed) > 3, "it was asked");
    let now = leader(&nodes).await.status();
    assert_eq!((now.node_id, now.term), (led.node_id, led.term));
    assert!(now.refused[&3].contains("claims term"), "{:?}", now.refused);
    for node in nodes {
        node.stop().await;
    }
    server.abort();
}

async fn forge(dir: &Path, id: u64) {
    let store = Store::open(&StoreOptions {
        dir: data_dir(dir, id),
        node: id,
        cluster: None,
        fresh: StoreId::from_bits(0),
        volume: OnVolume::default(),
        io: IoMode::Inline,
        timer: FlushTimer::default(),
    });
    let vote = Ballot {
        term: LAST,
        node: 2,
        committed: false,
    };
    store
        .expect("it is in order")
        .log
        .save_vote(vote)
        .await
        .expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_holds_such_a_term_says_how_it_is_mended() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = three(dir.path(), |_| {}).await;
    acknowledged(&nodes, "a", b"").await;
    let (id, address) = nodes.remove(2).stop().await;
    forge(dir.path(), id).await;
    let options = RaftOptions::new(id, address, data_dir(dir.path(), id));
    let machine: Arc<dyn Machine> = Arc::new(Pairs::default());
    let error = Consensus::start(options, machine)
        .await
        .err()
        .expect("it must not start");
    assert!(
        matches!(error, RaftError::ImpossibleTerm { term: LAST, .. }),
        "{error}"
    );
    for words in ["paasta-coordinator recover", "paasta-coordinator rejoin"] {
        assert!(error.to_string().contains(words), "{error}");
    }
    acknowledged(&nodes, "the others go on", b"").await;
    for node in nodes {
        node.stop().await;
    }
}
