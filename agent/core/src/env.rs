//! The variables that the agent adds to an app's own: Marathon's and Mesos', which are known only
//! when a replica has its host and its port, and those of PaaSTA that follow from the app. Nothing
//! of this counts for the id of the app: a variable that is added here makes no bounce.

use std::collections::BTreeMap;

use paasta_common::{app_id::git_part, assignment::AssignedReplica};

use crate::{
    compose::{Place, SANDBOX},
    labels::{INSTANCE, SERVICE},
};

/// The whole environment of a run. What the user set wins, but for `PAASTA_PORT`, as in PaaSTA.
pub(crate) fn environment(
    replica: &AssignedReplica,
    place: &Place<'_>,
) -> BTreeMap<String, String> {
    let (spec, host) = (&replica.spec, place.host);
    let resources = spec.resources;
    let version = format!("git{}.config{}", replica.app.git(), replica.app.config());
    let mut env: BTreeMap<String, String> = [
        ("HOST", host.address.clone()),
        ("MARATHON_HOST", host.address.clone()),
        ("PAASTA_HOST", host.host.to_string()),
        ("MARATHON_APP_ID", format!("/{}", replica.app)),
        ("MARATHON_APP_VERSION", version),
        ("MARATHON_APP_DOCKER_IMAGE", spec.image.clone()),
        (
            "MARATHON_APP_RESOURCE_CPUS",
            thousandths(resources.cpus_milli),
        ),
        (
            "MARATHON_APP_RESOURCE_MEM",
            format!("{}.0", resources.mem_mb),
        ),
        (
            "MARATHON_APP_RESOURCE_DISK",
            format!("{}.0", resources.disk_mb),
        ),
        ("MARATHON_APP_RESOURCE_GPUS", resources.gpus.to_string()),
        ("MESOS_TASK_ID", format!("{}.{}", replica.app, place.task)),
        ("MESOS_SANDBOX", SANDBOX.to_owned()),
        ("MESOS_CONTAINER_NAME", place.name.clone()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    env.extend(labels(replica));
    env.extend(of_paasta(replica));
    if let Some(port) = place.host_port {
        let inside = format!("MARATHON_PORT_{}", spec.container_port);
        for name in ["MARATHON_PORT", "MARATHON_PORT0", "MARATHON_PORTS", &inside] {
            env.insert(name.to_owned(), port.to_string());
        }
    }
    env.extend(spec.env.clone());
    let port = spec.container_port.to_string();
    env.insert("PAASTA_PORT".to_owned(), port);
    env
}

/// The resources and the version, in the formats of paasta-tools: numbers as an author writes them.
fn of_paasta(replica: &AssignedReplica) -> BTreeMap<String, String> {
    let resources = replica.spec.resources;
    let cpus = thousandths(resources.cpus_milli);
    let cpus = cpus.strip_suffix(".0").unwrap_or(&cpus);
    let mut env = BTreeMap::from([
        ("PAASTA_RESOURCE_CPUS".to_owned(), cpus.to_owned()),
        (
            "PAASTA_RESOURCE_MEM".to_owned(),
            resources.mem_mb.to_string(),
        ),
        (
            "PAASTA_RESOURCE_DISK".to_owned(),
            resources.disk_mb.to_string(),
        ),
        (
            "PAASTA_GIT_SHA".to_owned(),
            git_part(&replica.spec.image).to_owned(),
        ),
    ]);
    if resources.gpus > 0 {
        let gpus = resources.gpus.to_string();
        env.insert("PAASTA_RESOURCE_GPUS".to_owned(), gpus);
    }
    env
}

/// The two labels that PaaSTA gives, as Marathon tells of an app's labels.
fn labels(replica: &AssignedReplica) -> BTreeMap<String, String> {
    let given = [
        (SERVICE, replica.instance.service.as_str()),
        (INSTANCE, replica.instance.instance.as_str()),
    ];
    let names = given.map(|(name, _)| name.to_ascii_uppercase());
    let mut env = BTreeMap::from([("MARATHON_APP_LABELS".to_owned(), names.join(" "))]);
    for (name, (_, value)) in names.iter().zip(given) {
        env.insert(format!("MARATHON_APP_LABEL_{name}"), value.to_owned());
    }
    env
}

/// 250 is "0.25", 1000 is "1.0": how Marathon prints a number of cores.
fn thousandths(amount: u64) -> String {
    let fraction = format!("{:03}", amount % 1000);
    let fraction = fraction.trim_end_matches('0');
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    format!("{}.{fraction}", amount / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_printed_as_marathon_does() {
        for (amount, text) in [(250, "0.25"), (1000, "1.0"), (1, "0.001"), (12_500, "12.5")] {
            assert_eq!(thousandths(amount), text);
        }
    }
}
