//! An operator empties a host: nothing new goes there and what is there is replaced elsewhere.

use paasta_common::{id::HostId, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    host::Maintenance,
    outcome::{Outcome, Reason},
};

/// An operator empties a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainHost {
    /// The host.
    pub host: HostId,
    /// Why, in the operator's words.
    pub reason: String,
    /// When it ends by itself, if ever.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

impl DrainHost {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(host) = state.tables.hosts.get_mut(&self.host) else {
            return Outcome::Refused(Reason::UnknownHost {
                host: self.host.clone(),
            });
        };
        let since = host
            .maintenance
            .as_ref()
            .map_or(context.at, |maintenance| maintenance.since);
        let wish = Maintenance {
            reason: self.reason.clone(),
            since,
            until: self.until,
        };
        if host.maintenance.as_ref() == Some(&wish) {
            return Outcome::Unchanged;
        }
        host.maintenance = Some(wish);
        let text = format!("draining: {}", self.reason);
        state.note(
            context,
            EventKind::Host,
            Subject::Host(self.host.clone()),
            text,
        );
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        build::{Cluster, host_id},
        state::command::{Command, UndrainHost},
    };

    #[test]
    fn a_drain_keeps_its_beginning_when_its_reason_changes() {
        let mut cluster = Cluster::new(1);
        let drain = |reason: &str| {
            let reason = reason.to_owned();
            Command::DrainHost(DrainHost {
                host: host_id(1),
                reason,
                until: None,
            })
        };
        cluster.must(drain("disk"));
        let since = cluster.now;
        cluster.now = since.after_ms(5_000);
        assert_eq!(cluster.apply(drain("disk")), Outcome::Unchanged);
        cluster.must(drain("disk and fan"));
        let maintenance = cluster
            .state
            .host(&host_id(1))
            .unwrap()
            .maintenance
            .clone()
            .unwrap();
        assert_eq!(
            (maintenance.since, maintenance.reason.as_str()),
            (since, "disk and fan")
        );
        let undrain = || Command::UndrainHost(UndrainHost { host: host_id(1) });
        assert_eq!(cluster.apply(undrain()), Outcome::Applied);
        assert_eq!(cluster.apply(undrain()), Outcome::Unchanged);
    }
}
