//! An operator lets a bounce go on that is held or overdue; or, after a rollback, lets the
//! instance go to the configured version again.

use paasta_common::id::InstanceId;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    bounce::BouncePhase,
    event::{EventKind, Subject},
    instance::Pin,
    outcome::{Outcome, Reason},
};

/// An operator lets a bounce go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeBounce {
    /// The instance.
    pub instance: InstanceId,
    /// Why, in the operator's words.
    pub reason: String,
}

impl ResumeBounce {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let instance = self.instance.clone();
        let Some(record) = state.tables.instances.get_mut(&instance) else {
            return Outcome::Refused(Reason::UnknownInstance { instance });
        };
        let stuck = record
            .bounce
            .as_mut()
            .filter(|bounce| bounce.phase != BouncePhase::Running);
        let (kind, text) = if let Some(bounce) = stuck {
            bounce.phase = BouncePhase::Running;
            bounce.progress(&record.spec.bounce, context.at);
            let text = format!("bounce to {}: goes on: {}", bounce.to, self.reason);
            (EventKind::Bounce, text)
        } else if let Some(pin) = record.other_version() {
            let configured = record.spec.app_id.clone();
            let text = format!("{} -> {configured}: {}", pin.app, self.reason);
            let pin = Pin {
                app: configured,
                since: context.at,
                ..pin.clone()
            };
            state.pin(&instance, pin);
            (EventKind::Desired, text)
        } else {
            return Outcome::Unchanged;
        };
        state.note(context, kind, Subject::Instance(instance), text);
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paasta_common::spec::{BounceMethod, OnDeadline};

    use crate::{
        build::{Cluster, app_id, main_instance, spec},
        state::command::{Bounce, BounceStep, Command},
    };

    fn resume() -> Command {
        Command::ResumeBounce(ResumeBounce {
            instance: main_instance(),
            reason: "mended".to_owned(),
        })
    }

    fn step(cluster: &mut Cluster, version: u32, step: BounceStep) {
        let instance = main_instance();
        let to = app_id(&instance, version);
        cluster.must(Command::Bounce(Bounce {
            instance,
            to,
            step,
            counts: Default::default(),
        }));
    }

    #[test]
    fn what_is_stuck_goes_on_with_a_new_deadline_and_what_is_not_is_left_alone() {
        let mut cluster = Cluster::new(0);
        let id = main_instance();
        let unknown = Reason::UnknownInstance {
            instance: id.clone(),
        };
        assert_eq!(cluster.apply(resume()), Outcome::Refused(unknown));
        cluster.set(&id, spec(&id, 1, 1, BounceMethod::Crossover));
        assert_eq!(cluster.apply(resume()), Outcome::Unchanged);
        let start = BounceStep::Start {
            from: Vec::new(),
            method: BounceMethod::Crossover,
            happy: 0,
        };
        step(&mut cluster, 1, start);
        assert_eq!(cluster.apply(resume()), Outcome::Unchanged);
        for then in [OnDeadline::Hold, OnDeadline::GoOn] {
            cluster.now = cluster.now.after_ms(1_000_000);
            step(&mut cluster, 1, BounceStep::Expired { then });
            cluster.must(resume());
            let record = cluster.state.instance(&id).unwrap();
            let bounce = record.bounce.as_ref().unwrap();
            let patience = record.spec.bounce.progress_deadline_ms;
            assert_eq!(bounce.deadline(), Some(cluster.now.after_ms(patience)));
            let event = cluster.state.events().next_back().unwrap();
            assert!(event.text.ends_with("goes on: mended"), "{event:?}");
        }
    }
}
