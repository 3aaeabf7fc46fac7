//! The steps of a bounce, recorded so that every leader knows how far it is and for how long it has
//! been stuck. The decisions are the planner's; each step is a line in the event ring.

use paasta_common::{
    id::{AppId, InstanceId},
    spec::{BounceMethod, OnDeadline},
};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    bounce::{BounceCounts, BouncePhase, BounceRecord},
    event::{EventKind, Subject},
    instance::{Instance, Pin, PinKind},
    outcome::{Outcome, Reason},
};

/// A step of a bounce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounce {
    /// The instance.
    pub instance: InstanceId,
    /// The app it goes to.
    pub to: AppId,
    /// The step.
    pub step: BounceStep,
    /// How things stand.
    #[serde(default)]
    pub counts: BounceCounts,
}

/// What a bounce does next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BounceStep {
    /// It begins; one that went elsewhere ends.
    Start {
        /// The apps that leave.
        from: Vec<AppId>,
        /// The method.
        method: BounceMethod,
        /// How many replicas of the new app are happy already.
        happy: u32,
    },
    /// More new replicas are happy than ever before.
    Progress {
        /// How many.
        happy: u32,
    },
    /// A deadline passed.
    Expired {
        /// What happens now.
        then: OnDeadline,
    },
    /// It is over.
    Finish {
        /// Whether every wanted replica was happy at once: the app to roll back to from now on.
        wholly_happy: bool,
    },
}

impl Bounce {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(record) = state.tables.instances.get_mut(&self.instance) else {
            return Outcome::Refused(Reason::UnknownInstance {
                instance: self.instance.clone(),
            });
        };
        let under_way = record
            .bounce
            .as_ref()
            .is_some_and(|bounce| bounce.to == self.to);
        let starts = matches!(self.step, BounceStep::Start { .. });
        if !under_way && !starts {
            return Outcome::Refused(Reason::NoSuchBounce {
                instance: self.instance.clone(),
            });
        }
        if starts && record.desired_app() != &self.to {
            return Outcome::Refused(Reason::AppNotDesired {
                app: self.to.clone(),
            });
        }
        let done = match &self.step {
            BounceStep::Start {
                from,
                method,
                happy,
            } => Ok(self.start(record, context, from, *method, *happy)),
            BounceStep::Progress { happy } => Ok(progress(record, context, *happy)),
            BounceStep::Expired { then } => self.expire(state, context, *then),
            BounceStep::Finish { wholly_happy } => Ok(self.finish(state, *wholly_happy)),
        };
        match done {
            Err(reason) => Outcome::Refused(reason),
            Ok(words) => {
                let text = format!("bounce to {}: {words} ({})", self.to, self.counts);
                let subject = Subject::Instance(self.instance.clone());
                state.note(context, EventKind::Bounce, subject, text);
                Outcome::Applied
            }
        }
    }

    fn start(
        &self,
        record: &mut Instance,
        context: &Context<'_>,
        from: &[AppId],
        method: BounceMethod,
        happy: u32,
    ) -> String {
        let mut bounce = BounceRecord {
            from: from
                .iter()
                .filter(|app| **app != self.to)
                .cloned()
                .collect(),
            to: self.to.clone(),
            method,
            started_at: context.at,
            last_progress_at: context.at,
            placed_most: 0,
            happy_most: happy,
            start_deadline: None,
            progress_deadline: context.at,
            phase: BouncePhase::Running,
        };
        bounce.set_deadlines(&record.spec.bounce);
        record.bounce = Some(bounce);
        format!("started by {method}")
    }

    fn expire(
        &self,
        state: &mut ClusterState,
        context: &Context<'_>,
        then: OnDeadline,
    ) -> Result<String, Reason> {
        let Some(record) = state.tables.instances.get_mut(&self.instance) else {
            return Err(Reason::UnknownInstance {
                instance: self.instance.clone(),
            });
        };
        let phase = match then {
            OnDeadline::GoOn => BouncePhase::Overdue { since: context.at },
            OnDeadline::Hold => BouncePhase::Held { since: context.at },
            OnDeadline::Rollback => {
                let good = record
                    .last_good
                    .clone()
                    .filter(|app| *app != self.to)
                    .ok_or_else(|| Reason::NothingToRollBackTo {
                        instance: self.instance.clone(),
                    })?;
                let pin = Pin {
                    app: good.clone(),
                    kind: PinKind::Version,
                    reason: format!(
                        "rolled back from {}: no progress until the deadline",
                        self.to
                    ),
                    since: context.at,
                };
                state.pin(&self.instance, pin);
                let text = format!("no progress until the deadline, rolled back to {good}");
                state.remember(context, &self.instance, "rollback", &text);
                return Ok(text);
            }
        };
        if let Some(bounce) = &mut record.bounce {
            bounce.phase = phase;
        }
        Ok(match then {
            OnDeadline::Hold => "no progress until the deadline, held".to_owned(),
            _ => "no progress until the deadline, goes on".to_owned(),
        })
    }

    fn finish(&self, state: &mut ClusterState, wholly_happy: bool) -> String {
        let Some(record) = state.tables.instances.get_mut(&self.instance) else {
            return String::new();
        };
        record.bounce = None;
        if state
            .tables
            .paced
            .get(&self.instance)
            .is_some_and(|one| one.going)
        {
            state.tables.paced.remove(&self.instance);
        }
        let Some(record) = state.tables.instances.get_mut(&self.instance) else {
            return String::new();
        };
        if wholly_happy {
            let before = record.last_good.replace(self.to.clone());
            if let Some(before) = before {
                state.drop_app_if_unused(&before);
            }
        }
        "finished".to_owned()
    }
}

fn progress(record: &mut Instance, context: &Context<'_>, happy: u32) -> String {
    if let Some(bounce) = &mut record.bounce {
        bounce.happy_most = bounce.happy_most.max(happy);
        bounce.progress(&record.spec.bounce, context.at);
    }
    format!("{happy} new happy")
}

#[cfg(test)]
mod tests;
