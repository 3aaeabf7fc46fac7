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
    /// How often that cluster was recovered, from 1; 0 while it is not known.
    epoch: u64,
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
        let hard = log.upgrade().map(|log| log.hard_state());
        let hard = hard.filter(|hard| !hard.cluster.is_empty());
        let written = hard.is_some();
        let epoch = hard.as_ref().map_or(0, |hard| hard.epoch.max(1));
        let known = Known {
            cluster: hard.map(|hard| hard.cluster).or(expected),
            epoch,
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

    /// The epoch of the cluster this node belongs to by its own file; 0 while it belongs to none.
    pub(super) fn epoch(&self) -> u64 {
        self.known.read().epoch
    }

    /// Addresses a message to a peer. `None` while this node belongs to no cluster.
    pub(super) fn address(&self, to_node: u64, data: Vec<u8>) -> Option<RaftPayload> {
        let known = self.known.read();
        Some(RaftPayload {
            data: data.into(),
            cluster_id: known.cluster.clone()?,
            from_node: self.node,
            to_node,
            epoch: known.epoch.max(1),
        })
    }

    /// Refuses a message that is not for this node of this cluster. A node without a cluster
    /// joins the sender's, durably, before the message counts.
    pub(super) async fn admit(&self, message: &RaftPayload) -> Result<(), Status> {
        let RaftPayload {
            cluster_id,
            from_node,
            to_node,
            epoch,
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
        let epoch = (*epoch).max(1);
        if self.is_settled(cluster_id, epoch) {
            return Ok(());
        }
        let learned = self.learn(cluster_id, Some(epoch)).await;
        learned.map_err(|error| match error {
            RaftError::OtherCluster { .. } | RaftError::OtherEpoch { .. } => {
                Status::failed_precondition(error.to_string())
            }
            other => Status::unavailable(other.to_string()),
        })
    }

    /// Takes `id` and `epoch` (1 if it is not given) for ever if there is none yet. A store that
    /// took no part in any consensus may still be given another: its first `init` may have been
    /// cut short.
    pub(super) async fn learn(&self, id: &str, epoch: Option<u64>) -> Result<(), RaftError> {
        let _one_at_a_time = self.learning.lock().await;
        let log = self.log.upgrade().ok_or(RaftError::Stopped)?;
        let hard = log.hard_state();
        let node = self.node;
        let stored = hard.epoch.max(1);
        if hard.cluster == id && (epoch.is_none() || epoch == Some(stored)) {
            self.settle(id, stored);
            return Ok(());
        }
        let pristine = hard.is_pristine();
        let known = match hard.cluster.is_empty() {
            true => self.cluster(),
            false if pristine => None,
            false => Some(hard.cluster.clone()),
        };
        if let Some(known) = known.filter(|known| known != id) {
            let given = id.to_owned();
            return Err(RaftError::OtherCluster { node, known, given });
        }
        let given = epoch.unwrap_or(1);
        if hard.cluster == id && !pristine {
            let known = stored;
            return Err(RaftError::OtherEpoch { node, known, given });
        }
        log.set_cluster(id, given).await.map_err(RaftError::Disk)?;
        self.settle(id, given);
        Ok(())
    }

    fn is_settled(&self, id: &str, epoch: u64) -> bool {
        let known = self.known.read();
        known.written && known.epoch == epoch && known.cluster.as_deref() == Some(id)
    }

    fn settle(&self, id: &str, epoch: u64) {
        *self.known.write() = Known {
            cluster: Some(id.to_owned()),
            epoch,
            written: true,
        };
    }
}
