//! It is the turn of instances that were to bounce by a change that touches many, or they are
//! through with it. Which is decided by the planner.

use std::collections::BTreeSet;

use paasta_common::id::{AppId, InstanceId};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    instance::PinKind,
    outcome::Outcome,
};

/// Whose turn it is. Who is not waited for is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PaceBounces {
    /// From now on their new app is the desired one.
    pub go: BTreeSet<InstanceId>,
    /// They are through, or have nothing to bounce.
    pub done: BTreeSet<InstanceId>,
}

impl PaceBounces {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let mut changed = false;
        for id in &self.go {
            let Some(paced) = state.tables.paced.get_mut(id) else {
                continue;
            };
            changed |= !paced.going;
            paced.going = true;
            state.say_turn(context, id);
        }
        for id in &self.done {
            if state.tables.paced.remove(id).is_some() {
                changed = true;
                state.say_turn(context, id);
            }
        }
        match changed {
            true => Outcome::Applied,
            false => Outcome::Unchanged,
        }
    }
}

impl ClusterState {
    fn say_turn(&mut self, context: &Context<'_>, id: &InstanceId) {
        if let Some((from, to)) = self.unpin_paced(id) {
            let text = format!("its turn to bounce: {from} -> {to}");
            let subject = Subject::Instance(id.clone());
            self.note(context, EventKind::Bounce, subject, text);
        }
    }

    /// Ends the waiting for a turn: the app that ran on, and the one that is desired now.
    pub(super) fn unpin_paced(&mut self, id: &InstanceId) -> Option<(AppId, AppId)> {
        let record = self.tables.instances.get_mut(id)?;
        let pin = record.pin.take_if(|pin| pin.kind == PinKind::Paced)?;
        // The bounce to the app that ran on, if one was under way, is over.
        record.bounce = None;
        let to = record.spec.app_id.clone();
        self.drop_app_if_unused(&pin.app);
        Some((pin.app, to))
    }
}
