//! The second look at a placement (I2): whichever leader planned it, and however long ago, apply takes it
//! only when it is legal now.

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::{
    app::AppSpec,
    assignment::Want,
    id::{AppId, HostId, InstanceId},
};

use super::{ClusterState, host::Host, outcome::Reason};
use crate::fit::{Unfit, lacking, rules::Rules, tally::Tally};

/// Checks the placements of one batch. The counts of an app are taken once and kept in step, so
/// that a batch costs its size and not its square.
#[derive(Default)]
pub(super) struct Legality {
    apps: BTreeMap<AppId, AppCounts>,
}

struct AppCounts {
    spec: Arc<AppSpec>,
    rules: Rules,
    tally: Tally,
    counted: usize,
}

impl Legality {
    /// Whether one more replica of `app` may be on `host`.
    pub(super) fn check(
        &mut self,
        state: &ClusterState,
        instance: &InstanceId,
        app: &AppId,
        host: &HostId,
    ) -> Result<(), Reason> {
        let Some(record) = state.instance(instance) else {
            return Err(Reason::UnknownInstance {
                instance: instance.clone(),
            });
        };
        if record.desired_app() != app {
            return Err(Reason::AppNotDesired { app: app.clone() });
        }
        let host = state.host(host).ok_or(Reason::Unfit(Unfit::Unknown))?;
        if host.is_lost() {
            return Err(Reason::Unfit(Unfit::Lost));
        }
        if host.maintenance.is_some() {
            return Err(Reason::Unfit(Unfit::Draining));
        }
        let counts = self.counts(state, instance, app)?;
        if counts.counted >= record.wanted() as usize {
            return Err(Reason::EnoughReplicas {
                wanted: record.wanted(),
            });
        }
        counts.rules.allow(&host.info)?;
        let free = state.allocatable(&host.info);
        let free = free.minus(state.used_on(&host.info.id));
        let overcommit = state.overcommit(&host.info.pool);
        if let Some(unfit) = lacking(free, counts.spec.resources, overcommit) {
            return Err(Reason::Unfit(unfit));
        }
        let port = counts.spec.host_port;
        if port != 0 && state.index.port_taken(&host.info.id, port) {
            return Err(Reason::Unfit(Unfit::Port { port }));
        }
        counts.tally.allow(&counts.rules, &host.info)?;
        Ok(())
    }

    /// Whether a replica that drains may run again: its app is desired, one more is wanted, and its
    /// host takes work. Its place is still its own.
    pub(super) fn may_run_again(
        state: &ClusterState,
        instance: &InstanceId,
        app: &AppId,
        host: &HostId,
    ) -> Result<(), Reason> {
        let Some(record) = state.instance(instance) else {
            return Err(Reason::UnknownInstance {
                instance: instance.clone(),
            });
        };
        if record.desired_app() != app {
            return Err(Reason::AppNotDesired { app: app.clone() });
        }
        if !state.host(host).is_some_and(Host::takes_work) {
            return Err(Reason::Unfit(Unfit::Draining));
        }
        match state.counted(instance, app) < record.wanted() as usize {
            true => Ok(()),
            false => Err(Reason::EnoughReplicas {
                wanted: record.wanted(),
            }),
        }
    }

    /// Counts a placement that was accepted.
    pub(super) fn placed(&mut self, state: &ClusterState, app: &AppId, host: &HostId) {
        if let (Some(counts), Some(host)) = (self.apps.get_mut(app), state.host(host)) {
            counts.counted += 1;
            counts.tally.add(&counts.rules, &host.info, true);
        }
    }

    fn counts(
        &mut self,
        state: &ClusterState,
        instance: &InstanceId,
        app: &AppId,
    ) -> Result<&mut AppCounts, Reason> {
        if !self.apps.contains_key(app) {
            let counts = AppCounts::of(state, instance, app)
                .ok_or_else(|| Reason::UnknownApp { app: app.clone() })?;
            self.apps.insert(app.clone(), counts);
        }
        self.apps
            .get_mut(app)
            .ok_or_else(|| Reason::UnknownApp { app: app.clone() })
    }
}

impl AppCounts {
    fn of(state: &ClusterState, instance: &InstanceId, app: &AppId) -> Option<Self> {
        let spec = Arc::clone(&state.app(app)?.spec);
        let rules = Rules::new(&spec);
        let eligible = state.hosts().map(|(_, host)| host);
        let eligible = eligible.filter(|host| host.takes_work() && rules.allow(&host.info).is_ok());
        let mut tally = Tally::new(&rules, eligible.map(|host| &host.info));
        for (_, replica) in state.replicas_of(instance) {
            if replica.app != *app {
                continue;
            }
            if let Some(host) = state.host(&replica.host).filter(|host| !host.is_lost()) {
                let staying = replica.want == Want::Run;
                tally.add(&rules, &host.info, staying);
            }
        }
        let counted = state.counted(instance, app);
        Some(Self {
            spec,
            rules,
            tally,
            counted,
        })
    }
}
