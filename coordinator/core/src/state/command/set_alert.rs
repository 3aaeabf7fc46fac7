//! An alarm of an instance begins or ends. Proposed only when it changes: no look at an instance
//! that finds it as before is ever a command.

use paasta_common::id::InstanceId;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    alert::Alert,
    event::{EVENT_TEXT_BYTES_MAX, EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// An alarm of an instance begins or ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAlert {
    /// The instance.
    pub instance: InstanceId,
    /// Whether it begins.
    pub critical: bool,
    /// What was found, in words.
    pub text: String,
}

impl SetAlert {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        if state.instance(&self.instance).is_none() {
            return Outcome::Refused(Reason::UnknownInstance {
                instance: self.instance.clone(),
            });
        }
        let before = state.tables.alerts.get(&self.instance);
        if before.is_some_and(|alert| alert.critical) == self.critical {
            return Outcome::Unchanged;
        }
        let mut text = self.text.clone();
        text.truncate(text.floor_char_boundary(EVENT_TEXT_BYTES_MAX));
        let alert = Alert {
            critical: self.critical,
            since: context.at,
            text: text.clone(),
        };
        state.tables.alerts.insert(self.instance.clone(), alert);
        let subject = Subject::Instance(self.instance.clone());
        state.note(context, EventKind::Alert, subject, text);
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use paasta_common::spec::BounceMethod;

    use crate::{
        build::{Cluster, main_instance, spec},
        state::command::{Command, DropInstance, RemoveInstances},
    };

    fn set(critical: bool) -> Command {
        Command::SetAlert(SetAlert {
            instance: main_instance(),
            critical,
            text: "1 of 3".to_owned(),
        })
    }

    #[test]
    fn each_change_is_said_once_and_goes_with_the_instance() {
        let mut cluster = Cluster::new(0);
        let id = main_instance();
        assert!(!cluster.apply(set(true)).is_ok());
        cluster.set(&id, spec(&id, 1, 1, BounceMethod::Crossover));
        let events = |cluster: &Cluster| {
            let alerts = cluster.state.events();
            alerts
                .filter(|event| event.kind == EventKind::Alert)
                .count()
        };
        for (critical, outcome, said) in [
            (false, Outcome::Unchanged, 0),
            (true, Outcome::Applied, 1),
            (true, Outcome::Unchanged, 1),
            (false, Outcome::Applied, 2),
            (true, Outcome::Applied, 3),
        ] {
            assert_eq!(cluster.apply(set(critical)), outcome);
            assert_eq!(events(&cluster), said);
        }
        assert_eq!(cluster.state.alerts()[&id].since, cluster.now);
        let ids = BTreeSet::from([id.clone()]);
        cluster.must(Command::RemoveInstances(RemoveInstances {
            ids,
            force: true,
            rule: None,
        }));
        cluster.must(Command::DropInstance(DropInstance { id }));
        assert!(cluster.state.alerts().is_empty());
    }
}
