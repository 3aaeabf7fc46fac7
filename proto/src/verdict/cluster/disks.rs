//! Hosts that do not enforce the `disk` of instances.

use std::collections::BTreeMap;

use crate::{
    v1::{DiskLimits, MetastatusResponse},
    words::shown,
};

use super::{Finding, Level};

/// So many hosts without disk limits are named.
const UNLIMITED_MAX: usize = 10;

/// On which hosts `disk` of instances is not enforced; nothing when it is on all.
pub(super) fn disk_limits(response: &MetastatusResponse) -> Option<Finding> {
    let hosts = response.hosts.iter();
    let off = hosts.filter(|host| host.disk_limits() == DiskLimits::Off);
    let off: Vec<&str> = off.map(|host| host.id.as_str()).collect();
    let mut text = Vec::new();
    if !off.is_empty() {
        text.push(format!("off on {}", named(&off)));
    }
    for (value, hosts) in unrecognized(response) {
        let value = shown::<DiskLimits>(value);
        text.push(format!("{value} on {}", named(&hosts)));
    }
    (!text.is_empty()).then(|| Finding {
        subject: "Disk limits",
        level: Level::Ok,
        text: text.join("; "),
    })
}

/// The hosts by a setting that only a newer program knows.
fn unrecognized(response: &MetastatusResponse) -> BTreeMap<i32, Vec<&str>> {
    let mut found: BTreeMap<i32, Vec<&str>> = BTreeMap::new();
    for host in &response.hosts {
        if DiskLimits::try_from(host.disk_limits).is_err() {
            found.entry(host.disk_limits).or_default().push(&host.id);
        }
    }
    found
}

/// How many hosts, and some of their names.
fn named(hosts: &[&str]) -> String {
    let named = hosts.iter().take(UNLIMITED_MAX).copied();
    let named = named.collect::<Vec<_>>().join(", ");
    let more = match hosts.len().saturating_sub(UNLIMITED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let noun = if hosts.len() == 1 { "host" } else { "hosts" };
    format!("{} {noun} ({named}{more})", hosts.len())
}

#[cfg(test)]
mod tests {
    use crate::v1::HostStatus;

    use super::*;

    #[test]
    fn hosts_without_disk_limits_are_named_and_are_no_trouble() {
        let host = |number: usize, limits: i32| HostStatus {
            id: format!("h{number}"),
            disk_limits: limits,
            ..HostStatus::default()
        };
        let numbers = |limits: &[i32]| {
            let numbered = limits.iter().enumerate();
            let hosts = numbered.map(|(at, limits)| host(at + 1, *limits));
            let response = MetastatusResponse {
                hosts: hosts.collect(),
                ..MetastatusResponse::default()
            };
            disk_limits(&response).map(|found| (found.level, found.text))
        };
        let said = |limits: &[DiskLimits]| {
            let limits: Vec<i32> = limits.iter().map(|one| (*one).into()).collect();
            numbers(&limits)
        };
        use DiskLimits::{Off, StorageDriver, Unspecified, Watch};
        let fine = |text: &str| Some((Level::Ok, text.to_owned()));
        assert_eq!(said(&[Watch, StorageDriver, Unspecified]), None);
        assert_eq!(said(&[Watch, Off]), fine("off on 1 host (h2)"));
        assert_eq!(
            numbers(&[9_999, Off.into()]),
            fine("off on 1 host (h2); unknown (9999) on 1 host (h1)")
        );
        assert_eq!(said(&[Off, Off]), fine("off on 2 hosts (h1, h2)"));
        assert_eq!(
            said(&[Off; 12]),
            fine("off on 12 hosts (h1, h2, h3, h4, h5, h6, h7, h8, h9, h10 and 2 more)")
        );
    }
}
