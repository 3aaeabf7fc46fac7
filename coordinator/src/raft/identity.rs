//! Who this node is and which cluster it belongs to, and the refusal of everybody else's messages.

use paasta_proto::v1::RaftPayload;
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tonic::Status;

use super::error::RaftError;
use crate::store::LogHandle;

/// What is known of the cluster.
#[derive(Debug)]
struct Known {
    /// From the disk, or what this node was told to join.
    cluster: Option<String>,
    /// Whether it is on the disk, so that messages can be compared without waiting for that.
    written: bool,
}

/// The identity of one node, shared by its client and server sides.
#[derive(Debug)]
pub(super) struct Identity {
    node: u64,
    known: RwLock<Known>,
    /// Held while a cluster id is written, so that two first messages cannot both win.
    learning: Mutex<()>,
    log: LogHandle,
}

impl Identity {
    /// `expected` is the cluster this node was told to join, if it was told.
    pub(super) fn new(node: u64, expected: Option<String>, log: LogHandle) -> Self {
        let stored = log.upgrade().map(|log| log.hard_state().cluster);
        let stored = stored.filter(|stored| !stored.is_empty());
        let written = stored.is_some();
        let known = Known {
            cluster: stored.or(expected),
            written,
        };
        Self {
            node,
            known: RwLock::new(known),
            learning: Mutex::new(()),
            log,
        }
    }

    pub(super) fn node(&self) -> u64 {
        self.node
    }

    pub(super) fn cluster(&self) -> Option<String> {
        self.known.read().cluster.clone()
    }

    /// Addresses a message to a peer. `None` while this node belongs to no cluster.
    pub(super) fn address(&self, to_node: u64, data: Vec<u8>) -> Option<RaftPayload> {
        let cluster_id = self.cluster()?;
        Some(RaftPayload {
            data: data.into(),
            cluster_id,
            from_node: self.node,
            to_node,
        })
    }

    /// Refuses a message that is not for this node of this cluster. A node without a cluster
    /// joins the sender's, durably, before the message counts.
    pub(super) async fn admit(&self, message: &RaftPayload) -> Result<(), Status> {
        let RaftPayload {
            cluster_id,
            from_node,
            to_node,
            ..
        } = message;
        if *to_node != self.node {
            return Err(Status::failed_precondition(format!(
                "this is coordinator {}, not {to_node}: correct the address that coordinator \
                 {from_node} has for {to_node}",
                self.node
            )));
        }
        if cluster_id.is_empty() {
            return Err(Status::invalid_argument("the message names no cluster"));
        }
        if self.is_settled(cluster_id) {
            return Ok(());
        }
        self.learn(cluster_id).await.map_err(|error| match error {
            RaftError::OtherCluster { .. } => Status::failed_precondition(error.to_string()),
            other => Status::unavailable(other.to_string()),
        })
    }

    /// Takes `id` for ever if there is none yet. A store that took no part in any consensus may
    /// still be given another: its first `init` may have been cut short.
    pub(super) async fn learn(&self, id: &str) -> Result<(), RaftError> {
        let _one_at_a_time = self.learning.lock().await;
        let log = self.log.upgrade().ok_or(RaftError::Stopped)?;
        let hard = log.hard_state();
        if hard.cluster == id {
            self.settle(id);
            return Ok(());
        }
        let known = match hard.cluster.is_empty() {
            true => self.cluster(),
            false if hard.is_pristine() => None,
            false => Some(hard.cluster),
        };
        if let Some(known) = known.filter(|known| known != id) {
            let (node, given) = (self.node, id.to_owned());
            return Err(RaftError::OtherCluster { node, known, given });
        }
        log.set_cluster(id).await.map_err(RaftError::Disk)?;
        self.settle(id);
        Ok(())
    }

    fn is_settled(&self, id: &str) -> bool {
        let known = self.known.read();
        known.written && known.cluster.as_deref() == Some(id)
    }

    fn settle(&self, id: &str) {
        *self.known.write() = Known {
            cluster: Some(id.to_owned()),
            written: true,
        };
    }
}
