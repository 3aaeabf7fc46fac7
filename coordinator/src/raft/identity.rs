//! The identity of this node: its number, its store and its cluster, and the refusal of messages that
//! are not for it.
//!
//! A member is a number and a store. The members' configuration names both, and every message names
//! the store of its sender and the one that it is for. A store that took part in no cluster yet
//! takes only messages that name it: so an empty directory under a member's number never votes and
//! never counts, while one that is made a member does from the first message on.

use paasta_proto::v1::RaftPayload;
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tonic::Status;

use super::{
    error::RaftError,
    roster::Roster,
    terms::{Claims, Terms},
    types::StoredMembership,
};
use crate::store::{HardState, LogHandle, StoreId};

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
    /// The cluster that is named in the configuration.
    cluster_name: Option<String>,
    store: StoreId,
    known: RwLock<Known>,
    /// Held while a cluster id is written, so that two first messages cannot both win.
    learning: Mutex<()>,
    log: LogHandle,
    pub(super) roster: Roster,
    pub(super) terms: Terms,
}

impl Identity {
    /// `expected` is the cluster this node was told to join, if it was told.
    pub(super) fn new(
        hard: &HardState,
        expected: Option<String>,
        cluster_name: Option<String>,
        log: LogHandle,
        terms: Terms,
    ) -> Self {
        let written = !hard.cluster.is_empty();
        let known = Known {
            cluster: written.then(|| hard.cluster.clone()).or(expected),
            epoch: if written { hard.epoch.max(1) } else { 0 },
            written,
        };
        Self {
            node: hard.node,
            cluster_name,
            // An open store has one.
            store: hard.store_id().unwrap_or(StoreId::from_bits(0)),
            known: RwLock::new(known),
            learning: Mutex::new(()),
            log,
            roster: Roster::default(),
            terms,
        }
    }

    pub(super) fn node(&self) -> u64 {
        self.node
    }

    pub(super) fn store(&self) -> StoreId {
        self.store
    }

    /// The name of the cluster in the configuration; empty when it names none.
    pub(super) fn cluster_name(&self) -> &str {
        self.cluster_name.as_deref().unwrap_or_default()
    }

    pub(super) fn cluster(&self) -> Option<String> {
        self.known.read().cluster.clone()
    }

    /// The epoch of the cluster this node belongs to by its own file; 0 while it belongs to none.
    pub(super) fn epoch(&self) -> u64 {
        self.known.read().epoch
    }

    /// Whether this store took part in no consensus yet.
    ///
    /// # Errors
    /// [`RaftError::Stopped`] when its files are closed.
    pub(super) fn is_new(&self) -> Result<bool, RaftError> {
        let log = self.log.upgrade().ok_or(RaftError::Stopped)?;
        Ok(log.hard_state().is_pristine())
    }

    /// Follows the members' configuration.
    pub(super) fn follow(&self, members: &StoredMembership) {
        self.roster.update(members);
    }

    /// Addresses a message to a peer, by the store that it is known to have. `None` while this node
    /// belongs to no cluster.
    pub(super) fn address(
        &self,
        to_node: u64,
        to_store: Option<StoreId>,
        data: Vec<u8>,
    ) -> Option<RaftPayload> {
        let to_store = to_store.or_else(|| self.roster.store_of(to_node));
        let known = self.known.read();
        Some(RaftPayload {
            data: data.into(),
            cluster_id: known.cluster.clone()?,
            from_node: self.node,
            to_node,
            epoch: known.epoch.max(1),
            from_store: self.store.to_string(),
            to_store: to_store.map(|id| id.to_string()).unwrap_or_default(),
        })
    }

    /// Refuses a message that is not for this store of this node of this cluster, or not of the
    /// store that its sender has by the members' configuration. A node without a cluster joins the
    /// sender's, durably, before the message counts.
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
        if *from_node == self.node {
            return Err(Status::failed_precondition(format!(
                "this is coordinator {from_node}, and the message says that it comes from it: \
                 another process sends under its id"
            )));
        }
        if cluster_id.is_empty() {
            return Err(Status::invalid_argument("the message names no cluster"));
        }
        let epoch = (*epoch).max(1);
        let settled = self.is_settled(cluster_id, epoch);
        let new = !settled && self.is_new().map_err(refusal)?;
        if !settled && !new {
            // Settles it or says what is wrong; nothing is written.
            let learned = self.learn(cluster_id, Some(epoch)).await;
            learned.map_err(refusal)?;
        }
        self.check_stores(message)?;
        if new {
            let learned = self.learn(cluster_id, Some(epoch)).await;
            learned.map_err(refusal)?;
        }
        Ok(())
    }

    /// Refuses a message of another store than the sender's, or for another one than this.
    fn check_stores(&self, message: &RaftPayload) -> Result<(), Status> {
        let from_node = message.from_node;
        let own = self.store;
        match store(&message.to_store)? {
            Some(meant) if meant != own => {
                let error = RaftError::OtherStore {
                    node: self.node,
                    known: meant,
                    given: own,
                };
                self.roster.refused(self.node, &error.to_string());
                return Err(refusal(error));
            }
            None if self.is_new().map_err(refusal)? => {
                let node = self.node;
                let error = RaftError::NotNamed { node, from_node };
                self.roster.refused(node, &error.to_string());
                return Err(refusal(error));
            }
            Some(_) => self.roster.accepted(self.node),
            None => {}
        }
        self.check_sender(from_node, &message.from_store)
    }

    /// Refuses what comes from another store than the member has.
    ///
    /// # Errors
    /// The refusal, in words for the sender.
    pub(super) fn check_sender(&self, from_node: u64, from_store: &str) -> Result<(), Status> {
        let given = store(from_store)?;
        let Some(known) = self.roster.store_of(from_node) else {
            return Ok(());
        };
        let error = match given {
            Some(given) if given == known => return Ok(()),
            Some(given) => RaftError::OtherStore {
                node: from_node,
                known,
                given,
            },
            None => RaftError::NoStoreNamed { node: from_node },
        };
        self.roster.refused(from_node, &error.to_string());
        Err(refusal(error))
    }

    /// Refuses a message, or an answer, whose claims do not fit together or cannot be true.
    ///
    /// # Errors
    /// The refusal, in words for the sender.
    pub(super) fn check_claims(&self, from: u64, message: &impl Claims) -> Result<(), Status> {
        let members = self.roster.members();
        let term = message
            .term()
            .map(|term| self.terms.check(from, term, members));
        let refused = match (term, message.flaw(from)) {
            (Some(Err(status)), _) => status,
            (_, None) => return Ok(()),
            (_, Some(flaw)) => Status::failed_precondition(format!(
                "coordinator {from} sent a message that cannot be right: {flaw}. Its program or \
                 its store is damaged: stop it and look at its log"
            )),
        };
        self.roster.refused(from, refused.message());
        Err(refused)
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

/// The store that a message names; `None` if it names none.
fn store(text: &str) -> Result<Option<StoreId>, Status> {
    match text {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| Status::invalid_argument("the message names a store in no known form")),
    }
}

fn refusal(error: RaftError) -> Status {
    match error {
        RaftError::OtherCluster { .. }
        | RaftError::OtherEpoch { .. }
        | RaftError::OtherStore { .. }
        | RaftError::NotNamed { .. }
        | RaftError::NoStoreNamed { .. } => Status::failed_precondition(error.to_string()),
        other => Status::unavailable(other.to_string()),
    }
}
