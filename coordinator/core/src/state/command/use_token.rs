//! A key gets a name by a join token. The use of a token and the name are one step: two joins
//! cannot share a use, and the same join made again takes no second one.

use paasta_common::{
    id::TokenId,
    identity::Identity,
    joining::{Joiner, KeyDigest, SecretDigest},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    auth::{JoinToken, NODES_MAX, Node, Usable},
    event::{EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// A key gets a name by a join token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseToken {
    /// The token.
    pub id: TokenId,
    /// The digest of the secret that was shown.
    pub digest: SecretDigest,
    /// What joins.
    pub joiner: Joiner,
    /// The name.
    pub identity: Identity,
    /// The digest of the public key that is to hold it.
    pub key: KeyDigest,
}

/// What a use of a token does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// The key gets the name.
    Gives {
        /// Another key holds it until then.
        replaces: bool,
    },
    /// The key got the name before, by the same token.
    Again,
}

impl UseToken {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        match self.judge(state, context.at) {
            Err(reason) => Outcome::Refused(reason),
            Ok(Use::Again) => Outcome::Unchanged,
            Ok(Use::Gives { replaces }) => {
                self.give(state, context, replaces);
                Outcome::Applied
            }
        }
    }

    /// What the use would do at `now`: a refusal takes no command.
    ///
    /// # Errors
    /// The [`Reason`] of the refusal.
    pub fn judge(&self, state: &ClusterState, now: Timestamp) -> Result<Use, Reason> {
        let token = self.token(state)?;
        let held = state.tables.nodes.get(&self.identity);
        let again = match self.joiner {
            Joiner::Person => token.last_key == Some(self.key),
            Joiner::Coordinator | Joiner::Agent => held
                .is_some_and(|node| node.key == self.key && node.token.as_ref() == Some(&self.id)),
        };
        if again && token.revoked.is_none() && now < token.expires {
            return Ok(Use::Again);
        }
        let id = self.id.clone();
        match token.usable(now) {
            Usable::Yes => {}
            Usable::Revoked => return Err(Reason::TokenRevoked { id }),
            Usable::UsedUp => return Err(Reason::TokenUsedUp { id }),
            Usable::Expired => {
                let minutes_ago = now.since_ms(token.expires) / 60_000;
                return Err(Reason::TokenExpired { id, minutes_ago });
            }
        }
        if !self.is_held() {
            return Ok(Use::Gives { replaces: false });
        }
        let replaces = held.is_some_and(|node| node.key != self.key);
        if replaces && !token.replace {
            return Err(Reason::NameTaken {
                name: self.identity.short(),
            });
        }
        if held.is_none() && state.tables.nodes.len() >= NODES_MAX {
            return Err(Reason::TooManyNodes { most: NODES_MAX });
        }
        Ok(Use::Gives { replaces })
    }

    /// Whether the name is held by one key. A person has as many keys as the token has uses: one
    /// for each machine.
    fn is_held(&self) -> bool {
        self.joiner != Joiner::Person
    }

    /// The token, if the secret and the kind are right. A wrong secret is as good as no token.
    fn token<'a>(&self, state: &'a ClusterState) -> Result<&'a JoinToken, Reason> {
        let token = state.tables.tokens.get(&self.id);
        let token = token.filter(|token| token.digest == self.digest);
        let token = token.ok_or_else(|| Reason::UnknownToken {
            id: self.id.clone(),
        })?;
        let fits = match self.joiner.role() {
            Some(role) => self.identity.role() == role,
            None => token.principal.as_ref() == Some(&self.identity),
        };
        let of_cluster = state
            .cluster()
            .is_some_and(|cluster| cluster.name == *self.identity.cluster());
        match token.joiner == self.joiner && fits && of_cluster {
            true => Ok(token),
            false => Err(Reason::TokenOfOther {
                id: self.id.clone(),
                takes: token.joiner,
                joiner: self.joiner,
            }),
        }
    }

    fn give(&self, state: &mut ClusterState, context: &Context<'_>, replaces: bool) {
        if let Some(token) = state.tables.tokens.get_mut(&self.id) {
            token.uses_left = token.uses_left.saturating_sub(1);
            token.last_key = Some(self.key);
        }
        if self.is_held() {
            let node = Node {
                key: self.key,
                issued_at: context.at,
                token: Some(self.id.clone()),
            };
            state.tables.nodes.insert(self.identity.clone(), node);
        }
        let how = match replaces {
            true => "joined in the place of another key",
            false => "joined",
        };
        let (name, id) = (self.identity.short(), &self.id);
        let text = format!("{name} {how}, by join token {id}; its key is {}", self.key);
        state.note(context, EventKind::Cluster, Subject::Cluster, text);
    }
}

#[cfg(test)]
#[path = "use_token/tests.rs"]
mod tests;
