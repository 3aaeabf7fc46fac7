//! When a lack of replicas becomes an alarm, and when that ends: hysteresis over the looks of
//! [`super::replication`]. An alarm that was raised is replicated state; how long a lack has lasted
//! so far is the leader's memory, and a new leader counts from its first look: it may raise an
//! alarm later, never twice.

use std::collections::BTreeMap;

use paasta_common::{id::InstanceId, time::Timestamp};

use super::{
    replication::{Checker, Replication, Verdict},
    report::Report,
};
use crate::state::{
    ClusterState,
    command::{Command, SetAlert},
};

/// How many looks in a row must agree before anything is said.
const LOOKS: u32 = 2;

/// How many alarms begin or end by one look, at most; the others do by the next. After a mass
/// failure they must not push everything else out of the event ring at once.
pub const CHANGES_MAX: usize = 64;

/// What the leader remembers between looks.
#[derive(Debug, Default)]
pub struct Watch {
    trends: BTreeMap<InstanceId, Trend>,
}

/// Looks in a row that differ from what was last said.
#[derive(Debug, Clone, Copy)]
struct Trend {
    /// Whether they find too few replicas.
    critical: bool,
    since: Timestamp,
    looks: u32,
}

impl Watch {
    /// Looks at every instance. Says which alarms begin and end; `after_ms` is for how long a lack
    /// must last where the instance does not say.
    #[must_use]
    pub fn look(
        &mut self,
        state: &ClusterState,
        report: &Report,
        now: Timestamp,
        after_ms: u64,
    ) -> Vec<Command> {
        let mut checker = Checker::new(state, report);
        let mut trends = BTreeMap::new();
        let mut commands = Vec::new();
        for (id, instance) in state.instances() {
            let alarmed = state.alerts().get(id).is_some_and(|alert| alert.critical);
            let Some(found) = checker.check(id) else {
                if alarmed && commands.len() < CHANGES_MAX {
                    let text = "OK: no longer declared or deployed";
                    commands.push(set(id, false, text.to_owned()));
                }
                continue;
            };
            let before = self.trends.get(id).copied();
            let Some(trend) = trend(&found, alarmed, before, now) else {
                continue;
            };
            let patience = instance.spec.monitoring.alert_after_ms.unwrap_or(after_ms);
            let lasted = alarmed || now.since_ms(trend.since) >= patience;
            if trend.looks >= LOOKS && lasted && commands.len() < CHANGES_MAX {
                commands.push(set(id, !alarmed, found.summary()));
            }
            trends.insert(id.clone(), trend);
        }
        self.trends = trends;
        commands
    }
}

/// How the look agrees with those before it; none when it finds what was last said.
fn trend(
    found: &Replication,
    alarmed: bool,
    before: Option<Trend>,
    now: Timestamp,
) -> Option<Trend> {
    let critical = match found.verdict {
        Verdict::Unknown => return before,
        Verdict::Critical => true,
        Verdict::Ok => false,
    };
    let before = before.filter(|before| before.critical == critical);
    (critical != alarmed).then(|| Trend {
        critical,
        since: before.map_or(now, |before| before.since),
        looks: before.map_or(0, |before| before.looks).saturating_add(1),
    })
}

fn set(instance: &InstanceId, critical: bool, text: String) -> Command {
    Command::SetAlert(SetAlert {
        instance: instance.clone(),
        critical,
        text,
    })
}
