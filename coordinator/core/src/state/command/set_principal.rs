//! An admin makes a principal, or changes what one may see and change.

use paasta_common::{
    identity::{Identity, Role},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::{
    access::scope::Scopes,
    state::{
        ClusterState,
        event::{EventKind, Subject},
        outcome::{Outcome, Reason},
        principal::{LOCAL, NOTE_BYTES_MAX, PRINCIPALS_MAX, Principal, PrincipalName},
    },
};

/// A principal as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPrincipal {
    /// Its name.
    pub name: PrincipalName,
    /// Its role.
    pub role: Role,
    /// Its scopes.
    pub scopes: Scopes,
    /// From then on it may do nothing.
    pub expires: Option<Timestamp>,
    /// Certificates that were issued before then count for nothing.
    pub not_before: Option<Timestamp>,
    /// What it is for, at most 500 bytes.
    pub note: String,
    /// The identity of the admin who asks, where it is a certificate's: the first principal of a
    /// cluster must not lock out its maker.
    #[serde(default)]
    pub asker: Option<Identity>,
}

impl SetPrincipal {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        if let Some(reason) = self.refusal(state, context) {
            return Outcome::Refused(reason);
        }
        let first = state.tables.principals.is_empty();
        let before = state.tables.principals.get(&self.name);
        let after = Principal {
            role: self.role,
            scopes: self.scopes.clone(),
            expires: self.expires,
            not_before: self.not_before,
            note: self.note.clone(),
            created_by: before.map_or_else(|| context.by.clone(), |one| one.created_by.clone()),
            created_at: before.map_or(context.at, |one| one.created_at),
            changed_by: context.by.clone(),
            changed_at: context.at,
        };
        if before.is_some_and(|before| before.is_like(&after)) {
            return Outcome::Unchanged;
        }
        let verb = match before {
            Some(_) => "changed",
            None => "made",
        };
        let text = format!("principal {} {verb}: {}", self.name, words(&after));
        state.tables.principals.insert(self.name.clone(), after);
        state.note(context, EventKind::Admin, Subject::Cluster, text);
        if first {
            self.keep_asker(state, context);
        }
        Outcome::Applied
    }

    fn refusal(&self, state: &ClusterState, context: &Context<'_>) -> Option<Reason> {
        let name = self.name.as_str();
        if matches!(self.role, Role::Coordinator | Role::Agent) || name.starts_with(LOCAL) {
            return Some(Reason::NoPrincipal {
                name: name.to_owned(),
            });
        }
        if self.note.len() > NOTE_BYTES_MAX {
            return Some(Reason::NoteTooLong);
        }
        let known = state.tables.principals.contains_key(&self.name);
        if !known && state.tables.principals.len() >= PRINCIPALS_MAX {
            return Some(Reason::TooManyPrincipals);
        }
        // With the first principal, its maker becomes one too.
        let kept = state.tables.principals.is_empty() && self.asker.is_some();
        let admin = self.role == Role::Admin && self.expires.is_none_or(|at| at > context.at);
        (!admin && !kept && !state.has_other_admin(&self.name, context.at))
            .then_some(Reason::LastAdmin)
    }

    /// Makes the admin who asks a principal, unless it is the one that was made.
    fn keep_asker(&self, state: &mut ClusterState, context: &Context<'_>) {
        let asker = self
            .asker
            .as_ref()
            .filter(|asker| asker.role() == Role::Admin);
        let Some(name) = asker.and_then(|asker| PrincipalName::new(asker.name()).ok()) else {
            return;
        };
        if state.tables.principals.contains_key(&name) {
            return;
        }
        let text = format!("principal {name} made: admin, as it made the first principal");
        let made = Principal {
            role: Role::Admin,
            scopes: Scopes::default(),
            expires: None,
            not_before: None,
            note: "made the first principal".to_owned(),
            created_by: context.by.clone(),
            created_at: context.at,
            changed_by: context.by.clone(),
            changed_at: context.at,
        };
        state.tables.principals.insert(name, made);
        state.note(context, EventKind::Admin, Subject::Cluster, text);
    }
}

impl Principal {
    /// Whether nothing differs but the author and the time.
    fn is_like(&self, other: &Self) -> bool {
        let parts = |one: &Self| (one.role, one.expires, one.not_before);
        parts(self) == parts(other) && self.scopes == other.scopes && self.note == other.note
    }
}

impl ClusterState {
    /// Whether there is an admin but this one: the last one is never taken away.
    pub(super) fn has_other_admin(&self, name: &PrincipalName, now: Timestamp) -> bool {
        self.tables
            .principals
            .iter()
            .any(|(other, known)| other != name && known.role == Role::Admin && known.is_alive(now))
    }
}

fn words(principal: &Principal) -> String {
    let scopes = match principal.role {
        Role::Admin | Role::Metrics => String::new(),
        _ if principal.scopes.is_empty() => ", no scope".to_owned(),
        _ => format!(", scopes {}", principal.scopes),
    };
    format!("{}{scopes}", principal.role)
}
