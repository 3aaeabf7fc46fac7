//! Another app than the configured one is desired, until a new version comes: what an operator's
//! quick way back is made of. A bounce that rolls itself back does the same
//! ([`super::BounceStep::Expired`]).

use paasta_common::id::{AppId, InstanceId};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    instance::Pin,
    outcome::{Outcome, Reason},
};

/// Another app than the configured one is desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetDesiredApp {
    /// The instance.
    pub instance: InstanceId,
    /// The app, one that the cluster still knows; none for the configured one again.
    pub app: Option<AppId>,
    /// Why, in the operator's words.
    pub reason: String,
}

impl SetDesiredApp {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(record) = state.instance(&self.instance) else {
            return Outcome::Refused(Reason::UnknownInstance {
                instance: self.instance.clone(),
            });
        };
        let app = self.app.as_ref().unwrap_or(&record.spec.app_id);
        if record.desired_app() == app {
            return Outcome::Unchanged;
        }
        if state
            .app(app)
            .is_none_or(|known| known.instance != self.instance)
        {
            return Outcome::Refused(Reason::UnknownApp { app: app.clone() });
        }
        let text = format!("{} -> {app}: {}", record.desired_app(), self.reason);
        state.pin(context, &self.instance, &app.clone(), &self.reason);
        state.note(
            context,
            EventKind::Desired,
            Subject::Instance(self.instance.clone()),
            text,
        );
        Outcome::Applied
    }
}

impl ClusterState {
    /// Makes `app`, which must be known, the desired one.
    pub(super) fn pin(
        &mut self,
        context: &Context<'_>,
        id: &InstanceId,
        app: &AppId,
        reason: &str,
    ) {
        let Some(record) = self.tables.instances.get_mut(id) else {
            return;
        };
        let before = record.desired_app().clone();
        let pin = Pin {
            app: app.clone(),
            reason: reason.to_owned(),
            since: context.at,
        };
        record.pin = (record.spec.app_id != *app).then_some(pin);
        record.bounce = None;
        record.changed_at = context.at;
        self.drop_app_if_unused(&before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paasta_common::spec::BounceMethod;

    use crate::{
        build::{Cluster, app_id, main_instance, spec},
        state::command::Command,
    };

    #[test]
    fn only_an_app_that_is_known_can_be_desired() {
        let mut cluster = Cluster::new(0);
        let id = main_instance();
        cluster.set(&id, spec(&id, 1, 1, BounceMethod::Crossover));
        let wish = |app| {
            let reason = String::new();
            Command::SetDesiredApp(SetDesiredApp {
                instance: main_instance(),
                app,
                reason,
            })
        };
        assert_eq!(cluster.apply(wish(None)), Outcome::Unchanged);
        let unknown = app_id(&id, 7);
        let refused = Outcome::Refused(Reason::UnknownApp {
            app: unknown.clone(),
        });
        assert_eq!(cluster.apply(wish(Some(unknown))), refused);
        assert_eq!(cluster.state.instance(&id).unwrap().pin, None);
    }
}
