//! The figures of one size of fleet: a column of a table for people, an object of JSON for programs.

use std::{fmt::Write as _, time::Duration};

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::hollow::tally::Spans;

/// What was measured with one number of hosts. Times are milliseconds, shares of a processor are
/// per cent of one core.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Hosts.
    pub hosts: u32,
    /// Replicas that were deployed.
    pub replicas: u32,
    /// Whether sessions spoke TLS.
    pub tls: bool,
    /// From the start of all agents to a session of each.
    pub registered_ms: f64,
    /// Processor time of the leader for that.
    pub registering_leader_cpu_ms: f64,
    /// The same of all coordinators and the hosts.
    pub registering_cpu_ms: f64,
    /// At rest, without replicas.
    pub rest: Rest,
    /// At rest, with the replicas.
    pub rest_with_replicas: Rest,
    /// From when the app was first desired to all its replicas placed.
    pub placed_ms: f64,
    /// To when hosts had them assigned.
    pub assigned: Spans,
    /// To when they were healthy.
    pub healthy: Spans,
    /// One page of the status of everything, with replicas.
    pub status_page_ms: f64,
    /// From the death of the leader to the next write.
    pub next_write_ms: f64,
    /// From the death of the leader to a session of each host with its successor.
    pub back_ms: f64,
    /// Hosts that were lost by the death of the leader.
    pub hosts_lost: u64,
    /// Containers that were made or removed by the death of the leader.
    pub containers_touched: u64,
}

/// A cluster at rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rest {
    /// For how long it was looked at.
    pub seconds: f64,
    /// The leader's share of a core.
    pub leader_percent: f64,
    /// The busiest follower's.
    pub follower_percent: f64,
    /// Records of the replicated log.
    pub raft_records: u64,
    /// Memory of the leader, MiB.
    pub leader_mib: f64,
    /// Processor time of a host, microseconds in a second.
    pub host_us_per_s: f64,
    /// Memory of a host, KiB, with its share of its process.
    pub host_kib: f64,
    /// The mean time of one plan of the leader.
    pub plan_ms: f64,
    /// Plans of the leader in a second.
    pub plans_per_s: f64,
}

/// A line of the table: its heading and its figure.
type Line = (&'static str, fn(&Row) -> String);

const LINES: [Line; 23] = [
    ("sessions", |row| {
        if row.tls { "TLS" } else { "plain" }.to_owned()
    }),
    ("all registered, s", |row| {
        tenth(row.registered_ms / 1_000.0)
    }),
    ("leader's CPU for it, ms per host", |row| {
        per_host(row, row.registering_leader_cpu_ms)
    }),
    ("all processes' CPU for it, ms per host", |row| {
        per_host(row, row.registering_cpu_ms)
    }),
    ("idle: leader, % of a core", |row| {
        tenth(row.rest.leader_percent)
    }),
    ("idle: a follower, % of a core", |row| {
        tenth(row.rest.follower_percent)
    }),
    ("idle: records of Raft", |row| {
        row.rest.raft_records.to_string()
    }),
    ("idle: a host, us of CPU per s", |row| {
        whole(row.rest.host_us_per_s)
    }),
    ("idle: a host, KiB", |row| whole(row.rest.host_kib)),
    ("idle: leader, MiB", |row| whole(row.rest.leader_mib)),
    ("replicas deployed", |row| row.replicas.to_string()),
    ("desired to all placed, ms", |row| whole(row.placed_ms)),
    ("desired to assigned, p50 / p99 / max, ms", |row| {
        spans(row.assigned)
    }),
    ("desired to healthy, p50 / p99 / max, ms", |row| {
        spans(row.healthy)
    }),
    ("with replicas: leader, % of a core", |row| {
        tenth(row.rest_with_replicas.leader_percent)
    }),
    ("with replicas: records of Raft", |row| {
        row.rest_with_replicas.raft_records.to_string()
    }),
    ("with replicas: a host, us of CPU per s", |row| {
        whole(row.rest_with_replicas.host_us_per_s)
    }),
    ("with replicas: one plan, ms", |row| {
        hundredth(row.rest_with_replicas.plan_ms)
    }),
    ("status of everything, a page, ms", |row| {
        tenth(row.status_page_ms)
    }),
    ("leader killed: next write, ms", |row| {
        whole(row.next_write_ms)
    }),
    ("leader killed: every host back, s", |row| {
        tenth(row.back_ms / 1_000.0)
    }),
    ("leader killed: hosts lost", |row| {
        row.hosts_lost.to_string()
    }),
    ("leader killed: containers touched", |row| {
        row.containers_touched.to_string()
    }),
];

impl Row {
    /// Nothing measured yet.
    #[must_use]
    pub fn of(plan: Plan) -> Self {
        Self {
            hosts: plan.hosts,
            replicas: plan.replicas,
            tls: plan.tls,
            ..Self::default()
        }
    }

    /// A table with a column for each row, in Markdown.
    #[must_use]
    pub fn table(rows: &[Self]) -> String {
        let mut text = String::from("| hosts |");
        for row in rows {
            let _ = write!(text, " {} |", row.hosts);
        }
        text.push_str("\n|---|");
        text.push_str(&"---|".repeat(rows.len()));
        text.push('\n');
        for (heading, figure) in LINES {
            let _ = write!(text, "| {heading} |");
            for row in rows {
                let _ = write!(text, " {} |", figure(row));
            }
            text.push('\n');
        }
        text
    }
}

/// Milliseconds with their fractions.
#[must_use]
pub fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

fn per_host(row: &Row, ms: f64) -> String {
    hundredth(ms / f64::from(row.hosts.max(1)))
}

fn spans(spans: Spans) -> String {
    format!("{} / {} / {}", spans.p50_ms, spans.p99_ms, spans.max_ms)
}

fn whole(figure: f64) -> String {
    format!("{figure:.0}")
}

fn tenth(figure: f64) -> String {
    format!("{figure:.1}")
}

fn hundredth(figure: f64) -> String {
    format!("{figure:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_column_for_each_size() {
        let rows = [100, 1_000].map(|hosts| Row {
            hosts,
            registered_ms: 2_000.0,
            registering_leader_cpu_ms: 50.0,
            ..Row::default()
        });
        let table = Row::table(&rows);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), LINES.len() + 2, "{table}");
        assert_eq!(lines[0], "| hosts | 100 | 1000 |");
        assert_eq!(lines[3], "| all registered, s | 2.0 | 2.0 |");
        assert_eq!(
            lines[4],
            "| leader's CPU for it, ms per host | 0.50 | 0.05 |"
        );
        let json = serde_json::to_string(&rows[0]).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), rows[0]);
    }
}
