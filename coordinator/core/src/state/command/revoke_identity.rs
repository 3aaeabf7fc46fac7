//! An operator takes the rights of an identity away.

use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::EventKind,
    outcome::{Outcome, Reason},
    revoked::{
        Holder, REVOKED_FOR_MS, REVOKED_MAX, REVOKED_REASON_BYTES_MAX, Revocation, forget_ended,
    },
};

/// An operator takes the rights of an identity away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeIdentity {
    /// Whose.
    pub holder: Holder,
    /// Whether certificates that are issued later have no rights either.
    pub whole: bool,
    /// Why, in the operator's words.
    pub reason: String,
}

impl RevokeIdentity {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let revoked = &mut state.tables.revoked;
        forget_ended(revoked, context.at);
        let known = revoked.get(&self.holder);
        if known.is_some_and(|known| known.whole && self.whole) {
            return Outcome::Unchanged;
        }
        if known.is_none() && revoked.len() >= REVOKED_MAX {
            return Outcome::Refused(Reason::TooManyRevoked {
                most: u32::try_from(REVOKED_MAX).unwrap_or(u32::MAX),
            });
        }
        let end = self.reason.floor_char_boundary(REVOKED_REASON_BYTES_MAX);
        let revocation = Revocation {
            // What is wholly revoked stays so until it is restored.
            whole: self.whole || known.is_some_and(|known| known.whole),
            before: context.at,
            by: context.by.clone(),
            reason: self.reason[..end].to_owned(),
            ends: context.at.after_ms(REVOKED_FOR_MS),
        };
        let which = match revocation.whole {
            true => "is revoked: no certificate of it has rights",
            false => "is revoked: its certificates that were issued before have no rights",
        };
        let why = revocation.why();
        revoked.insert(self.holder.clone(), revocation);
        let subject = super::restore_identity::subject(&self.holder);
        let text = format!("{} {which}{why}", self.holder);
        state.note(context, EventKind::Cluster, subject, text);
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        build::Cluster,
        state::command::{Command, RestoreIdentity},
    };

    fn revoke(name: &str, whole: bool) -> Command {
        Command::RevokeIdentity(RevokeIdentity {
            holder: Holder::new(name).unwrap(),
            whole,
            reason: "stolen".to_owned(),
        })
    }

    fn restore(name: &str, also_before: bool) -> Command {
        Command::RestoreIdentity(RestoreIdentity {
            holder: Holder::new(name).unwrap(),
            also_before,
        })
    }

    #[test]
    fn rights_go_and_come_back_for_new_certificates_only() {
        let mut cluster = Cluster::new(0);
        assert_eq!(cluster.apply(revoke("agent/h1", true)), Outcome::Applied);
        assert_eq!(cluster.apply(revoke("agent/h1", true)), Outcome::Unchanged);
        let entry = cluster.state.revoked().get("agent/h1").unwrap().clone();
        assert!(entry.voids(entry.before.after_ms(1)));
        assert!(cluster.state.revoked().get("agent/h2").is_none());
        let said = |cluster: &Cluster, words: &str| {
            cluster.state.events().any(|event| event.text == words)
        };
        assert!(said(
            &cluster,
            "agent/h1 is revoked: no certificate of it has rights: stolen"
        ));

        assert_eq!(cluster.apply(restore("agent/h1", false)), Outcome::Applied);
        assert_eq!(
            cluster.apply(restore("agent/h1", false)),
            Outcome::Unchanged
        );
        let entry = cluster.state.revoked().get("agent/h1").unwrap().clone();
        assert!(!entry.voids(entry.before), "a new certificate has rights");
        let older = paasta_common::time::Timestamp(entry.before.0 - 1);
        assert!(entry.voids(older), "a stolen one has none");

        assert_eq!(cluster.apply(restore("agent/h1", true)), Outcome::Applied);
        assert_eq!(cluster.apply(restore("agent/h1", true)), Outcome::Unchanged);
        assert!(cluster.state.revoked().is_empty());
    }

    #[test]
    fn what_is_wholly_revoked_stays_so() {
        let mut cluster = Cluster::new(0);
        cluster.apply(revoke("admin/eve", true));
        cluster.apply(revoke("admin/eve", false));
        assert!(cluster.state.revoked()["admin/eve"].whole);
    }

    #[test]
    fn entries_are_bounded_and_end() {
        let mut cluster = Cluster::new(0);
        for at in 0..REVOKED_MAX {
            assert!(
                cluster
                    .apply(revoke(&format!("reader/r{at}"), false))
                    .is_ok()
            );
        }
        let refused = cluster.apply(revoke("reader/more", false));
        assert!(matches!(
            refused,
            Outcome::Refused(Reason::TooManyRevoked { most: 1_000 })
        ));
        // One that is known may change all the same.
        assert_eq!(cluster.apply(revoke("reader/r0", true)), Outcome::Applied);
        cluster.now = cluster.now.after_ms(REVOKED_FOR_MS + 1);
        assert_eq!(
            cluster.apply(revoke("reader/more", false)),
            Outcome::Applied
        );
        assert_eq!(cluster.state.revoked().len(), 1);
    }
}
