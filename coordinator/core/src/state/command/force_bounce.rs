//! An operator has every replica of an instance replaced though nothing changed: the desired app
//! comes once more, under an id of its own, and the usual bounce leads to it.

use std::sync::Arc;

use paasta_common::{app_id::once_more, id::InstanceId};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    App, ClusterState,
    event::{EventKind, Subject},
    instance::{Instance, Pin, PinKind},
    outcome::{Outcome, Reason},
};

/// An operator has every replica of an instance replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForceBounce {
    /// The instance.
    pub instance: InstanceId,
    /// Why, in the operator's words.
    pub reason: String,
}

impl ForceBounce {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(record) = state.instance(&self.instance) else {
            return Outcome::Refused(Reason::UnknownInstance {
                instance: self.instance.clone(),
            });
        };
        if record.wanted() == 0 {
            return Outcome::Refused(Reason::NothingWanted {
                instance: self.instance.clone(),
            });
        }
        let desired = record.desired_app().clone();
        let known = state.app(&desired).map(|app| Arc::clone(&app.spec));
        // The log index is the marker: every request is another bounce, on every coordinator alike.
        let again = once_more(&desired, &context.index.to_string()).ok();
        let (Some(spec), Some(app)) = (known, again) else {
            return Outcome::Refused(Reason::UnknownApp { app: desired });
        };
        let pin = Pin {
            app: app.clone(),
            ..pin(record, &self.reason, context)
        };
        let text = format!("{desired} -> {app}, every replica anew: {}", self.reason);
        state.tables.apps.entry(app).or_insert_with(|| App {
            instance: self.instance.clone(),
            spec,
            created_index: context.index,
            created_at: context.at,
        });
        state.pin(&self.instance, pin);
        state.remember(context, &self.instance, "restart", &text);
        let subject = Subject::Instance(self.instance.clone());
        state.note(context, EventKind::Desired, subject, text);
        Outcome::Applied
    }
}

/// What was rolled back stays so.
fn pin(record: &Instance, reason: &str, context: &Context<'_>) -> Pin {
    record.other_version().cloned().unwrap_or_else(|| Pin {
        app: record.desired_app().clone(),
        kind: PinKind::OnceMore,
        reason: reason.to_owned(),
        since: context.at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use paasta_common::spec::{BounceMethod, DesiredState};

    use crate::{
        build::{Cluster, app_id, host_id, main_instance, spec},
        state::command::{Command, Place, PlaceReplica, RollBack},
    };

    fn force() -> Command {
        Command::ForceBounce(ForceBounce {
            instance: main_instance(),
            reason: "a leak".to_owned(),
        })
    }

    #[test]
    fn every_request_makes_another_app_of_the_same_version() {
        let mut cluster = Cluster::new(0);
        let id = main_instance();
        let unknown = Outcome::Refused(Reason::UnknownInstance {
            instance: id.clone(),
        });
        assert_eq!(cluster.apply(force()), unknown);
        cluster.set(&id, spec(&id, 1, 2, BounceMethod::Crossover));
        let mut seen = vec![app_id(&id, 1)];
        for _ in 0..2 {
            cluster.must(force());
            let record = cluster.state.instance(&id).unwrap();
            let app = record.desired_app().clone();
            assert_eq!((app.instance(), app.git()), (id.clone(), seen[0].git()));
            assert!(!seen.contains(&app) && record.other_version().is_none());
            assert_eq!(
                cluster.state.app(&app).unwrap().spec.image,
                record.spec.app.image
            );
            seen.push(app);
        }
        // The next version ends it.
        cluster.set(&id, spec(&id, 2, 2, BounceMethod::Crossover));
        let record = cluster.state.instance(&id).unwrap();
        assert_eq!(record.desired_app(), &app_id(&id, 2));
        assert_eq!(
            cluster.state.apps().count(),
            1,
            "the others are not kept for nothing"
        );
    }

    #[test]
    fn a_rollback_stays_one_and_a_stopped_instance_is_left_alone() {
        let mut cluster = Cluster::new(1);
        let id = main_instance();
        cluster.set(&id, spec(&id, 1, 1, BounceMethod::Crossover));
        cluster.must(Command::Place(Place {
            replicas: vec![PlaceReplica {
                id: cluster.state.next_replica(),
                instance: id.clone(),
                app: app_id(&id, 1),
                host: host_id(1),
                failures: 0,
                failed_on: None,
            }],
        }));
        cluster.set(&id, spec(&id, 2, 1, BounceMethod::Crossover));
        cluster.must(Command::RollBack(RollBack {
            instance: id.clone(),
            app: Some(app_id(&id, 1)),
            reason: "slow".to_owned(),
        }));
        cluster.must(force());
        let record = cluster.state.instance(&id).unwrap();
        let pin = record.other_version().unwrap();
        assert_eq!(
            (pin.app.git(), pin.reason.as_str()),
            (app_id(&id, 1).git(), "slow")
        );
        let mut stopped = spec(&id, 2, 1, BounceMethod::Crossover);
        stopped.desired_state = DesiredState::Stop;
        cluster.set(&id, stopped);
        let refused = Outcome::Refused(Reason::NothingWanted {
            instance: id.clone(),
        });
        assert_eq!(cluster.apply(force()), refused);
    }
}
