//! An admin removes a principal: its certificates count for nothing any more.

use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    outcome::{Outcome, Reason},
    principal::PrincipalName,
};

/// A principal that should not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovePrincipal {
    /// Its name.
    pub name: PrincipalName,
}

impl RemovePrincipal {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        if !state.tables.principals.contains_key(&self.name) {
            return Outcome::Unchanged;
        }
        if !state.has_other_admin(&self.name, context.at) {
            return Outcome::Refused(Reason::LastAdmin);
        }
        state.tables.principals.remove(&self.name);
        let text = format!("principal {} removed", self.name);
        state.note(context, EventKind::Admin, Subject::Cluster, text);
        Outcome::Applied
    }
}
