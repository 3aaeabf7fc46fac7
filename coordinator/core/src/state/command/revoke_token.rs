//! A join token is revoked. What joined by it stays.

use paasta_common::id::TokenId;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// A join token is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeToken {
    /// The token.
    pub id: TokenId,
}

impl RevokeToken {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(token) = state.tables.tokens.get_mut(&self.id) else {
            return Outcome::Refused(Reason::UnknownToken {
                id: self.id.clone(),
            });
        };
        if token.revoked.is_some() {
            return Outcome::Unchanged;
        }
        token.revoked = Some(context.at);
        let text = format!("join token {} revoked", self.id);
        state.note(context, EventKind::Cluster, Subject::Cluster, text);
        Outcome::Applied
    }
}
