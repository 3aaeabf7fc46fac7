//! The authorities of the cluster: their certificates, never their keys.

use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    auth::{AUTHORITIES_MAX, AUTHORITY_BYTES_MAX, Authorities},
    event::{EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// The authorities of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAuthorities {
    /// Their certificates in PEM; the first one's key signs.
    pub certificates: Vec<String>,
}

impl SetAuthorities {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let count = self.certificates.len();
        let small = |pem: &String| pem.len() <= AUTHORITY_BYTES_MAX;
        if !(1..=AUTHORITIES_MAX).contains(&count) || !self.certificates.iter().all(small) {
            return Outcome::Refused(Reason::WrongAuthorities {
                most: AUTHORITIES_MAX,
                bytes: AUTHORITY_BYTES_MAX,
            });
        }
        let before = state.tables.authority.as_ref();
        if before.is_some_and(|before| before.certificates == self.certificates) {
            return Outcome::Unchanged;
        }
        state.tables.authority = Some(Authorities {
            certificates: self.certificates.clone(),
            since: context.at,
        });
        let text = match count {
            1 => "the cluster has one authority for certificates".to_owned(),
            _ => format!("the cluster trusts {count} authorities for certificates"),
        };
        state.note(context, EventKind::Cluster, Subject::Cluster, text);
        Outcome::Applied
    }
}
