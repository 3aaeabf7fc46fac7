//! What an instance should be: from soa-configs and deployments.json, complete.

use std::sync::Arc;

use paasta_common::{
    id::{AppId, HostId, InstanceId},
    spec::InstanceSpec,
    text::count,
};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    App, ClusterState,
    departed::{Departed, REMEMBERED_MS},
    event::{EventKind, Subject},
    history::{Cause, History},
    instance::{Instance, Pin, PinKind},
    outcome::{Outcome, Reason},
    overrides::Override,
    paced::Paced,
};

/// What an instance should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetInstance {
    /// The instance.
    pub id: InstanceId,
    /// Its desired state.
    pub spec: Box<InstanceSpec>,
    /// Why it changes, for the history.
    #[serde(default)]
    pub cause: Cause,
    /// What kind of change it is.
    #[serde(default, skip_serializing_if = "Extent::is_own")]
    pub extent: Extent,
}

/// What a change of an instance is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// It is its own: a deploy, or a change of its configuration.
    #[default]
    Own,
    /// It is one of many whose configuration changes and whose version does not: it waits for its
    /// turn to bounce.
    Many,
    /// The same, by the settings of the cluster alone: what an operator asked for of this instance
    /// stays.
    Settings,
}

impl Extent {
    fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

impl SetInstance {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        if self.spec.app_id.instance() != self.id {
            return Outcome::Refused(Reason::AppOfOtherInstance {
                app: self.spec.app_id.clone(),
                instance: self.id.clone(),
            });
        }
        if self.spec.bounce.progress_deadline_ms == 0 {
            return Outcome::Refused(Reason::NoProgressDeadline);
        }
        let before = state.instance(&self.id).cloned();
        let same = |before: &Instance| before.declared && before.spec == *self.spec;
        if before.as_ref().is_some_and(same) {
            return Outcome::Unchanged;
        }
        let (before, kept) = match before {
            Some(before) if before.declared => (Some(before), None),
            before => recall(state, context, &self.id, before),
        };
        let returns = kept.is_some();
        let spec = self.record_app(state, context);
        let text = before.as_ref().map_or_else(
            || format!("declared: {} of {}", spec.wanted(), spec.app_id),
            |before| difference(before, &spec, returns, self.extent),
        );
        let runs_anew = before
            .as_ref()
            .is_some_and(|before| before.spec.run != spec.run);
        let git_sha = before
            .as_ref()
            .is_none_or(|before| before.spec.app.git_sha != spec.app.git_sha)
            .then(|| spec.app.git_sha.clone());
        let mut record = match before {
            Some(before) => {
                let paced = self.paced(state, context, &before);
                match paced {
                    Some(paced) => state.tables.paced.insert(self.id.clone(), paced),
                    None => state.tables.paced.remove(&self.id),
                };
                let waits = paced.is_some_and(|paced| !paced.going);
                updated((before, returns), spec, (self.extent, waits), context)
            }
            None => created(spec, context),
        };
        record
            .history
            .push(context, self.cause.clone(), git_sha, text.clone());
        let before = state.tables.instances.insert(self.id.clone(), record);
        if let Some(before) = before {
            state.drop_app_if_unused(&before.spec.app_id);
            state.drop_app_if_unused(before.desired_app());
        }
        for app in kept.into_iter().flatten() {
            state.drop_app_if_unused(&app);
        }
        if runs_anew {
            self.tell_hosts(state, context);
        }
        state.note(
            context,
            EventKind::Desired,
            Subject::Instance(self.id.clone()),
            text,
        );
        Outcome::Applied
    }

    /// Whether the instance waits for its turn to bounce, or has it. What does not bounce, as it
    /// runs this app or another version is pinned, needs none.
    fn paced(
        &self,
        state: &ClusterState,
        context: &Context<'_>,
        before: &Instance,
    ) -> Option<Paced> {
        let known = state.tables.paced.get(&self.id).copied();
        if before.spec.app_id == self.spec.app_id {
            return known;
        }
        let bounces = before.desired_app() != &self.spec.app_id && before.other_version().is_none();
        let many = self.extent != Extent::Own && before.declared;
        // A second change before the first was through is part of it.
        (bounces && many).then(|| {
            known.unwrap_or(Paced {
                since: context.at,
                going: false,
            })
        })
    }

    /// Keeps one copy of the app for all who refer to it. The id is a hash of the app, so an app
    /// that is known already is not replaced.
    fn record_app(&self, state: &mut ClusterState, context: &Context<'_>) -> InstanceSpec {
        let mut spec = (*self.spec).clone();
        let app = state
            .tables
            .apps
            .entry(spec.app_id.clone())
            .or_insert_with(|| App {
                instance: self.id.clone(),
                spec: Arc::clone(&spec.app),
                created_index: context.index,
                created_at: context.at,
            });
        spec.app = Arc::clone(&app.spec);
        spec
    }

    fn tell_hosts(&self, state: &mut ClusterState, context: &Context<'_>) {
        let hosts: Vec<HostId> = state
            .replicas_of(&self.id)
            .map(|(_, replica)| replica.host.clone())
            .collect();
        for host in hosts {
            state.touch_host(context, &host);
        }
    }
}

fn created(spec: InstanceSpec, context: &Context<'_>) -> Instance {
    Instance {
        spec,
        declared: true,
        pin: None,
        last_good: None,
        overridden: None,
        history: History::default(),
        bounce: None,
        failed: None,
        absence: None,
        created_at: context.at,
        changed_at: context.at,
    }
}

/// What is known of an instance that was removed within a day, and the apps that this needs: they
/// are there again. Nothing of the second when it was not, or by nobody who remembers.
fn recall(
    state: &mut ClusterState,
    context: &Context<'_>,
    id: &InstanceId,
    draining: Option<Instance>,
) -> (Option<Instance>, Option<Vec<AppId>>) {
    let departed = state.tables.departed.remove(id);
    let lately = |one: &Departed| context.at.since_ms(one.at) < REMEMBERED_MS;
    let Some(departed) = departed.filter(lately) else {
        return (draining, None);
    };
    let Some(remembered) = departed.record else {
        let draining_since = draining.is_some();
        return (draining, draining_since.then(Vec::new));
    };
    let apps = remembered.apps.keys().cloned().collect();
    for (app, record) in remembered.apps {
        state.tables.apps.entry(app).or_insert(record);
    }
    (Some(remembered.instance), Some(apps))
}

/// `returns`: it was removed, and comes back as it was. `waits`: it is not its turn to bounce.
fn updated(
    (before, returns): (Instance, bool),
    spec: InstanceSpec,
    (extent, waits): (Extent, bool),
    context: &Context<'_>,
) -> Instance {
    let known = before.declared || returns;
    let same_app = before.spec.app_id == spec.app_id && known;
    let by_settings = extent == Extent::Settings && before.declared;
    let outlasts = known && (by_settings || Override::outlasts(&before.spec, &spec));
    if waits && !same_app {
        return waiting(before, spec, outlasts, context);
    }
    // What was gone back to is no better for other settings.
    let same_app = same_app || (by_settings && before.other_version().is_some());
    let mut bounce = before.bounce;
    if let Some(bounce) = &mut bounce {
        bounce.set_deadlines(&spec.bounce);
    }
    Instance {
        // A new version is the answer to whatever held or pinned the old one.
        bounce: bounce.filter(|_| same_app),
        pin: before.pin.filter(|_| same_app),
        failed: before.failed.filter(|_| same_app),
        overridden: before.overridden.filter(|_| outlasts),
        spec,
        declared: true,
        absence: None,
        changed_at: context.at,
        ..before
    }
}

/// What was desired is so until it is its turn.
fn waiting(
    before: Instance,
    spec: InstanceSpec,
    outlasts: bool,
    context: &Context<'_>,
) -> Instance {
    let pin = Pin {
        app: before.desired_app().clone(),
        kind: PinKind::Paced,
        reason: "it waits for its turn to bounce".to_owned(),
        since: context.at,
    };
    Instance {
        pin: Some(pin),
        overridden: before.overridden.filter(|_| outlasts),
        spec,
        absence: None,
        changed_at: context.at,
        ..before
    }
}

fn difference(before: &Instance, after: &InstanceSpec, returns: bool, extent: Extent) -> String {
    let mut parts = Vec::new();
    if !before.declared {
        parts.push("declared again".to_owned());
    }
    if returns && before.overridden.is_some() && Override::outlasts(&before.spec, after) {
        parts.push("overridden as before".to_owned());
    }
    if before.spec.app_id != after.app_id {
        parts.push(format!("{} -> {}", before.spec.app_id, after.app_id));
    }
    if before.spec.wanted() != after.wanted() {
        parts.push(format!(
            "{} -> {}",
            before.spec.wanted(),
            count(after.wanted(), "instance")
        ));
    }
    if let Some(ended) = before.overridden.as_ref()
        && !Override::outlasts(&before.spec, after)
        && extent != Extent::Settings
    {
        parts.push(format!("override by {} ended", ended.kind.as_str()));
    }
    if before.spec.bounce != after.bounce {
        parts.push(format!("bounce by {}", after.bounce.method));
    }
    if parts.is_empty() {
        parts.push("settings changed".to_owned());
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use paasta_common::spec::BounceMethod;

    use crate::build::{Cluster, app_id, main_instance, set, spec};

    fn events(cluster: &Cluster) -> Vec<String> {
        let desired = cluster
            .state
            .events()
            .filter(|event| event.kind == EventKind::Desired);
        desired.map(|event| event.text.clone()).collect()
    }

    #[test]
    fn each_change_is_told_by_what_changed() {
        let mut cluster = Cluster::new(0);
        let id = main_instance();
        cluster.set(&id, spec(&id, 1, 2, BounceMethod::Crossover));
        cluster.set(&id, spec(&id, 1, 3, BounceMethod::Crossover));
        cluster.set(&id, spec(&id, 2, 3, BounceMethod::Brutal));
        let (one, two) = (app_id(&id, 1), app_id(&id, 2));
        assert_eq!(
            events(&cluster),
            [
                format!("declared: 2 of {one}"),
                "2 -> 3 instances".to_owned(),
                format!("{one} -> {two}, bounce by brutal"),
            ]
        );
        // Nothing ran of the first version, so nothing needs its record.
        assert_eq!(
            cluster
                .state
                .apps()
                .map(|(app, _)| app.clone())
                .collect::<Vec<_>>(),
            [two]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut cluster = Cluster::new(0);
        let id = main_instance();
        let other: InstanceId = "other.main".parse().unwrap();
        let foreign = cluster.apply(set(&id, spec(&other, 1, 1, BounceMethod::Down)));
        let app = app_id(&other, 1);
        let refused = Outcome::Refused(Reason::AppOfOtherInstance {
            app,
            instance: id.clone(),
        });
        assert_eq!(foreign, refused);
        let mut hasty = spec(&id, 1, 1, BounceMethod::Down);
        hasty.bounce.progress_deadline_ms = 0;
        let refused = Outcome::Refused(Reason::NoProgressDeadline);
        assert_eq!(cluster.apply(set(&id, hasty)), refused);
        assert_eq!(cluster.state.instances().len(), 0);
    }
}
