//! An operator goes back to an earlier app, until a new version comes. A bounce that rolls itself
//! back does the same ([`super::BounceStep::Expired`]); the way forward again is
//! [`super::ResumeBounce`].

use paasta_common::id::{AppId, InstanceId};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    instance::{Pin, PinKind},
    outcome::{Outcome, Reason},
};

/// An operator goes back to an earlier app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollBack {
    /// The instance.
    pub instance: InstanceId,
    /// The app, one that the cluster still knows; what [`ClusterState::rollback_to`] says when
    /// none is named.
    pub app: Option<AppId>,
    /// Why, in the operator's words.
    pub reason: String,
}

impl RollBack {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let instance = self.instance.clone();
        let Some(record) = state.instance(&instance) else {
            return Outcome::Refused(Reason::UnknownInstance { instance });
        };
        let Some(app) = self.app.clone().or_else(|| state.rollback_to(&instance)) else {
            return Outcome::Refused(Reason::NothingToRollBackTo { instance });
        };
        if *record.desired_app() == app {
            return Outcome::Unchanged;
        }
        if state
            .app(&app)
            .is_none_or(|known| known.instance != instance)
        {
            return Outcome::Refused(Reason::UnknownApp { app });
        }
        let text = format!("{} -> {app}: {}", record.desired_app(), self.reason);
        let pin = Pin {
            app,
            kind: PinKind::Version,
            reason: self.reason.clone(),
            since: context.at,
        };
        state.pin(&instance, pin);
        state.remember(context, &instance, "rollback", &text);
        let subject = Subject::Instance(instance);
        state.note(context, EventKind::Desired, subject, text);
        Outcome::Applied
    }
}

impl ClusterState {
    /// What a rollback of an instance goes to: the last app that was wholly happy, or else the
    /// newest other one that still has replicas.
    pub fn rollback_to(&self, id: &InstanceId) -> Option<AppId> {
        let record = self.instance(id)?;
        let other = |app: &&AppId| *app != record.desired_app();
        let running = self.replicas_of(id).map(|(_, replica)| &replica.app);
        let newest = |app: &&AppId| self.app(app).map(|app| app.created_index);
        let good = record.last_good.as_ref().filter(other);
        good.or_else(|| running.filter(other).max_by_key(newest))
            .cloned()
    }

    /// Makes the app of `pin`, which must be known, the desired one.
    pub(super) fn pin(&mut self, id: &InstanceId, pin: Pin) {
        let Some(record) = self.tables.instances.get_mut(id) else {
            return;
        };
        self.tables.paced.remove(id);
        let before = record.desired_app().clone();
        record.bounce = None;
        record.changed_at = pin.since;
        record.pin = (record.spec.app_id != pin.app).then_some(pin);
        self.drop_app_if_unused(&before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paasta_common::spec::BounceMethod;

    use crate::{
        build::{Cluster, app_id, host_id, main_instance, spec},
        state::command::{Command, Place, PlaceReplica},
    };

    fn wish(app: Option<AppId>) -> Command {
        Command::RollBack(RollBack {
            instance: main_instance(),
            app,
            reason: "slow".to_owned(),
        })
    }

    #[test]
    fn only_an_app_that_is_known_can_be_gone_back_to() {
        let mut cluster = Cluster::new(0);
        let id = main_instance();
        let nobody = Reason::UnknownInstance {
            instance: id.clone(),
        };
        assert_eq!(cluster.apply(wish(None)), Outcome::Refused(nobody));
        cluster.set(&id, spec(&id, 1, 1, BounceMethod::Crossover));
        let nothing = Reason::NothingToRollBackTo {
            instance: id.clone(),
        };
        assert_eq!(cluster.apply(wish(None)), Outcome::Refused(nothing));
        assert_eq!(
            cluster.apply(wish(Some(app_id(&id, 1)))),
            Outcome::Unchanged
        );
        let unknown = app_id(&id, 7);
        let refused = Outcome::Refused(Reason::UnknownApp {
            app: unknown.clone(),
        });
        assert_eq!(cluster.apply(wish(Some(unknown))), refused);
        assert_eq!(cluster.state.instance(&id).unwrap().pin, None);
    }

    #[test]
    fn without_a_last_good_app_the_newest_that_runs_is_gone_back_to() {
        let mut cluster = Cluster::new(2);
        let id = main_instance();
        for version in [1, 2] {
            cluster.set(&id, spec(&id, version, 1, BounceMethod::Crossover));
            cluster.must(Command::Place(Place {
                replicas: vec![PlaceReplica {
                    id: cluster.state.next_replica(),
                    instance: id.clone(),
                    app: app_id(&id, version),
                    host: host_id(1),
                    failures: 0,
                    failed_on: None,
                }],
            }));
        }
        cluster.set(&id, spec(&id, 3, 1, BounceMethod::Crossover));
        cluster.must(wish(None));
        let record = cluster.state.instance(&id).unwrap();
        assert_eq!(record.desired_app(), &app_id(&id, 2));
        assert_eq!(record.other_version().unwrap().reason, "slow");
        let event = cluster.state.events().next_back().unwrap();
        assert_eq!(
            event.text,
            format!("{} -> {}: slow", app_id(&id, 3), app_id(&id, 2))
        );
    }
}
