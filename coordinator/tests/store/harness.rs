//! A small machine, nodes that serve on loopback, and waiting with a deadline.

use std::{
    collections::BTreeMap,
    future::Future,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use paasta_coordinator::raft::{
    Consensus, Machine, ProposeError, RaftOptions, RaftStatus, Role, SnapshotWriter,
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, runtime::Runtime, time::Instant};
use tokio_stream::wrappers::TcpListenerStream;

/// Long enough for a loaded machine; nothing waits so long when it works.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// Keys and values; the outcome of a command is the number of keys after it.
#[derive(Debug, Default)]
pub(super) struct Pairs(Mutex<BTreeMap<String, Vec<u8>>>);

impl Pairs {
    pub(super) fn all(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().clone()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.lock().contains_key(key)
    }
}

/// A command that sets `key`.
pub(super) fn set(key: &str, value: &[u8]) -> Vec<u8> {
    rmp_serde::to_vec(&(key, value)).expect("pairs can be encoded")
}

impl Machine for Pairs {
    fn apply(&self, _index: u64, command: &[u8]) -> Vec<u8> {
        let Ok((key, value)) = rmp_serde::from_slice::<(String, Vec<u8>)>(command) else {
            return b"what?".to_vec();
        };
        let mut pairs = self.0.lock();
        pairs.insert(key, value);
        pairs.len().to_string().into_bytes()
    }

    fn snapshot(&self) -> SnapshotWriter {
        let copy = self.all();
        Box::new(move |to: &mut dyn Write| {
            let bytes = rmp_serde::to_vec(&copy).map_err(io::Error::other)?;
            to.write_all(&bytes)
        })
    }

    fn restore(&self, from: &mut dyn Read) -> io::Result<()> {
        *self.0.lock() = rmp_serde::from_read(from).map_err(io::Error::other)?;
        Ok(())
    }
}

/// One running coordinator, on a runtime of its own: with that, its connections end as they would
/// with its process.
pub(super) struct TestNode {
    pub(super) id: u64,
    pub(super) address: String,
    pub(super) consensus: Consensus,
    pub(super) pairs: Arc<Pairs>,
    runtime: Runtime,
}

/// How a node of a test is set up.
pub(super) type Tune = fn(&mut RaftOptions);

impl TestNode {
    /// Starts on `address`, or on one of its own if that is empty.
    pub(super) async fn start(id: u64, dir: &Path, address: &str, tune: Tune) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let address = if address.is_empty() {
            unused_address()
        } else {
            address.to_owned()
        };
        let dir = data_dir(dir, id);
        let starting = runtime.spawn(async move {
            // A node that just ended may still be letting go of it.
            let bind = || async { TcpListener::bind(&address).await.ok() };
            let listener = eventually("the address", bind).await;
            let address = listener.local_addr().expect("it is bound").to_string();
            let pairs = Arc::new(Pairs::default());
            let mut options = RaftOptions::new(id, address.clone(), dir);
            tune(&mut options);
            let machine: Arc<dyn Machine> = pairs.clone();
            let consensus = Consensus::start(options, machine).await.expect("it starts");
            let router = tonic::transport::Server::builder().add_service(consensus.service());
            tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
            (address, consensus, pairs)
        });
        let (address, consensus, pairs) = starting.await.expect("it starts");
        Self {
            id,
            address,
            consensus,
            pairs,
            runtime,
        }
    }

    /// Stops at once: connections break, files close.
    pub(super) async fn stop(self) -> (u64, String) {
        self.consensus.shutdown().await;
        self.runtime.shutdown_background();
        (self.id, self.address)
    }

    pub(super) fn status(&self) -> RaftStatus {
        self.consensus.status()
    }
}

/// On an address of the loopback network that no other test and no client port ever uses, so that
/// a stopped node can have it back.
fn unused_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("127.77.{}.{}:0", next / 250, next % 250 + 1)
}

pub(super) fn data_dir(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("node-{id}"))
}

/// Three running nodes that are one cluster.
pub(super) async fn three(dir: &Path, tune: Tune) -> Vec<TestNode> {
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(TestNode::start(id, dir, "", tune).await);
    }
    let members = nodes
        .iter()
        .map(|node| (node.id, node.address.clone()))
        .collect();
    nodes[0]
        .consensus
        .init("a-cluster", members)
        .await
        .expect("the cluster is made");
    nodes
}

/// The node that leads, once there is one that all of `nodes` agree on.
pub(super) async fn leader(nodes: &[TestNode]) -> &TestNode {
    let agreed = || async {
        let leading = nodes
            .iter()
            .find(|node| node.status().role == Role::Leader)?;
        let term = leading.status().term;
        nodes
            .iter()
            .all(|node| {
                let status = node.status();
                status.term == term && status.leader.is_some_and(|peer| peer.id == leading.id)
            })
            .then_some(leading)
    };
    eventually("a leader", agreed).await
}

/// Proposes on the leader, again and again, until it is acknowledged.
pub(super) async fn acknowledged(nodes: &[TestNode], key: &str, value: &[u8]) {
    let attempt = || async {
        let leading = nodes
            .iter()
            .find(|node| node.status().role == Role::Leader)?;
        let proposed = leading
            .consensus
            .propose(set(key, value), Duration::from_secs(2))
            .await;
        match proposed {
            Ok(_) => Some(()),
            Err(ProposeError::Stopped) => panic!("node {} stopped", leading.id),
            Err(_) => None,
        }
    };
    eventually("an acknowledgement", attempt).await;
}

/// Waits until all nodes have the same pairs, `count` of them.
pub(super) async fn alike(nodes: &[TestNode], count: usize) {
    let same = || async {
        let first = nodes[0].pairs.all();
        (first.len() == count && nodes.iter().all(|node| node.pairs.all() == first)).then_some(())
    };
    eventually("equal machines", same).await;
}

/// Polls until `condition` gives something.
pub(super) async fn eventually<T, F>(what: &str, mut condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(
            Instant::now() < until,
            "{what} did not come within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
