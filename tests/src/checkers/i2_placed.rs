//! I2, placed once and legally: what a command adds is judged by the state before it, by rules
//! written down here once more; what is there stays where it is. GROUP_BY is judged by the tests of
//! the core, as its balance depends on the order in which a batch was placed.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{
    app::{AppSpec, Operator, Resources},
    assignment::Want,
    host::HostInfo,
    id::ReplicaId,
};
use paasta_coordinator_core::state::{ClusterState, Replica, host::HostStanding};

use super::Violation;

/// One command was applied.
pub fn placed(before: &ClusterState, after: &ClusterState) -> Vec<Violation> {
    let mut found = Vec::new();
    let old = replicas(before);
    let new = replicas(after);
    for (id, replica) in &new {
        match old.get(id) {
            Some(was) if (&was.host, &was.app) != (&replica.host, &replica.app) => {
                let what = format!("{id} was on {} and is on {} now", was.host, replica.host);
                found.push(Violation::new("I2", what));
            }
            Some(_) => {}
            None if *id < before.next_replica() => {
                found.push(Violation::new("I2", format!("the id {id} is given again")));
            }
            None => {
                let why = arrives(before, after, replica);
                let blame = |why| Violation::new("I2", format!("{id} on {}: {why}", replica.host));
                found.extend(why.map(blame));
            }
        }
    }
    let came: BTreeSet<_> = new.keys().filter(|id| !old.contains_key(id)).collect();
    let hosts: BTreeSet<_> = came.iter().map(|id| &new[*id].host).collect();
    for host in hosts {
        found.extend(overfull(after, host));
    }
    found
}

fn replicas(state: &ClusterState) -> BTreeMap<ReplicaId, &Replica> {
    let hosts = state.hosts();
    hosts
        .flat_map(|(host, _)| state.replicas_on(host))
        .collect()
}

/// Why a new replica must not be where it is.
fn arrives(before: &ClusterState, after: &ClusterState, replica: &Replica) -> Option<String> {
    let Some(instance) = before.instance(&replica.instance) else {
        return Some(format!("there is no instance {}", replica.instance));
    };
    let Some(host) = before.host(&replica.host) else {
        return Some("there is no such host".to_owned());
    };
    if matches!(host.standing, HostStanding::Lost { .. }) {
        return Some("the host is lost".to_owned());
    }
    if host.maintenance.is_some() {
        return Some("the host is being drained".to_owned());
    }
    if instance.desired_app() != &replica.app {
        return Some(format!("app {} is not the desired one", replica.app));
    }
    let counted = after
        .replicas_of(&replica.instance)
        .filter(|(_, one)| one.app == replica.app && one.want == Want::Run && stays(after, one))
        .count();
    if counted > instance.wanted() as usize {
        return Some(format!(
            "{counted} are there and {} wanted",
            instance.wanted()
        ));
    }
    let spec = &before.app(&replica.app)?.spec;
    if host.info.pool != spec.pool {
        return Some(format!("pool {} is wanted", spec.pool));
    }
    constraint(after, replica, spec, &host.info)
}

fn stays(state: &ClusterState, replica: &Replica) -> bool {
    let host = state.host(&replica.host);
    host.is_some_and(|host| host.standing == HostStanding::Up && host.maintenance.is_none())
}

/// The first constraint that does not hold, counting all replicas of the app on hosts that are not
/// lost.
fn constraint(
    after: &ClusterState,
    replica: &Replica,
    spec: &AppSpec,
    host: &HostInfo,
) -> Option<String> {
    let same_app = || {
        let all = after.replicas_of(&replica.instance);
        all.filter(|(_, one)| one.app == replica.app)
            .filter_map(|(_, one)| after.host(&one.host))
            .filter(|host| host.standing == HostStanding::Up)
    };
    let broken = spec.constraints.iter().find(|constraint| {
        let value = host.attribute(&constraint.attribute);
        let like = |value: &str| constraint.value.as_deref() == Some(value);
        let beside = || {
            let there = same_app().filter(|one| one.info.attribute(&constraint.attribute) == value);
            there.count()
        };
        let most = || {
            constraint
                .value
                .as_deref()
                .and_then(|text| text.parse().ok())
        };
        let holds = match constraint.operator {
            // The simulations compare with literals only.
            Operator::Like => value.is_some_and(like),
            Operator::Unlike => !value.is_some_and(like),
            Operator::Unique => value.is_some() && beside() <= 1,
            Operator::MaxPer => {
                value.is_some() && most().is_some_and(|most: usize| beside() <= most)
            }
            Operator::Cluster | Operator::GroupBy => value.is_some(),
        };
        !holds
    });
    broken.map(|constraint| format!("{constraint:?} does not hold"))
}

/// More than the host has, or one port given twice.
fn overfull(state: &ClusterState, host: &paasta_common::id::HostId) -> Vec<Violation> {
    let mut found = Vec::new();
    let Some(record) = state.host(host) else {
        return found;
    };
    let mut used = Resources::default();
    let mut ports = BTreeSet::new();
    for (id, replica) in state.replicas_on(host) {
        let Some(app) = state.app(&replica.app) else {
            continue;
        };
        used = used.plus(app.spec.resources);
        let port = app.spec.host_port;
        if port != 0 && !ports.insert(port) {
            let what = format!("{id} on {host}: port {port} is another's");
            found.push(Violation::new("I2", what));
        }
    }
    let factors = state.pools().get(&record.info.pool).copied();
    let has = factors.unwrap_or_default().of(record.info.capacity);
    if used.cpus_milli > has.cpus_milli || used.mem_mb > has.mem_mb || used.disk_mb > has.disk_mb {
        let what = format!("{host} has {has:?} and gives {used:?}");
        found.push(Violation::new("I2", what));
    }
    found
}
