//! Hosts that do not enforce the `disk` of instances.

use paasta_proto::v1::{DiskLimits, MetastatusResponse};

use super::{Finding, Level};

/// So many hosts without disk limits are named.
const UNLIMITED_MAX: usize = 10;

/// On which hosts `disk` of instances is not enforced; nothing when it is on all.
pub(super) fn disk_limits(response: &MetastatusResponse) -> Option<Finding> {
    let hosts = response.hosts.iter();
    let off = hosts.filter(|host| host.disk_limits() == DiskLimits::Off);
    let off: Vec<&str> = off.map(|host| host.id.as_str()).collect();
    if off.is_empty() {
        return None;
    }
    let named = off.iter().take(UNLIMITED_MAX).copied();
    let named = named.collect::<Vec<_>>().join(", ");
    let more = match off.len().saturating_sub(UNLIMITED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let hosts = if off.len() == 1 { "host" } else { "hosts" };
    Some(Finding {
        subject: "Disk limits",
        level: Level::Ok,
        text: format!("off on {} {hosts} ({named}{more})", off.len()),
    })
}

#[cfg(test)]
mod tests {
    use paasta_proto::v1::HostStatus;

    use super::*;

    #[test]
    fn hosts_without_disk_limits_are_named_and_are_no_trouble() {
        let host = |number: usize, limits: DiskLimits| HostStatus {
            id: format!("h{number}"),
            disk_limits: limits.into(),
            ..HostStatus::default()
        };
        let said = |limits: &[DiskLimits]| {
            let numbered = limits.iter().enumerate();
            let hosts = numbered.map(|(at, limits)| host(at + 1, *limits));
            let response = MetastatusResponse {
                hosts: hosts.collect(),
                ..MetastatusResponse::default()
            };
            disk_limits(&response).map(|found| (found.level, found.text))
        };
        use DiskLimits::{Off, StorageDriver, Unspecified, Watch};
        let fine = |text: &str| Some((Level::Ok, text.to_owned()));
        assert_eq!(said(&[Watch, StorageDriver, Unspecified]), None);
        assert_eq!(said(&[Watch, Off]), fine("off on 1 host (h2)"));
        assert_eq!(said(&[Off, Off]), fine("off on 2 hosts (h1, h2)"));
        assert_eq!(
            said(&[Off; 12]),
            fine("off on 12 hosts (h1, h2, h3, h4, h5, h6, h7, h8, h9, h10 and 2 more)")
        );
    }
}
