//! The introduction of a coordinator, requested before it becomes a member: a wrong address, id or
//! store would otherwise show only as a member that never takes part.

use std::{collections::BTreeMap, error::Error as _, time::Duration};

use futures_util::future::join_all;
use paasta_common::text::beginning;
use paasta_identity::{
    connect::ConnectError,
    plain::{PlainError, SpeaksTls},
};
use paasta_process::chain::chain;
use paasta_proto::v1::{IntroduceRequest, raft_service_client::RaftServiceClient};
use tokio::time::timeout;
use tonic::Code;

use super::{
    error::{MemberError, RaftError},
    node::Consensus,
    status::Peer,
    types::Node,
};
use crate::store::StoreId;

/// How long a coordinator may take to say who it is.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// The most characters of a coordinator's words that are repeated.
const WORDS_MAX: usize = 600;

/// Why a coordinator gave no introduction, where that is more than silence: TLS has failed on one of
/// both sides, or it refused.
fn refused(address: &str, status: &tonic::Status) -> Option<String> {
    let mut causes = std::iter::successors(status.source(), |error| (*error).source());
    if let Some(error) = causes.find(|error| speaks_for_itself(*error)) {
        return Some(format!("{address}: {}", chain(error)));
    }
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => {
            let words = beginning(status.message(), WORDS_MAX);
            Some(format!("the coordinator at {address} refuses: {words}"))
        }
        _ => None,
    }
}

/// Whether an error says in words of its own why nothing could be asked.
fn speaks_for_itself(error: &(dyn std::error::Error + 'static)) -> bool {
    let silent = |error: &ConnectError| matches!(error, ConnectError::Tcp { .. });
    let plain = |error: &PlainError| matches!(error, PlainError::Tcp { .. });
    error
        .downcast_ref::<ConnectError>()
        .is_some_and(|error| !silent(error))
        || error
            .downcast_ref::<PlainError>()
            .is_some_and(|error| !plain(error))
        || error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.get_ref().is_some_and(|inner| inner.is::<SpeaksTls>()))
}

/// The store of a coordinator, and the cluster that it takes part in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Introduction {
    pub(super) store: StoreId,
    /// The id and the epoch of the cluster; `None` for an empty store.
    pub(super) cluster: Option<(String, u64)>,
}

impl Consensus {
    /// Requests the introduction of the coordinator at `address`, which must have this id.
    ///
    /// # Errors
    /// Why it cannot become a member, as a sentence's end for an operator.
    pub(super) async fn introduction(
        &self,
        id: u64,
        address: &str,
    ) -> Result<Introduction, String> {
        let (dial, keepalive) = self.dial();
        let channel = dial
            .dial(id, address, keepalive)
            .map_err(|error| error.to_string())?;
        let mut client = RaftServiceClient::new(channel);
        let silent = || {
            format!(
                "no coordinator answers at {address}: start {id} there first \
                 (`paasta-coordinator run --node-id {id}`), and check the address"
            )
        };
        let asked = timeout(ANSWER_WAIT, client.introduce(IntroduceRequest {})).await;
        let answer = match asked {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) if status.code() == Code::Unimplemented => {
                return Err(format!(
                    "what answers at {address} is no coordinator, or one of an older version: \
                     upgrade it first"
                ));
            }
            Ok(Err(status)) => return Err(refused(address, &status).unwrap_or_else(silent)),
            Err(_) => return Err(silent()),
        };
        if answer.node != id {
            return Err(format!(
                "the coordinator at {address} says that its id is {}, not {id}",
                answer.node
            ));
        }
        let ours = self.identity().cluster_name();
        if ![ours, ""].contains(&answer.cluster.as_str()) && !ours.is_empty() {
            return Err(format!(
                "the configuration of the coordinator at {address} names cluster {:?}, and this \
                 one's names {ours}: correct `cluster` in one of them",
                answer.cluster
            ));
        }
        let store = answer.store.parse().map_err(|error| {
            format!("the coordinator at {address} names its store in no known form: {error}")
        })?;
        let cluster = (!answer.empty).then_some((answer.cluster_id, answer.epoch.max(1)));
        Ok(Introduction { store, cluster })
    }

    /// Requests the introductions of all members of a new cluster, and returns them as members.
    ///
    /// # Errors
    /// [`RaftError::Members`] says everything that is wrong with any of them;
    /// [`RaftError::Elsewhere`] if the only fault is that one is in a cluster already.
    pub(super) async fn ask_members(
        &self,
        members: &BTreeMap<u64, String>,
    ) -> Result<BTreeMap<u64, Node>, RaftError> {
        let own = self.identity().node();
        // A single member is reached by no other.
        let asked = members
            .iter()
            .filter(|(id, _)| members.len() > 1 || **id != own);
        let asked = asked.map(|(id, address)| async move {
            (*id, address, self.introduction(*id, address).await)
        });
        let mut nodes = BTreeMap::new();
        let (mut wrong, mut elsewhere) = (Vec::new(), None);
        for (id, address, answer) in join_all(asked).await {
            match answer {
                Err(why) => wrong.push(format!("{id}={address}: {why}")),
                Ok(Introduction {
                    cluster: Some((cluster, _)),
                    ..
                }) if id != own => {
                    let address = address.clone();
                    elsewhere = Some((Peer { id, address }, cluster));
                }
                Ok(Introduction { store, .. }) if id == own && store != self.identity().store() => {
                    wrong.push(format!(
                        "{id}={address}: another coordinator {id} answers there"
                    ));
                }
                Ok(Introduction { store, .. }) => {
                    let (address, store) = (address.clone(), Some(store));
                    nodes.insert(id, Node { address, store });
                }
            }
        }
        if !wrong.is_empty() {
            return Err(RaftError::Members(wrong.join("; ")));
        }
        if let Some((member, cluster)) = elsewhere {
            return Err(RaftError::Elsewhere { member, cluster });
        }
        if let (1, Some(address)) = (members.len(), members.get(&own)) {
            let (address, store) = (address.clone(), Some(self.identity().store()));
            nodes.insert(own, Node { address, store });
        }
        Ok(nodes)
    }

    /// Requests the introduction of a coordinator that is to become, or is, member `id`, and returns
    /// it as one.
    ///
    /// # Errors
    /// [`MemberError::Refused`] if it does not answer, belongs elsewhere, or has another store than
    /// the member.
    pub(super) async fn ask_newcomer(&self, id: u64, address: &str) -> Result<Node, MemberError> {
        let refuse = |why| Err(MemberError::Refused(why));
        let answer = self.introduction(id, address).await;
        let Introduction { store, cluster } = answer.map_err(MemberError::Refused)?;
        let known = self.identity().roster.store_of(id);
        if let Some(known) = known.filter(|known| *known != store) {
            let (node, given) = (id, store);
            return refuse(RaftError::OtherStore { node, known, given }.to_string());
        }
        let (ours, epoch) = (self.identity().cluster(), self.identity().epoch());
        match cluster {
            Some((theirs, _)) if Some(&theirs) != ours.as_ref() => refuse(format!(
                "coordinator {id} belongs to cluster {theirs}; start it with an empty data directory"
            )),
            Some((_, other)) if other != epoch => refuse(format!(
                "coordinator {id} is of epoch {other} of this cluster, which is in epoch {epoch} \
                 now: bring it back with an empty store and a new id (`paasta-coordinator rejoin`)"
            )),
            // Of a store that an older version made the id is not known yet.
            None if self.status().matched.get(&id).is_some_and(Option::is_some) => refuse(format!(
                "coordinator {id} is a member that has lost its store: remove it, and add it \
                 again under a new id (`paasta-coordinator rejoin`)"
            )),
            _ => Ok(Node {
                address: address.to_owned(),
                store: Some(store),
            }),
        }
    }
}
