//! A join token is made. When the table is full, the token that ended first makes room.

use paasta_common::{
    id::TokenId,
    identity::Identity,
    joining::{Joiner, SecretDigest},
    text::beginning,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    auth::{JoinToken, NOTE_CHARS_MAX, TOKENS_MAX, Usable},
    event::{EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// A join token is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateToken {
    /// Its name.
    pub id: TokenId,
    /// What it lets in.
    pub joiner: Joiner,
    /// The digest of its secret.
    pub digest: SecretDigest,
    /// How often it may be used.
    pub uses: u32,
    /// From when on it is refused.
    pub expires: Timestamp,
    /// The identity that a person gets.
    #[serde(default)]
    pub principal: Option<Identity>,
    /// Whether a name that another key holds may be taken over.
    #[serde(default)]
    pub replace: bool,
    /// The operator's note.
    #[serde(default)]
    pub note: String,
}

impl CreateToken {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        if state.tables.tokens.contains_key(&self.id) {
            return Outcome::Refused(Reason::TokenExists {
                id: self.id.clone(),
            });
        }
        if state.tables.tokens.len() >= TOKENS_MAX && !make_room(state, context.at) {
            return Outcome::Refused(Reason::TooManyTokens { most: TOKENS_MAX });
        }
        let token = JoinToken {
            joiner: self.joiner,
            digest: self.digest,
            uses_left: self.uses,
            expires: self.expires,
            principal: self.principal.clone(),
            replace: self.replace,
            note: beginning(&self.note, NOTE_CHARS_MAX).to_owned(),
            created_by: context.by.clone(),
            created_at: context.at,
            revoked: None,
            last_key: None,
        };
        state.tables.tokens.insert(self.id.clone(), token);
        let what = match &self.principal {
            Some(principal) => principal.short(),
            None => format!("{}s", self.joiner),
        };
        let text = format!("join token {} for {what} made", self.id);
        state.note(context, EventKind::Cluster, Subject::Cluster, text);
        Outcome::Applied
    }
}

/// Forgets the token that cannot be used any more and was made first.
fn make_room(state: &mut ClusterState, now: Timestamp) -> bool {
    let tokens = state.tables.tokens.iter();
    let ended = tokens.filter(|(_, token)| token.usable(now) != Usable::Yes);
    let first = ended.min_by_key(|(_, token)| token.created_at);
    let first = first.map(|(id, _)| id.clone());
    first.is_some_and(|id| state.tables.tokens.remove(&id).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        build::Cluster,
        state::command::{Command, RevokeToken},
    };

    fn create(at: usize) -> Command {
        Command::CreateToken(CreateToken {
            id: TokenId::from_bits(at as u64),
            joiner: Joiner::Agent,
            digest: SecretDigest([0; 32]),
            uses: 1,
            expires: Timestamp(2_000_000),
            principal: None,
            replace: false,
            note: "ü".repeat(NOTE_CHARS_MAX),
        })
    }

    #[test]
    fn the_table_is_bounded_and_what_ended_makes_room() {
        let mut cluster = Cluster::new(0);
        for at in 0..TOKENS_MAX {
            cluster.must(create(at));
        }
        let exists = cluster.apply(create(7));
        assert!(
            matches!(exists, Outcome::Refused(Reason::TokenExists { .. })),
            "{exists:?}"
        );
        let full = cluster.apply(create(TOKENS_MAX));
        let reason = Reason::TooManyTokens { most: TOKENS_MAX };
        assert_eq!(full, Outcome::Refused(reason));
        cluster.must(Command::RevokeToken(RevokeToken {
            id: TokenId::from_bits(5),
        }));
        cluster.must(create(TOKENS_MAX));
        assert_eq!(cluster.state.tokens().len(), TOKENS_MAX);
        assert!(!cluster.state.tokens().contains_key(&TokenId::from_bits(5)));
    }
}
