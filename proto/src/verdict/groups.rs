//! Hosts by what they have in common, and whether any group is nearly full though the whole is not.

use std::collections::BTreeMap;

use crate::v1::{HostState, HostStatus, Resources};

use super::cluster::{Finding, Level, is_full, percent};

/// What `pool` is called among the attributes.
const POOL: &str = "pool";

/// Hosts that have the same attributes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Group {
    /// The values of the attributes, in the order that was asked for.
    pub values: Vec<String>,
    /// How many hosts it has.
    pub hosts: u32,
    /// How many of them are up.
    pub up: u32,
    /// What those have that are not lost.
    pub capacity: Resources,
    /// What is taken of that.
    pub used: Resources,
}

/// The hosts by the attributes `names`, sorted by their values. `pool` is one of them.
pub fn groups(hosts: &[HostStatus], names: &[String]) -> Vec<Group> {
    let mut groups: BTreeMap<Vec<&str>, Group> = BTreeMap::new();
    for host in hosts {
        let values: Vec<&str> = names.iter().map(|name| value(host, name)).collect();
        let group = groups.entry(values).or_default();
        group.hosts += 1;
        group.up += u32::from(host.state() == HostState::Up);
        if host.state() != HostState::Lost {
            add(&mut group.capacity, host.capacity.unwrap_or_default());
            add(&mut group.used, host.used.unwrap_or_default());
        }
    }
    let named = |(values, group): (Vec<&str>, Group)| Group {
        values: values.into_iter().map(str::to_owned).collect(),
        ..group
    };
    groups.into_iter().map(named).collect()
}

/// A finding for each pool, where there are several: a full pool is trouble though others are empty.
pub fn pools(hosts: &[HostStatus]) -> Vec<Finding> {
    let pools = groups(hosts, &[POOL.to_owned()]);
    match pools.len() {
        0 | 1 => Vec::new(),
        _ => pools.iter().map(|pool| finding(pool, "Pool")).collect(),
    }
}

/// What is found in a group.
pub fn finding(group: &Group, subject: &'static str) -> Finding {
    let Group { capacity, used, .. } = group;
    let amounts = [
        ("CPU", used.cpus_milli, capacity.cpus_milli),
        ("memory", used.mem_mb, capacity.mem_mb),
        ("disk", used.disk_mb, capacity.disk_mb),
        ("GPUs", used.gpus, capacity.gpus),
    ];
    let shares = amounts
        .iter()
        .filter(|(name, _, capacity)| *name != "GPUs" || *capacity > 0);
    let shares: Vec<String> = shares
        .map(|(name, used, capacity)| format!("{name} {:.2}%", percent(*used, *capacity)))
        .collect();
    let full: Vec<&str> = amounts
        .iter()
        .filter(|(_, used, capacity)| is_full(*used, *capacity))
        .map(|(name, ..)| *name)
        .collect();
    let name = group.values.join(", ");
    let mut text = format!(
        "{name}: {} of {} hosts up; in use: {}",
        group.up,
        group.hosts,
        shares.join(", ")
    );
    let level = match full.is_empty() {
        true => Level::Ok,
        false => {
            text.push_str(&format!("; less than 10% available of {}", full.join(", ")));
            Level::Critical
        }
    };
    Finding {
        subject,
        level,
        text,
    }
}

fn value<'a>(host: &'a HostStatus, name: &str) -> &'a str {
    match name {
        POOL => &host.pool,
        name => host.attributes.get(name).map_or("unknown", String::as_str),
    }
}

fn add(sum: &mut Resources, more: Resources) {
    sum.cpus_milli += more.cpus_milli;
    sum.mem_mb += more.mem_mb;
    sum.disk_mb += more.disk_mb;
    sum.gpus += more.gpus;
}

#[cfg(test)]
mod tests {
    use crate::v1::HostState;
    use crate::words::value;

    use super::*;

    fn host(pool: &str, region: Option<&str>, state: &str, used: u64) -> HostStatus {
        let amounts = |cpus_milli| Resources {
            cpus_milli,
            ..Resources::default()
        };
        HostStatus {
            pool: pool.to_owned(),
            attributes: region
                .map(|name| ("region".to_owned(), name.to_owned()))
                .into_iter()
                .collect(),
            state: value::<HostState>(state).expect("a word"),
            capacity: Some(amounts(1_000)),
            used: Some(amounts(used)),
            ..HostStatus::default()
        }
    }

    #[test]
    fn hosts_are_summed_by_what_they_have_in_common() {
        let hosts = [
            host("a", Some("north"), "up", 100),
            host("a", Some("north"), "draining", 200),
            host("a", Some("north"), "lost", 900),
            host("a", None, "up", 0),
            host("b", Some("north"), "up", 950),
        ];
        let by: Vec<(String, u32, u32, u64)> =
            groups(&hosts, &["pool".to_owned(), "region".to_owned()])
                .into_iter()
                .map(|group| {
                    (
                        group.values.join("/"),
                        group.hosts,
                        group.up,
                        group.used.cpus_milli,
                    )
                })
                .collect();
        let named = |name: &str, hosts, up, used| (name.to_owned(), hosts, up, used);
        assert_eq!(
            by,
            [
                named("a/north", 3, 1, 300),
                named("a/unknown", 1, 1, 0),
                named("b/north", 1, 1, 950)
            ]
        );
        let found = pools(&hosts);
        let levels: Vec<Level> = found.iter().map(|one| one.level).collect();
        assert_eq!(levels, [Level::Ok, Level::Critical]);
        assert!(
            found[1]
                .text
                .contains("b: 1 of 1 hosts up; in use: CPU 95.00%"),
            "{found:?}"
        );
        assert_eq!(pools(&hosts[..4]), [], "one pool is the whole");
    }
}
