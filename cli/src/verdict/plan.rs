//! What a yelpsoa-configs directory would change in a cluster, instance by instance: what is
//! declared against what the cluster wants now.

use std::collections::BTreeSet;

use paasta_common::{
    app::AppSpec,
    problem::Problem,
    spec::{InstanceSpec, RunSettings},
};
use serde::Serialize;
use serde_json::Value;

use crate::exit::Exit;

/// The longest value that is shown, in characters.
const SHOWN_MAX: usize = 40;

/// What an instance would do. The order is that of importance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// It would be refused: its last good configuration stays.
    Refused,
    /// It would be removed.
    Remove,
    /// Its containers would be replaced.
    Bounce,
    /// Its number would change.
    Scale,
    /// It is new, and starts when its deploy group is marked.
    New,
    /// Settings change under running containers.
    Settings,
}

/// One instance that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `SERVICE.INSTANCE`.
    pub instance: String,
    /// What it would do.
    pub act: Act,
    /// How many replicas are wanted now.
    pub replicas_before: u32,
    /// How many would be.
    pub replicas_after: u32,
    /// Why: the fields that change, or what is wrong.
    pub why: Vec<String>,
}

/// The whole plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The cluster.
    pub cluster: String,
    /// How many instances were compared.
    pub compared: usize,
    /// Those that would change, what is refused first.
    pub changes: Vec<Change>,
}

/// What the cluster wants of an instance now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// What its containers are made of.
    pub app: AppSpec,
    /// What may change under them.
    pub run: RunSettings,
    /// How many.
    pub instances: u32,
    /// Whether an operator or git has another number than the files say: then the number is theirs.
    pub held: bool,
}

impl Plan {
    /// A plan of these changes.
    pub fn new(cluster: String, compared: usize, mut changes: Vec<Change>) -> Self {
        changes.sort_by(|one, other| (one.act, &one.instance).cmp(&(other.act, &other.instance)));
        Self {
            cluster,
            compared,
            changes,
        }
    }

    /// 0 when nothing would change, 1 when something would, 2 when something is refused.
    pub fn exit(&self) -> Exit {
        match self.changes.iter().map(|change| change.act).min() {
            None => Exit::Ok,
            Some(Act::Refused) => Exit::Unwell,
            Some(_) => Exit::Failed,
        }
    }
}

/// What is wrong with a declared instance.
pub fn refused(instance: String, before: u32, problems: &[Problem]) -> Change {
    Change {
        instance,
        act: Act::Refused,
        replicas_before: before,
        replicas_after: before,
        why: problems.iter().map(ToString::to_string).collect(),
    }
}

/// What would become of an instance that is declared like this; `None` when nothing does.
pub fn compare(instance: String, before: &Current, after: &InstanceSpec) -> Option<Change> {
    let app = differences(&before.app, after.app.as_ref());
    let run = differences(&before.run, after.run.as_ref());
    let wanted = match before.held {
        true => before.instances,
        false => after.instances,
    };
    let number =
        (wanted != before.instances).then(|| format!("instances {} -> {wanted}", before.instances));
    let act = match (app.is_empty(), number.is_some(), run.is_empty()) {
        (false, _, _) => Act::Bounce,
        (true, true, _) => Act::Scale,
        (true, false, false) => Act::Settings,
        (true, false, true) => return None,
    };
    Some(Change {
        instance,
        act,
        replicas_before: before.instances,
        replicas_after: wanted,
        why: app.into_iter().chain(number).chain(run).collect(),
    })
}

/// The fields in which two values differ, sorted: `mem_mb 64 -> 128`. Texts below a map (such as
/// the environment) are named, and not shown.
fn differences<T: Serialize>(before: &T, after: &T) -> Vec<String> {
    let json = |value: &T| serde_json::to_value(value).unwrap_or_default();
    let mut found = Vec::new();
    collect("", &json(before), &json(after), &mut found);
    found
}

fn collect(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    if before == after {
        return;
    }
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let below = match path {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            };
            let (old, new) = (old.get(key), new.get(key));
            let none = Value::Null;
            collect(&below, old.unwrap_or(&none), new.unwrap_or(&none), found);
        }
        return;
    }
    let hidden = path.starts_with("env.") || path.starts_with("args");
    found.push(match hidden {
        true => format!("{path} changes"),
        false => format!("{path} {} -> {}", short(before), short(after)),
    });
}

fn short(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => paasta_common::text::shortened(text, SHOWN_MAX),
        value => paasta_common::text::shortened(&value.to_string(), SHOWN_MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use paasta_common::{
        id::AppId,
        spec::{BounceSpec, DesiredState, Monitoring},
    };

    use super::*;

    fn spec(app: AppSpec, instances: u32) -> InstanceSpec {
        InstanceSpec {
            app_id: AppId::new("web.main.git3f2a9c0d.config94232c5b").expect("an id"),
            app: Arc::new(app),
            run: Arc::new(RunSettings::default()),
            instances,
            desired_state: DesiredState::Start,
            force_bounce: None,
            bounce: BounceSpec::default(),
            replication_threshold: 50,
            team: None,
            namespaces: BTreeMap::new(),
            monitoring: Monitoring::default(),
            autoscaling: None,
        }
    }

    fn current(instances: u32) -> Current {
        Current {
            app: AppSpec::default(),
            run: RunSettings::default(),
            instances,
            held: false,
        }
    }

    #[test]
    fn what_makes_another_container_bounces_and_a_number_scales() {
        let id = || "web.main".to_owned();
        let same = compare(id(), &current(3), &spec(AppSpec::default(), 3));
        assert_eq!(same, None);
        let more = compare(id(), &current(3), &spec(AppSpec::default(), 5)).expect("more");
        assert_eq!((more.act, &*more.why[0]), (Act::Scale, "instances 3 -> 5"));
        let app = AppSpec {
            cmd: Some("run".to_owned()),
            env: [("A".to_owned(), "secret".to_owned())].into(),
            ..AppSpec::default()
        };
        let other = compare(id(), &current(3), &spec(app, 3)).expect("another");
        assert_eq!(other.act, Act::Bounce);
        assert_eq!(other.why, ["cmd none -> run", "env.A changes"]);
        let held = Current {
            held: true,
            ..current(3)
        };
        assert_eq!(compare(id(), &held, &spec(AppSpec::default(), 5)), None);
    }

    #[test]
    fn a_refusal_comes_first_and_decides_the_exit_code() {
        let change = |act, name: &str| Change {
            instance: name.to_owned(),
            act,
            replicas_before: 1,
            replicas_after: 1,
            why: Vec::new(),
        };
        let plan = |changes| Plan::new("prod".to_owned(), 3, changes);
        assert_eq!(plan(Vec::new()).exit(), Exit::Ok);
        let scales = vec![change(Act::Scale, "b.main"), change(Act::Bounce, "c.main")];
        assert_eq!(plan(scales.clone()).exit(), Exit::Failed);
        assert_eq!(plan(scales).changes[0].instance, "c.main");
        let refused = vec![
            change(Act::Bounce, "a.main"),
            change(Act::Refused, "z.main"),
        ];
        assert_eq!(plan(refused.clone()).exit(), Exit::Unwell);
        assert_eq!(plan(refused).changes[0].instance, "z.main");
    }
}
