//! The hosts as one plan sees them: what is recorded and what was heard, judged together. Here it
//! is decided which are lost, found, or removed, and whether silence is too wide to be believed.

use paasta_common::{
    app::Resources,
    id::HostId,
    report::{HostPart, ReplicaReport, Runtime},
    time::Timestamp,
};

use super::{
    observed::{HostObserved, Observed},
    pass::Pass,
    report::{BRAKE_HOSTS_MAX, Brake, HostReport, HostTrouble},
};
use crate::{
    fit::Unfit,
    state::{
        command::{Command, HostBack, HostLost, RemoveHost, UndrainHost},
        host::{Host, HostStanding},
        room::Room,
    },
};

/// One host, with what this plan has already decided about it and put on it.
pub(super) struct HostView<'a> {
    pub(super) host: &'a Host,
    pub(super) observed: Option<&'a HostObserved>,
    pub(super) lost: bool,
    /// Its lease ran out: what was reported may no longer be so.
    pub(super) silent: bool,
    pub(super) draining: bool,
    /// When its lease runs out, as far as this leader may count.
    silent_at: Timestamp,
    pub(super) room: Room,
}

impl<'a> HostView<'a> {
    pub(super) fn new(
        host: &'a Host,
        observed: &'a Observed,
        heard: Option<&'a HostObserved>,
        room: Room,
        now: Timestamp,
    ) -> Self {
        let patience_until = observed.patience_until();
        let silent_at = heard.map_or(patience_until, |heard| {
            heard.lease_until.max(patience_until)
        });
        Self {
            host,
            observed: heard,
            lost: host.is_lost(),
            silent: now >= silent_at,
            draining: host.maintenance.is_some(),
            silent_at,
            room,
        }
    }

    pub(super) fn id(&self) -> &'a HostId {
        &self.host.info.id
    }

    /// Whether a replica that its agent does not mention is not there.
    pub(super) fn reported(&self) -> bool {
        self.observed.is_some_and(|heard| heard.complete_report)
    }

    /// Whether it takes work, and has still to report to this leader.
    pub(super) fn is_arriving(&self) -> bool {
        !self.lost && !self.draining && !self.reported()
    }

    /// Until when its first report is waited for before anything is taken down on its account; none
    /// when it came, or is no longer waited for.
    pub(super) fn awaited_until(&self, observed: &Observed, now: Timestamp) -> Option<Timestamp> {
        if self.lost || self.silent || self.reported() {
            return None;
        }
        let patience = observed.settings.lease_ms.saturating_mul(2);
        let since = self
            .observed
            .map_or(observed.leader_since, |heard| heard.first_seen_this_term);
        Some(since.after_ms(patience).max(observed.patience_until())).filter(|until| now < *until)
    }

    pub(super) fn report(&self, id: paasta_common::id::ReplicaId) -> Option<&'a ReplicaReport> {
        self.observed.and_then(|heard| heard.replicas.get(&id))
    }

    pub(super) fn free(&self) -> Resources {
        self.room.all.minus(self.room.used)
    }

    /// Why nothing at all is placed here now.
    pub(super) fn closed(&self) -> Option<Unfit> {
        if self.lost {
            return Some(Unfit::Lost);
        }
        if self.draining {
            return Some(Unfit::Draining);
        }
        let Some(heard) = self.observed else {
            return Some(Unfit::NotReported);
        };
        if self.silent || !heard.connected {
            return Some(Unfit::Silent);
        }
        if !heard.complete_report {
            return Some(Unfit::NotReported);
        }
        match heard.runtime {
            Runtime::Ok => None,
            Runtime::Degraded { part, .. } => Some(match part {
                HostPart::Runtime => Unfit::RuntimeDegraded,
                HostPart::Disk => Unfit::DiskDegraded,
                HostPart::DockerDisk => Unfit::DockerDiskFull,
                HostPart::Unrecognized(part) => Unfit::PartDegraded { part },
            }),
        }
    }

    /// What is not simply well with it.
    fn trouble(&self, observed: &Observed) -> Option<HostReport> {
        let settings = &observed.settings;
        let trouble = |trouble, since, deadline| {
            Some(HostReport {
                trouble,
                since,
                deadline,
            })
        };
        if let HostStanding::Lost { since } = self.host.standing
            && self.lost
        {
            let expiry = since.after_ms(settings.lost_host_expiry_ms);
            return trouble(HostTrouble::Lost, Some(since), Some(expiry));
        }
        if self.lost || self.silent {
            let what = if self.lost {
                HostTrouble::Lost
            } else {
                HostTrouble::Silent
            };
            let lost_at = self.silent_at.after_ms(settings.lost_after_ms);
            return trouble(what, Some(self.silent_at), Some(lost_at));
        }
        if let Some(maintenance) = self.host.maintenance.as_ref().filter(|_| self.draining) {
            let what = HostTrouble::Draining {
                reason: maintenance.reason.clone(),
            };
            return trouble(what, Some(maintenance.since), maintenance.until);
        }
        if !self.reported() {
            return trouble(HostTrouble::NotReported, None, Some(self.silent_at));
        }
        match self.observed.map(|heard| &heard.runtime) {
            Some(Runtime::Degraded { reason, since, .. }) => trouble(
                HostTrouble::RuntimeDegraded {
                    reason: reason.clone(),
                },
                Some(*since),
                None,
            ),
            _ => None,
        }
    }
}

/// For how long a new leader places nothing while hosts have not reported to it: who places on the
/// first that do crowds them. Agents need a fraction of it.
const ARRIVAL_MS: u64 = 1_000;

impl Pass<'_> {
    /// Decides about every host, before any instance is looked at.
    pub(super) fn look_at_hosts(&mut self) {
        self.report.brake = self.brake();
        self.arriving_until = self.arriving_until();
        for at in 0..self.hosts.len() {
            if self.hosts[at].lost {
                self.look_at_lost(at);
            } else {
                self.look_at_present(at);
            }
            self.end_maintenance(at);
            self.look_at_clock(at);
            let view = &self.hosts[at];
            if let Some(trouble) = view.trouble(self.observed) {
                self.report.hosts.insert(view.id().clone(), trouble);
            }
        }
    }

    fn arriving_until(&self) -> Option<Timestamp> {
        let until = self.observed.leader_since.after_ms(ARRIVAL_MS);
        (self.now < until && self.hosts.iter().any(HostView::is_arriving)).then_some(until)
    }

    /// Silence of this many hosts at once is more likely to be ours than theirs.
    fn brake(&self) -> Option<Brake> {
        let settings = &self.observed.settings;
        let present = self.hosts.iter().filter(|view| !view.lost);
        let silent: Vec<&HostView<'_>> = present.clone().filter(|view| view.silent).collect();
        let total = present.count() as u64;
        let least = u64::from(settings.mass_failure_hosts.max(2));
        let many = silent.len() as u64;
        if many < least || many * 100 <= u64::from(settings.mass_failure_percent) * total {
            return None;
        }
        Some(Brake {
            silent: u32::try_from(many).unwrap_or(u32::MAX),
            total: u32::try_from(total).unwrap_or(u32::MAX),
            hosts: silent
                .iter()
                .take(BRAKE_HOSTS_MAX)
                .map(|view| view.id().clone())
                .collect(),
        })
    }

    fn look_at_present(&mut self, at: usize) {
        let view = &self.hosts[at];
        if !view.silent {
            let silent_at = view.silent_at;
            self.wake(silent_at);
            return;
        }
        let lost_at = view
            .silent_at
            .after_ms(self.observed.settings.lost_after_ms);
        if self.report.brake.is_some() {
            return;
        }
        if self.now < lost_at {
            self.wake(lost_at);
            return;
        }
        let host = view.id().clone();
        self.hosts[at].lost = true;
        self.struck.push(at);
        self.commands.push(Command::HostLost(HostLost { host }));
    }

    fn look_at_lost(&mut self, at: usize) {
        let view = &self.hosts[at];
        let host = view.id().clone();
        if view
            .observed
            .is_some_and(|heard| heard.connected && self.now < heard.lease_until)
        {
            self.hosts[at].lost = false;
            self.struck.push(at);
            self.commands.push(Command::HostBack(HostBack { host }));
            return;
        }
        let HostStanding::Lost { since } = view.host.standing else {
            return;
        };
        let expiry = since.after_ms(self.observed.settings.lost_host_expiry_ms);
        if self.now < expiry {
            self.wake(expiry);
        } else if self.report.brake.is_none() {
            self.struck.push(at);
            self.gone
                .extend(self.state.replicas_on(&host).map(|(id, _)| id));
            self.commands.push(Command::RemoveHost(RemoveHost { host }));
        }
    }

    fn end_maintenance(&mut self, at: usize) {
        let view = &self.hosts[at];
        let until = view
            .host
            .maintenance
            .as_ref()
            .and_then(|maintenance| maintenance.until);
        let Some(until) = until else {
            return;
        };
        if self.now < until {
            self.wake(until);
            return;
        }
        let host = view.id().clone();
        self.hosts[at].draining = false;
        self.struck.push(at);
        self.commands
            .push(Command::UndrainHost(UndrainHost { host }));
    }
}
