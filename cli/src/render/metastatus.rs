//! The answer to `paasta metastatus`: a line per finding, then the tables.

use std::collections::BTreeSet;

use paasta_proto::v1::{CoordinatorStatus, HostStatus, MetastatusResponse, PoolStatus, Resources};

use super::{
    Tone, View,
    lines::Lines,
    plain,
    table::{Field, field, table},
    time,
};
use crate::verdict::cluster::{Finding, Level, is_full, percent};

/// Renders the findings.
pub fn render(response: &MetastatusResponse, found: &[Finding], view: &View) -> String {
    let mut lines = Lines::new(view);
    let name = format!(
        "{} (id {}, epoch {})",
        response.cluster, response.cluster_id, response.epoch
    );
    lines.field(0, "cluster", 9, &name);
    let size = format!(
        "{} instances, {} replicas; coordinators run version {}",
        response.instances, response.replicas, response.version
    );
    lines.field(0, "holds", 9, &size);
    lines.raw("");
    for finding in found {
        let (word, tone) = match finding.level {
            Level::Ok => ("OK", Tone::Good),
            Level::Warning => ("WARNING", Tone::Fair),
            Level::Critical => ("CRITICAL", Tone::Bad),
        };
        let text = format!("{} - {}", view.paint(tone, word), plain(&finding.text));
        lines.field(0, &format!("{} Status", finding.subject), 22, &text);
    }
    lines.finish()
}

/// Renders every coordinator and host; `silent` are the ids of the coordinators that did not
/// answer.
pub fn tables(response: &MetastatusResponse, silent: &BTreeSet<u64>, view: &View) -> String {
    let mut lines = Lines::new(view);
    lines.raw("");
    lines.block(0, &coordinators(&response.coordinators, silent, view));
    lines.raw("");
    if !response.pools.is_empty() {
        lines.block(0, &pools(&response.pools, view));
        lines.raw("");
    }
    lines.block(0, &hosts(&response.hosts, response.now_ms, view));
    for host in response
        .hosts
        .iter()
        .filter(|host| !host.runtime_degraded.is_empty())
    {
        lines.add(&format!("{}: ", host.id), &plain(&host.runtime_degraded), 4);
    }
    lines.finish()
}

fn coordinators(all: &[CoordinatorStatus], silent: &BTreeSet<u64>, view: &View) -> String {
    let head = ["COORDINATOR", "ADDRESS", "ROLE", "LOG UP TO", "ANSWERS"];
    let rows = all.iter().map(|one| {
        let role = match one.leader {
            true => ("leader".to_owned(), Some(Tone::Good)),
            false => field(&one.role),
        };
        let answers = match silent.contains(&one.id) {
            true => ("no".to_owned(), Some(Tone::Bad)),
            false => field("yes"),
        };
        let index = one
            .matched_index
            .map_or_else(|| "-".to_owned(), |index| index.to_string());
        vec![
            field(one.id),
            field(&one.address),
            role,
            field(index),
            answers,
        ]
    });
    table(view, 0, &head, rows.collect())
}

fn pools(pools: &[PoolStatus], view: &View) -> String {
    let head = [
        "POOL",
        "HOSTS",
        "OVERCOMMIT",
        "CPU",
        "RAM",
        "DISK",
        "OVERFULL",
    ];
    let rows = pools.iter().map(|pool| {
        let factor = |milli: u32| f64::from(milli) / 1_000.0;
        let overcommit = format!(
            "cpus {}, mem {}, disk {}",
            factor(pool.overcommit_cpus_milli),
            factor(pool.overcommit_mem_milli),
            factor(pool.overcommit_disk_milli)
        );
        let capacity = pool.capacity.unwrap_or_default();
        let used = pool.used.unwrap_or_default();
        let overfull = match pool.overfull {
            0 => field("-"),
            hosts => (hosts.to_string(), Some(Tone::Fair)),
        };
        vec![
            field(&pool.name),
            field(pool.hosts),
            field(overcommit),
            share(used, capacity, |amounts| amounts.cpus_milli),
            share(used, capacity, |amounts| amounts.mem_mb),
            share(used, capacity, |amounts| amounts.disk_mb),
            overfull,
        ]
    });
    table(view, 0, &head, rows.collect())
}

fn hosts(hosts: &[HostStatus], now_ms: u64, view: &View) -> String {
    let head = [
        "HOST", "ADDRESS", "POOL", "STATE", "REPLICAS", "CPU", "RAM", "DISK", "SEEN",
    ];
    let rows = hosts.iter().map(|host| {
        let capacity = host.capacity.unwrap_or_default();
        let used = host.used.unwrap_or_default();
        let seen = host.last_seen_ms;
        vec![
            field(&host.id),
            field(&host.address),
            field(&host.pool),
            state(host),
            field(host.replicas),
            share(used, capacity, |amounts| amounts.cpus_milli),
            share(used, capacity, |amounts| amounts.mem_mb),
            share(used, capacity, |amounts| amounts.disk_mb),
            field(seen.map_or_else(|| "-".to_owned(), |at| time::distance(at, now_ms))),
        ]
    });
    table(view, 0, &head, rows.collect())
}

fn state(host: &HostStatus) -> Field {
    let (word, tone) = match host.state.as_str() {
        "up" if !host.runtime_degraded.is_empty() => ("degraded", Tone::Bad),
        "up" => ("up", Tone::Good),
        "lost" => ("lost", Tone::Bad),
        other => (other, Tone::Fair),
    };
    (word.replace('_', "-"), Some(tone))
}

fn share(used: Resources, capacity: Resources, of: impl Fn(Resources) -> u64) -> Field {
    let (used, capacity) = (of(used), of(capacity));
    let text = match capacity {
        0 => "-".to_owned(),
        capacity => format!("{:.0}%", percent(used, capacity)),
    };
    let full = is_full(used, capacity);
    (text, full.then_some(Tone::Bad))
}

#[cfg(test)]
mod tests;
