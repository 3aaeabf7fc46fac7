//! A key that holds a name is replaced by a new one of the same holder: a renewal.

use paasta_common::{identity::Identity, joining::KeyDigest};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    auth::{NODES_MAX, Node},
    outcome::{Outcome, Reason},
};

/// A key that holds a name is replaced by a new one of the same holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewNode {
    /// The name.
    pub identity: Identity,
    /// The digest of the key that the holder has proven.
    pub proven: KeyDigest,
    /// The digest of the new one.
    pub key: KeyDigest,
}

impl RenewNode {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let held = state.tables.nodes.get(&self.identity);
        match held {
            Some(node) if node.key == self.key => return Outcome::Unchanged,
            Some(node) if node.key != self.proven => {
                return Outcome::Refused(Reason::NameTaken {
                    name: self.identity.short(),
                });
            }
            Some(_) => {}
            // A certificate of before the cluster made them itself.
            None if state.tables.nodes.len() >= NODES_MAX => {
                return Outcome::Refused(Reason::TooManyNodes { most: NODES_MAX });
            }
            None => {}
        }
        let node = Node {
            key: self.key,
            issued_at: context.at,
            token: held.and_then(|node| node.token.clone()),
        };
        state.tables.nodes.insert(self.identity.clone(), node);
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{build::Cluster, state::command::Command};

    #[test]
    fn only_the_key_that_holds_a_name_is_replaced() {
        let mut cluster = Cluster::new(0);
        let renew = |proven: u8, key: u8| {
            Command::RenewNode(RenewNode {
                identity: "paasta://demo/agent/h1".parse().unwrap(),
                proven: KeyDigest([proven; 32]),
                key: KeyDigest([key; 32]),
            })
        };
        assert_eq!(cluster.apply(renew(1, 2)), Outcome::Applied);
        assert_eq!(cluster.apply(renew(1, 2)), Outcome::Unchanged, "again");
        let refused = cluster.apply(renew(1, 3));
        assert!(
            matches!(refused, Outcome::Refused(Reason::NameTaken { .. })),
            "{refused:?}"
        );
        assert_eq!(cluster.apply(renew(2, 3)), Outcome::Applied);
    }
}
