//! Hosts by what of them is given out, and the replicas that failed most: one screen, drawn again
//! and again.

use std::cmp::Reverse;

use paasta_common::text::count_of;
use paasta_proto::v1::{HostStatus, InstanceStatus, MetastatusResponse, ReplicaStatus, Resources};

use super::{
    Tone, View,
    lines::Lines,
    metastatus::{share, state},
    plain, replicas,
    table::{Field, field, table},
    time,
};
use crate::verdict::cluster::percent;

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Order {
    /// The host with the largest share of its CPU given out.
    #[default]
    Cpu,
    /// The same of memory.
    Mem,
    /// The same of disk.
    Disk,
    /// The host with the most replicas.
    Replicas,
    /// By name.
    Name,
}

/// What is shown, and how.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// What comes first.
    pub order: Order,
    /// Only what has this text in a name; empty for all.
    pub search: &'a str,
    /// Replicas at most.
    pub replicas: usize,
}

/// Renders the screen.
pub fn render(
    cluster: &MetastatusResponse,
    instances: &[InstanceStatus],
    shown: Shown<'_>,
    view: &View,
) -> String {
    let mut hosts: Vec<&HostStatus> = cluster
        .hosts
        .iter()
        .filter(|host| host.id.contains(shown.search) || host.pool.contains(shown.search))
        .collect();
    sort(&mut hosts, shown.order);
    let mut lines = Lines::new(view);
    let heading = format!(
        "{}: {}, {}",
        view.paint(Tone::Strong, &plain(&cluster.cluster)),
        count_of(cluster.hosts.len(), "host"),
        count_of(instances.len(), "instance")
    );
    lines.add("", &heading, 2);
    lines.raw("");
    let head = ["HOST", "POOL", "STATE", "REPLICAS", "CPU", "RAM", "DISK"];
    let rows = hosts.into_iter().map(host).collect();
    lines.block(0, &table(view, 0, &head, rows));
    let failing = failing(instances, shown);
    if !failing.is_empty() {
        lines.raw("");
        let head = ["INSTANCE", "REPLICA", "HOST", "STATE", "FAILS", "UP"];
        let rows = failing.into_iter();
        let rows = rows.map(|(one, replica)| row(one, replica, cluster.now_ms));
        lines.block(0, &table(view, 0, &head, rows.collect()));
    }
    lines.finish()
}

/// Equal ones stay in the order of names.
fn sort(hosts: &mut [&HostStatus], order: Order) {
    hosts.sort_by(|one, other| one.id.cmp(&other.id));
    let by = |of: fn(Resources) -> u64| {
        move |host: &&HostStatus| {
            let (used, has) = (
                host.used.unwrap_or_default(),
                host.capacity.unwrap_or_default(),
            );
            // A share in whole thousandths: numbers that can be compared.
            Reverse((percent(of(used), of(has)) * 10.0) as u64)
        }
    };
    match order {
        Order::Cpu => hosts.sort_by_key(by(|one| one.cpus_milli)),
        Order::Mem => hosts.sort_by_key(by(|one| one.mem_mb)),
        Order::Disk => hosts.sort_by_key(by(|one| one.disk_mb)),
        Order::Replicas => hosts.sort_by_key(|host| Reverse(host.replicas)),
        Order::Name => {}
    }
}

fn host(host: &HostStatus) -> Vec<Field> {
    let (used, has) = (
        host.used.unwrap_or_default(),
        host.capacity.unwrap_or_default(),
    );
    vec![
        field(&host.id),
        field(&host.pool),
        state(host),
        field(host.replicas),
        share(used, has, |one| one.cpus_milli),
        share(used, has, |one| one.mem_mb),
        share(used, has, |one| one.disk_mb),
    ]
}

/// The replicas that failed, the most failures first.
fn failing<'a>(
    instances: &'a [InstanceStatus],
    shown: Shown<'_>,
) -> Vec<(&'a InstanceStatus, &'a ReplicaStatus)> {
    let all = instances
        .iter()
        .flat_map(|one| one.replicas.iter().map(move |replica| (one, replica)));
    let mut failing: Vec<_> = all
        .filter(|(one, replica)| {
            let names = [&one.service, &one.instance, &replica.host];
            replica.failures > 0 && names.iter().any(|name| name.contains(shown.search))
        })
        .collect();
    failing.sort_by_key(|(one, replica)| {
        (
            Reverse(replica.failures),
            &one.service,
            &one.instance,
            &replica.id,
        )
    });
    failing.truncate(shown.replicas);
    failing
}

fn row(one: &InstanceStatus, replica: &ReplicaStatus, now_ms: u64) -> Vec<Field> {
    let up = replica
        .started_at_ms
        .map(|at| time::span(now_ms.saturating_sub(at)));
    vec![
        field(format!("{}.{}", one.service, one.instance)),
        field(&replica.id),
        field(&replica.host),
        replicas::state(replica),
        (replica.failures.to_string(), Some(Tone::Bad)),
        field(up.unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

    #[test]
    fn hosts_are_in_the_order_that_is_asked_for_and_failures_come_first() {
        let host = |id: &str, cpus: u64, replicas: u32| HostStatus {
            id: id.to_owned(),
            pool: "default".to_owned(),
            capacity: Some(Resources {
                cpus_milli: 1_000,
                ..Resources::default()
            }),
            used: Some(Resources {
                cpus_milli: cpus,
                ..Resources::default()
            }),
            replicas,
            ..HostStatus::default()
        };
        let cluster = MetastatusResponse {
            cluster: "demo".to_owned(),
            hosts: vec![host("a", 100, 9), host("b", 900, 1), host("c", 500, 5)],
            ..MetastatusResponse::default()
        };
        let replica = |id: &str, failures| ReplicaStatus {
            id: id.to_owned(),
            failures,
            ..ReplicaStatus::default()
        };
        let instances = [InstanceStatus {
            service: "web".to_owned(),
            instance: "main".to_owned(),
            replicas: vec![replica("r1", 0), replica("r2", 1), replica("r3", 7)],
            ..InstanceStatus::default()
        }];
        let first = |order, search| {
            let shown = Shown {
                order,
                search,
                replicas: 1,
            };
            let text = render(&cluster, &instances, shown, &view_80());
            let rows = text.lines().skip(3).take_while(|line| !line.is_empty());
            let names = rows.map(|line| line.split(' ').next().unwrap_or_default().to_owned());
            (names.collect::<Vec<_>>().join(""), text)
        };
        assert_eq!(first(Order::Cpu, "").0, "bca");
        assert_eq!(first(Order::Replicas, "").0, "acb");
        assert_eq!(first(Order::Name, "").0, "abc");
        let (found, text) = first(Order::Name, "b");
        assert_eq!(found, "b");
        assert!(text.contains("r3") && !text.contains("r2"), "{text}");
    }
}
