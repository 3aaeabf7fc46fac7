//! The hosts from which replicas of an app were moved as they failed there again and again. Kept
//! for the whole app, so that a host which one of its replicas found bad is not tried by the next.

use paasta_common::{
    id::{AppId, HostId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// How many hosts are remembered; the oldest is forgotten first.
pub const FAILED_HOSTS_MAX: usize = 16;

/// For how long a host is avoided after a replica was moved away from it.
pub const AVOIDED_MS: u64 = 3_600_000;

/// Where an app failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedHosts {
    /// The app: what another one did says nothing.
    pub app: AppId,
    /// The hosts, the latest last; each once, at most [`FAILED_HOSTS_MAX`].
    pub hosts: Vec<FailedHost>,
}

/// A host from which a replica was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedHost {
    /// The host.
    pub host: HostId,
    /// When its replica was moved.
    pub at: Timestamp,
}

impl FailedHosts {
    /// Nothing failed yet.
    pub(super) fn of(app: AppId) -> Self {
        Self {
            app,
            hosts: Vec::new(),
        }
    }

    /// Remembers a host. Time plays no part in what is kept, so that every coordinator keeps the
    /// same; who reads asks for what is not over yet.
    pub(super) fn note(&mut self, host: HostId, at: Timestamp) {
        self.hosts.retain(|known| known.host != host);
        self.hosts.push(FailedHost { host, at });
        let over = self.hosts.len().saturating_sub(FAILED_HOSTS_MAX);
        self.hosts.drain(..over);
    }

    /// Forgets a host; says whether it was known.
    pub(super) fn forget(&mut self, host: &HostId) -> bool {
        let before = self.hosts.len();
        self.hosts.retain(|known| known.host != *host);
        self.hosts.len() < before
    }
}

impl FailedHost {
    /// Until when it is avoided.
    pub fn until(&self) -> Timestamp {
        self.at.after_ms(AVOIDED_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{app_id, host_id, main_instance};

    #[test]
    fn the_latest_hosts_are_kept_each_once() {
        let mut failed = FailedHosts::of(app_id(&main_instance(), 1));
        for number in 0..=FAILED_HOSTS_MAX {
            failed.note(host_id(number), Timestamp(number as u64));
        }
        failed.note(host_id(1), Timestamp(99));
        assert_eq!(failed.hosts.len(), FAILED_HOSTS_MAX);
        assert_eq!(failed.hosts[0].host, host_id(2), "0 went, 1 was renewed");
        assert_eq!(failed.hosts.last().unwrap().until().0, 99 + AVOIDED_MS);
        assert!(failed.forget(&host_id(1)) && !failed.forget(&host_id(1)));
    }
}
