//! A cluster that an older version made: its configuration names no stores.

use std::{
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

use super::*;
use crate::raft::{Machine, RaftOptions, SnapshotWriter};

const PATIENCE: Duration = Duration::from_secs(60);

struct Nothing;

impl Machine for Nothing {
    fn apply(&self, _: u64, _: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    fn snapshot(&self) -> SnapshotWriter {
        Box::new(|_: &mut dyn Write| Ok(()))
    }

    fn restore(&self, _: &mut dyn Read) -> io::Result<()> {
        Ok(())
    }
}

async fn start(id: u64, dir: &Path) -> (Consensus, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let options = RaftOptions::new(id, address.clone(), dir.join(id.to_string()));
    let consensus = Consensus::start(options, Arc::new(Nothing)).await.unwrap();
    let server = tonic::transport::Server::builder().add_service(consensus.service());
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (consensus, address)
}

/// Three nodes, of which the first `made` took part in the cluster as 0.1.0 made it.
async fn legacy(dir: &Path, made: usize) -> Vec<Consensus> {
    let (mut nodes, mut members) = (Vec::new(), BTreeMap::new());
    for id in 1..=3 {
        let (consensus, address) = start(id, dir).await;
        let store = None;
        members.insert(id, Node { address, store });
        nodes.push(consensus);
    }
    for node in &nodes[..made] {
        node.identity().learn("c", None).await.unwrap();
        node.raft().initialize(members.clone()).await.unwrap();
    }
    nodes
}

async fn until(what: &str, reached: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < end, "{what} did not come");
        sleep(Duration::from_millis(20)).await;
    }
}

fn leader(nodes: &[Consensus]) -> Option<&Consensus> {
    nodes.iter().find(|node| node.status().is_leader())
}

fn knows(node: &Consensus, of: &Consensus) -> bool {
    let (id, store) = (of.identity().node(), of.identity().store());
    node.identity().roster.store_of(id) == Some(store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_stores_are_written_once_all_have_answered() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = legacy(dir.path(), 3).await;
    until("a leader", || leader(&nodes).is_some()).await;
    until("the stores", || {
        nodes
            .iter()
            .all(|node| nodes.iter().all(|of| knows(node, of)))
    })
    .await;
    until("the end of the change", || {
        leader(&nodes).is_some_and(|node| !node.status().changing)
    })
    .await;
    assert_eq!(leader(&nodes).unwrap().status().voters.len(), 3);
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_store_takes_no_part_before_that_either() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = legacy(dir.path(), 2).await;
    let empty = &nodes[2];
    let refused = || leader(&nodes).and_then(|node| node.status().refused.get(&3).cloned());
    until("the refusal", || refused().is_some()).await;
    let words = refused().unwrap_or_default();
    assert!(words.contains("paasta-coordinator rejoin"), "{words}");
    sleep(EVERY * 2).await;
    assert!(
        !knows(&nodes[0], &nodes[1]),
        "as long as one did not answer"
    );
    let status = empty.status();
    assert_eq!((status.term, status.last_log), (0, None));
    let leading = leader(&nodes).expect("two of three agree");
    leading.remove(3, PATIENCE).await.expect("it is removed");
    until("the stores", || {
        knows(&nodes[0], &nodes[1]) && knows(&nodes[1], &nodes[0])
    })
    .await;
    for node in nodes {
        node.shutdown().await;
    }
}
