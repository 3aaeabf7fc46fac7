//! What the coordinators that answer say when none of them can answer for the cluster: which
//! run, which do not, and what that means. Each is asked by itself, without a leader.

use std::{collections::BTreeMap, time::Duration};

use paasta_proto::v1::{
    MemberRole, MetastatusRequest, NodeResponse, NodeRole, admin_client::AdminClient,
};
use tokio::task::JoinSet;

use super::{Context, cluster::node};
use crate::{
    client::{ANSWER_BYTES_MAX, Address, CallError, request},
    render,
};

/// What one coordinator is given: it answers from memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A cluster without a leader, as it is seen from here.
#[derive(Debug, Default)]
pub struct Lost {
    /// Every coordinator that was asked, by address: what it said, or why it said nothing.
    pub answers: BTreeMap<String, Result<NodeResponse, String>>,
    /// The members with a vote, by id, and where they are; empty when no coordinator tells them.
    pub voters: BTreeMap<u64, String>,
}

/// The text for a call that no coordinator could answer; none when a leader is there.
pub async fn explain(context: &Context, error: &anyhow::Error) -> Option<String> {
    let call = error.downcast_ref::<CallError>()?;
    if !matches!(call, CallError::Unreachable { .. }) {
        return None;
    }
    let lost = find(context).await?;
    Some(render::quorum::render(&lost))
}

/// Asks every coordinator that is named, and every member that these know.
pub async fn find(context: &Context) -> Option<Lost> {
    let mut lost = Lost::default();
    ask(&mut lost, context.addresses().ok()?, context).await;
    let speaks = lost.answers.iter().find(|(_, answer)| {
        answer
            .as_ref()
            .is_ok_and(|node| node.role() != NodeRole::Uninitialized)
    });
    let first = speaks?.0.parse().ok()?;
    lost.voters = voters(first, context).await;
    let known: Vec<u64> = lost.nodes().map(|node| node.id).collect();
    let unasked = lost
        .voters
        .iter()
        .filter(|(id, address)| !known.contains(id) && !lost.answers.contains_key(*address));
    let unasked: Vec<Address> = unasked
        .filter_map(|(_, address)| address.parse().ok())
        .collect();
    ask(&mut lost, unasked, context).await;
    (!lost.has_leader()).then_some(lost)
}

/// Asks these; an address that this operator's files of TLS cannot reach gets no answer.
async fn ask(lost: &mut Lost, addresses: Vec<Address>, context: &Context) {
    let mut asked = JoinSet::new();
    for address in addresses {
        let name = address.to_string();
        if let Ok(one) = context.reaching(vec![address], ANSWER_WITHIN) {
            asked.spawn(async move { (name, node::ask(one).await) });
        }
    }
    while let Some(answer) = asked.join_next().await {
        lost.answers.extend(answer.ok());
    }
}

/// The members with a vote, as one coordinator knows them.
async fn voters(address: Address, context: &Context) -> BTreeMap<u64, String> {
    let Ok(one) = context.reaching(vec![address], ANSWER_WITHIN) else {
        return BTreeMap::new();
    };
    let mut one = one.once();
    let answer = one.call(|channel| async move {
        let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = MetastatusRequest { stale: true };
        admin.metastatus(request(ask, ANSWER_WITHIN)).await
    });
    let known = answer.await.map(|answer| answer.coordinators);
    let voters = known.unwrap_or_default().into_iter();
    voters
        .filter(|one| one.role() == MemberRole::Voter)
        .map(|one| (one.id, one.address))
        .collect()
}

impl Lost {
    /// The coordinators that answered.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeResponse> {
        self.answers.values().filter_map(|node| node.as_ref().ok())
    }

    /// How many members answered, and how many there are; of those that were asked, where the
    /// members are not known.
    pub fn count(&self) -> (usize, usize) {
        if self.voters.is_empty() {
            return (self.nodes().count(), self.answers.len());
        }
        let ids = self.voters.keys();
        let answered = ids.filter(|id| self.nodes().any(|node| node.id == **id));
        (answered.count(), self.voters.len())
    }

    /// Whether more than half of the members answer and one of them leads.
    fn has_leader(&self) -> bool {
        let (answered, all) = self.count();
        answered > all / 2 && self.nodes().any(|node| node.role() == NodeRole::Leader)
    }
}
