//! The configuration of a cluster that an older version made has no store ids. The leader requests
//! them from the members, and when all have answered it writes all ids in one change. As long as
//! one member runs an older version, is away or has an empty store, nothing changes. An empty store
//! refuses each message that does not name it, so that until then as well it neither votes nor
//! counts.

use std::{collections::BTreeMap, sync::Weak, time::Duration};

use openraft::{ChangeMembers, async_runtime::watch::WatchReceiver};
use tokio::time::{Instant, sleep};

use super::{
    introduce::Introduction,
    node::{Consensus, Inner},
    types::Node,
};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// How long the change of the configuration may take.
const CHANGE_WAIT: Duration = Duration::from_secs(10);

/// Goes on for as long as the node does.
pub(super) async fn enrol(inner: Weak<Inner>) {
    let mut logged = String::new();
    loop {
        sleep(EVERY).await;
        let Some(consensus) = Consensus::again(&inner) else {
            return;
        };
        let Err(why) = consensus.enrol_members().await else {
            continue;
        };
        if why != logged {
            tracing::warn!("the members' stores are not in their configuration yet: {why}");
            logged = why;
        }
    }
}

impl Consensus {
    /// Writes the members' stores into their configuration, if this node leads and they are not
    /// there.
    async fn enrol_members(&self) -> Result<(), String> {
        let nodes = self.member_nodes();
        let complete = nodes.values().all(|node| node.store.is_some());
        if complete || !self.status().is_leader() {
            return Ok(());
        }
        let mut named = BTreeMap::new();
        for (id, node) in nodes.clone() {
            let store = self.store_in_use(id, &node.address).await?;
            let store = node.store.or(Some(store));
            named.insert(id, Node { store, ..node });
        }
        // Not before: a member that is away must not keep an operator from removing it.
        let until = Instant::now() + CHANGE_WAIT;
        let Ok(_turn) = self.begin_change(until).await else {
            return Ok(());
        };
        if self.member_nodes() != nodes {
            return Ok(());
        }
        let changed = self.change(ChangeMembers::SetNodes(named), until).await;
        changed.map_err(|error| error.to_string())?;
        tracing::info!("the members' stores are in their configuration now");
        Ok(())
    }

    /// All members, with or without a vote.
    fn member_nodes(&self) -> BTreeMap<u64, Node> {
        let metrics = self.raft().metrics().borrow_watched().clone();
        let members = metrics.membership_config.membership();
        let nodes = members.nodes();
        nodes.map(|(id, node)| (*id, node.clone())).collect()
    }

    /// The store of a member that takes part in this cluster.
    async fn store_in_use(&self, id: u64, address: &str) -> Result<crate::store::StoreId, String> {
        if id == self.identity().node() {
            return Ok(self.identity().store());
        }
        let Introduction { store, cluster } = self.introduction(id, address).await?;
        let ours = (self.identity().cluster(), self.identity().epoch());
        match cluster {
            Some((theirs, epoch)) if (Some(&theirs), epoch) == (ours.0.as_ref(), ours.1) => {
                Ok(store)
            }
            Some(_) => Err(format!("coordinator {id} takes part in another cluster")),
            None => Err(format!(
                "coordinator {id} has an empty store: it lost its data directory; remove it \
                 (`paasta coordinator remove {id}`) and bring its machine back under a new id \
                 (`paasta-coordinator rejoin`)"
            )),
        }
    }
}

#[cfg(test)]
mod tests;
