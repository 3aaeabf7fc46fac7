//! An operator asks for another number of replicas than is configured, or no longer.

use paasta_common::{id::InstanceId, text::count};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    history::Cause,
    outcome::{Outcome, Reason},
    overrides::{Override, OverrideKind, most},
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetOverride {
    /// The instance.
    pub instance: InstanceId,
    /// What; none for what is configured.
    pub kind: Option<OverrideKind>,
    /// Only if the override is the one that was asked for at this log index: so that the end of a
    /// restart ends nothing that came later.
    #[serde(default)]
    pub only: Option<u64>,
}

impl SetOverride {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(record) = state.tables.instances.get_mut(&self.instance) else {
            return Outcome::Refused(Reason::UnknownInstance {
                instance: self.instance.clone(),
            });
        };
        let known = record.overridden.as_ref();
        if self.only.is_some() && self.only != known.map(|known| known.index) {
            return Outcome::Unchanged;
        }
        if !record.declared && self.kind.is_some() {
            return Outcome::Refused(Reason::BeingRemoved {
                instance: self.instance.clone(),
            });
        }
        let most = most(&record.spec);
        if let Some(asked) = self
            .kind
            .and_then(OverrideKind::instances)
            .filter(|n| *n > most)
        {
            return Outcome::Refused(Reason::TooManyReplicas {
                asked,
                most,
                configured: record.spec.instances,
            });
        }
        // A restart asked for again is another restart.
        let same = known.map(|known| known.kind) == self.kind;
        if same && self.kind != Some(OverrideKind::Restart) {
            return Outcome::Unchanged;
        }
        let before = record.wanted();
        record.overridden = self.kind.map(|kind| Override {
            kind,
            by: context.by.clone(),
            since: context.at,
            index: context.index,
        });
        record.changed_at = context.at;
        let after = record.wanted();
        let what = match self.kind {
            Some(OverrideKind::Restart) => "restarted: all stop, then start".to_owned(),
            Some(kind) => format!(
                "overridden by {}: {before} -> {}",
                kind.as_str(),
                count(after, "instance")
            ),
            None => format!("override ended: {before} -> {}", count(after, "instance")),
        };
        let cause = Cause::of("override");
        record.history.push(context, cause, None, what.clone());
        let subject = Subject::Instance(self.instance.clone());
        state.note(context, EventKind::Desired, subject, what);
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paasta_common::spec::{BounceMethod, DesiredState};

    use crate::{
        build::{Cluster, main_instance, spec},
        state::command::Command,
    };

    fn ask(cluster: &mut Cluster, kind: Option<OverrideKind>) -> Outcome {
        let instance = main_instance();
        cluster.apply(Command::SetOverride(SetOverride {
            instance,
            kind,
            only: None,
        }))
    }

    fn wanted(cluster: &Cluster) -> u32 {
        cluster.state.instance(&main_instance()).unwrap().wanted()
    }

    #[test]
    fn an_override_counts_until_it_is_cleared() {
        let mut cluster = Cluster::new(0);
        let id = main_instance();
        assert!(
            !ask(&mut cluster, Some(OverrideKind::Stop)).is_ok(),
            "no such instance"
        );
        cluster.set(&id, spec(&id, 1, 3, BounceMethod::Crossover));
        for (kind, count) in [
            (OverrideKind::Stop, 0),
            (OverrideKind::Start, 3),
            (OverrideKind::Scale { instances: 7 }, 7),
            (OverrideKind::Pin { instances: 2 }, 2),
        ] {
            assert_eq!(ask(&mut cluster, Some(kind)), Outcome::Applied);
            assert_eq!(ask(&mut cluster, Some(kind)), Outcome::Unchanged);
            assert_eq!(wanted(&cluster), count, "{kind:?}");
        }
        assert_eq!(ask(&mut cluster, None), Outcome::Applied);
        assert_eq!(ask(&mut cluster, None), Outcome::Unchanged);
        assert_eq!(wanted(&cluster), 3);
        let refused = ask(&mut cluster, Some(OverrideKind::Scale { instances: 31 }));
        assert!(matches!(
            refused,
            Outcome::Refused(Reason::TooManyReplicas { most: 30, .. })
        ));
        let record = cluster.state.instance(&id).unwrap();
        assert_eq!(record.history.iter().len(), 6, "{:?}", record.history);
    }

    #[test]
    fn the_next_deploy_or_change_of_number_ends_it_and_other_settings_do_not() {
        let id = main_instance();
        let change = |after: paasta_common::spec::InstanceSpec| {
            let mut cluster = Cluster::new(0);
            cluster.set(&id, spec(&id, 1, 3, BounceMethod::Crossover));
            ask(&mut cluster, Some(OverrideKind::Stop));
            cluster.set(&id, after);
            cluster.state.instance(&id).unwrap().overridden.is_some()
        };
        assert!(
            change(spec(&id, 1, 3, BounceMethod::Brutal)),
            "the method alone"
        );
        assert!(
            !change(spec(&id, 2, 3, BounceMethod::Crossover)),
            "a deploy"
        );
        assert!(
            !change(spec(&id, 1, 4, BounceMethod::Crossover)),
            "a number"
        );
        let mut stopped = spec(&id, 1, 3, BounceMethod::Crossover);
        stopped.desired_state = DesiredState::Stop;
        assert!(!change(stopped), "a stop by git");
    }

    #[test]
    fn the_end_of_a_restart_ends_no_other_override() {
        let mut cluster = Cluster::new(0);
        let id = main_instance();
        cluster.set(&id, spec(&id, 1, 3, BounceMethod::Crossover));
        ask(&mut cluster, Some(OverrideKind::Restart));
        let index = cluster
            .state
            .instance(&id)
            .unwrap()
            .overridden
            .as_ref()
            .unwrap()
            .index;
        ask(&mut cluster, Some(OverrideKind::Restart));
        let end = |only| {
            let instance = main_instance();
            Command::SetOverride(SetOverride {
                instance,
                kind: None,
                only: Some(only),
            })
        };
        assert_eq!(cluster.apply(end(index)), Outcome::Unchanged);
        let index = cluster
            .state
            .instance(&id)
            .unwrap()
            .overridden
            .as_ref()
            .unwrap()
            .index;
        assert_eq!(cluster.apply(end(index)), Outcome::Applied);
        assert_eq!(wanted(&cluster), 3);
    }
}
