//! Which fields differ between two desired states of an instance, by the names that authors know:
//! for the history, never for a decision. Values are not told, as the environment may hold secrets.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::spec::InstanceSpec;

/// Told in other words: the version, and what git's starts and stops change.
const NOT_CONFIGURED: [&str; 6] = [
    "app_id",
    "force_bounce",
    "desired_state",
    "image",
    "git_sha",
    "env.PAASTA_DOCKER_IMAGE",
];

/// What authors call a field of the spec.
const NAMES: [(&str, &str); 16] = [
    ("resources.cpus_milli", "cpus"),
    ("resources.mem_mb", "mem"),
    ("resources.disk_mb", "disk"),
    ("resources.gpus", "gpus"),
    ("cpu_burst_milli", "cpu_burst_add"),
    ("volumes", "extra_volumes"),
    ("ulimits", "ulimit"),
    ("backoff_max_ms", "max_launch_delay_seconds"),
    ("bounce.method", "bounce_method"),
    ("bounce.margin", "bounce_margin_factor"),
    ("bounce.progress_deadline_ms", "bounce_progress_deadline"),
    ("bounce.start_deadline_ms", "bounce_start_deadline"),
    ("bounce.on_deadline", "bounce_on_deadline"),
    ("run.drain", "drain_method"),
    ("autoscaling.min", "min_instances"),
    ("autoscaling.max", "max_instances"),
];

/// The fields that differ, sorted; empty when nothing that is configured does.
pub fn changed_fields(before: &InstanceSpec, after: &InstanceSpec) -> Vec<String> {
    let mut found = BTreeSet::new();
    walk("", &value(before), &value(after), &mut found);
    let named = found
        .into_iter()
        .filter(|name| !NOT_CONFIGURED.contains(&name.as_str()));
    let called = named.map(|name| {
        let known = NAMES.iter().find(|(field, _)| *field == name);
        known.map_or(name, |(_, called)| (*called).to_owned())
    });
    let called: BTreeSet<String> = called.collect();
    called.into_iter().collect()
}

fn value(spec: &impl Serialize) -> Value {
    serde_json::to_value(spec).unwrap_or_default()
}

/// Maps are compared key by key, as deep as the names above go; the app's own fields are not told
/// apart from the instance's, as they are in one file.
fn walk(path: &str, before: &Value, after: &Value, found: &mut BTreeSet<String>) {
    if before == after {
        return;
    }
    let empty = Map::new();
    let deep = matches!(
        path,
        "" | "app" | "run" | "bounce" | "monitoring" | "autoscaling" | "resources" | "env"
    );
    let pair = match (before, after) {
        (Value::Object(before), Value::Object(after)) => Some((before, after)),
        (Value::Null, Value::Object(after)) => Some((&empty, after)),
        (Value::Object(before), Value::Null) => Some((before, &empty)),
        _ => None,
    };
    let Some((before, after)) = pair.filter(|_| deep) else {
        found.insert(path.to_owned());
        return;
    };
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let inner = match path {
            "" | "app" => key.clone(),
            path => format!("{path}.{key}"),
        };
        let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
        walk(&inner, &of(before), &of(after), found);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        app::AppSpec,
        id::AppId,
        spec::{BounceMethod, BounceSpec, DesiredState, Monitoring, RunSettings},
    };

    fn spec() -> InstanceSpec {
        InstanceSpec {
            app_id: AppId::new("web.main.git3f2a9c0d.config94232c5b").unwrap(),
            app: Arc::new(AppSpec::default()),
            run: Arc::new(RunSettings::default()),
            instances: 3,
            desired_state: DesiredState::Start,
            force_bounce: None,
            bounce: BounceSpec::default(),
            replication_threshold: 50,
            team: None,
            monitoring: Monitoring::default(),
            autoscaling: None,
            namespaces: Default::default(),
        }
    }

    #[test]
    fn fields_are_told_by_the_names_of_the_file_and_values_never() {
        let before = spec();
        let mut after = spec();
        after.instances = 5;
        after.bounce.method = BounceMethod::Brutal;
        after.force_bounce = Some("t".to_owned());
        let app = Arc::make_mut(&mut after.app);
        app.resources.mem_mb = 64;
        app.git_sha = "a".repeat(40);
        app.env.insert("PASSWORD".to_owned(), "secret".to_owned());
        app.env
            .insert("PAASTA_DOCKER_IMAGE".to_owned(), "i".to_owned());
        app.args = vec!["x".to_owned()];
        after.monitoring.page = true;
        assert_eq!(
            changed_fields(&before, &after),
            [
                "args",
                "bounce_method",
                "env.PASSWORD",
                "instances",
                "mem",
                "monitoring.page"
            ]
        );
        assert!(changed_fields(&before, &before).is_empty());
    }
}
