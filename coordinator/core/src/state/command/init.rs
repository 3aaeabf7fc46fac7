//! Makes the cluster: its id and name, once.

use paasta_common::id::ClusterName;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterIdentity, ClusterState,
    event::{EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// Makes the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Init {
    /// Its id, a UUID.
    pub cluster_id: String,
    /// Its name.
    pub name: ClusterName,
}

impl Init {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        if let Some(cluster) = state.cluster() {
            if cluster.id == self.cluster_id && cluster.name == self.name {
                return Outcome::Unchanged;
            }
            return Outcome::Refused(Reason::OtherCluster {
                id: cluster.id.clone(),
                name: cluster.name.to_string(),
            });
        }
        state.tables.cluster = Some(ClusterIdentity {
            id: self.cluster_id.clone(),
            name: self.name.clone(),
            epoch: 1,
        });
        let text = format!("cluster {} made", self.name);
        state.note(context, EventKind::Cluster, Subject::Cluster, text);
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{build::Cluster, state::command::Command};

    #[test]
    fn a_cluster_is_made_once() {
        let mut cluster = Cluster::new(0);
        let made = cluster.state.cluster().unwrap().clone();
        let same = Init {
            cluster_id: made.id.clone(),
            name: made.name.clone(),
        };
        assert_eq!(
            cluster.apply(Command::Init(same.clone())),
            Outcome::Unchanged
        );
        let other = Init {
            cluster_id: "another".to_owned(),
            ..same
        };
        let outcome = cluster.apply(Command::Init(other));
        assert!(
            matches!(outcome, Outcome::Refused(Reason::OtherCluster { .. })),
            "{outcome:?}"
        );
        assert_eq!(cluster.state.cluster(), Some(&made));
    }
}
