//! Which of two hosts is the better one: the order of the fields is the policy.

use paasta_common::app::Resources;

use crate::plan::hosts::HostView;

/// What is known of an app on a host, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(in crate::plan) enum Trust {
    /// It is happy there.
    Proven,
    /// Nothing.
    #[default]
    Unknown,
    /// It failed there.
    Failed,
}

/// The smaller the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Score {
    /// Where the app does well goes before where it does not.
    trust: Trust,
    /// How many replicas of the instance are there: one host's end should cost few of them.
    on_host: u32,
    /// How full its fullest resource would be, in thousandths: leave room everywhere.
    load: u64,
    /// Its place among the hosts by id: equal hosts are taken in a known order.
    host: usize,
}

impl Score {
    pub(super) fn new(
        trust: Trust,
        on_host: u32,
        view: &HostView<'_>,
        need: Resources,
        host: usize,
    ) -> Self {
        let used = view.room.used.plus(need);
        let capacity = view.room.all;
        let share = |used: u64, of: u64| used.saturating_mul(1_000).checked_div(of).unwrap_or(0);
        let load = share(used.cpus_milli, capacity.cpus_milli)
            .max(share(used.mem_mb, capacity.mem_mb))
            .max(share(used.disk_mb, capacity.disk_mb));
        Self {
            trust,
            on_host,
            load,
            host,
        }
    }

    pub(super) fn trust(self) -> Trust {
        self.trust
    }

    pub(super) fn host(self) -> usize {
        self.host
    }
}
