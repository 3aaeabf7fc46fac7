//! The answer to `paasta metastatus`: a line per finding, then the tables.

use std::collections::BTreeSet;

use paasta_common::text::count;
use paasta_proto::{
    v1::{
        CoordinatorStatus, HostState, HostStatus, LinkSpeed, MemberRole, MetastatusResponse,
        PoolStatus, Resources,
    },
    words::shown,
};

use super::{
    Tone, View,
    lines::Lines,
    plain,
    table::{Field, field, table},
    time,
};
use crate::verdict::{
    cluster::{Finding, Level, is_full, percent},
    groups::{finding, groups},
};

/// The attribute that says where a host is.
const LOCATION: &str = "region";

/// Renders the findings.
pub fn render(response: &MetastatusResponse, found: &[Finding], view: &View) -> String {
    let mut lines = Lines::new(view);
    let name = format!(
        "{} (id {}, epoch {})",
        response.cluster, response.cluster_id, response.epoch
    );
    lines.field(0, "cluster", 9, &name);
    let size = format!(
        "{}, {}; coordinators run version {}",
        count(response.instances, "instance"),
        count(response.replicas, "replica"),
        response.version
    );
    lines.field(0, "holds", 9, &size);
    lines.raw("");
    for finding in found {
        add_finding(&mut lines, finding);
    }
    lines.finish()
}

fn add_finding(lines: &mut Lines<'_>, finding: &Finding) {
    let (word, tone) = match finding.level {
        Level::Ok => ("OK", Tone::Good),
        Level::Warning => ("WARNING", Tone::Fair),
        Level::Critical => ("CRITICAL", Tone::Bad),
    };
    let word = lines.view().paint(tone, word);
    let text = format!("{word} - {}", plain(&finding.text));
    lines.field(0, &format!("{} Status", finding.subject), 22, &text);
}

/// How much is wanted beside the findings.
#[derive(Debug, Clone, Copy)]
pub struct Detail<'a> {
    /// How often `-v` was given: 1 for coordinators and locations, 2 for groups, 3 for hosts.
    pub level: u8,
    /// The attributes that make a group.
    pub groupings: &'a [String],
}

/// Renders what the detail asks for; `silent` are the ids of the coordinators that did not answer.
pub fn tables(
    response: &MetastatusResponse,
    silent: &BTreeSet<u64>,
    detail: &Detail<'_>,
    view: &View,
) -> String {
    let mut lines = Lines::new(view);
    if detail.level >= 1 {
        locations(&mut lines, response);
        lines.raw("");
        lines.block(0, &coordinators(&response.coordinators, silent, view));
        if !response.pools.is_empty() {
            lines.raw("");
            lines.block(0, &pools(&response.pools, view));
        }
    }
    if detail.level >= 2 {
        lines.raw("");
        lines.block(0, &by_group(&response.hosts, detail.groupings, view));
    }
    if detail.level < 3 {
        return lines.finish();
    }
    lines.raw("");
    lines.block(0, &hosts(&response.hosts, response.now_ms, view));
    for host in response
        .hosts
        .iter()
        .filter(|host| !host.runtime_degraded.is_empty())
    {
        let since = match host.runtime_degraded_since_ms {
            0 => String::new(),
            at => format!(" (since {})", time::distance(at, response.now_ms)),
        };
        let words = format!("{}{since}", plain(&host.runtime_degraded));
        lines.add(&format!("{}: ", host.id), &words, 4);
    }
    lines.finish()
}

/// A line for each pool and location.
fn locations(lines: &mut Lines<'_>, response: &MetastatusResponse) {
    let attributes = ["pool".to_owned(), LOCATION.to_owned()];
    for group in groups(&response.hosts, &attributes) {
        add_finding(lines, &finding(&group, "Location"));
    }
}

fn by_group(hosts: &[HostStatus], names: &[String], view: &View) -> String {
    let mut head: Vec<String> = names.iter().map(|name| name.to_uppercase()).collect();
    head.extend(["HOSTS", "CPU", "RAM GB", "DISK GB", "GPU"].map(str::to_owned));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let cores = |milli: u64| format!("{}.{}", milli / 1_000, milli % 1_000 / 100);
    let gigabytes = |mb: u64| format!("{}.{}", mb / 1_024, mb % 1_024 * 10 / 1_024);
    let rows = groups(hosts, names).into_iter().map(|group| {
        let (used, has) = (group.used, group.capacity);
        let of = |used: u64, has: u64, said: &dyn Fn(u64) -> String| {
            let text = format!("{}/{}", said(used), said(has));
            (text, is_full(used, has).then_some(Tone::Bad))
        };
        let mut row: Vec<Field> = group.values.iter().map(field).collect();
        row.extend([
            field(format!("{}/{}", group.up, group.hosts)),
            of(used.cpus_milli, has.cpus_milli, &cores),
            of(used.mem_mb, has.mem_mb, &gigabytes),
            of(used.disk_mb, has.disk_mb, &gigabytes),
            of(used.gpus, has.gpus, &|count| count.to_string()),
        ]);
        row
    });
    table(view, 0, &head, rows.collect())
}

fn coordinators(all: &[CoordinatorStatus], silent: &BTreeSet<u64>, view: &View) -> String {
    let head = [
        "COORDINATOR",
        "ADDRESS",
        "ROLE",
        "LOG UP TO",
        "ANSWERS",
        "ROUND TRIP",
    ];
    let rows = all.iter().map(|one| {
        let role = match one.leader {
            true => ("leader".to_owned(), Some(Tone::Good)),
            false => field(shown::<MemberRole>(one.role)),
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
            round_trip(one),
        ]
    });
    table(view, 0, &head, rows.collect())
}

/// How long the leader's messages take there and back.
fn round_trip(one: &CoordinatorStatus) -> Field {
    let Some(us) = one.round_trip_us else {
        return field("-");
    };
    let text = format!("{}.{} ms", us / 1_000, us % 1_000 / 100);
    match LinkSpeed::try_from(one.link) {
        Ok(LinkSpeed::TooSlow) => (format!("{text}, too slow"), Some(Tone::Bad)),
        Ok(LinkSpeed::Slow) => (format!("{text}, slow"), Some(Tone::Fair)),
        Ok(LinkSpeed::Fast | LinkSpeed::Unspecified) => field(text),
        Err(_) => field(format!("{text}, {}", shown::<LinkSpeed>(one.link))),
    }
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

pub(super) fn state(host: &HostStatus) -> Field {
    let (word, tone) = match host.state() {
        HostState::Up if !host.runtime_degraded.is_empty() => ("degraded".into(), Tone::Bad),
        HostState::Up => (shown::<HostState>(host.state), Tone::Good),
        HostState::Lost => (shown::<HostState>(host.state), Tone::Bad),
        HostState::Unknown | HostState::Draining | HostState::Silent | HostState::Unspecified => {
            (shown::<HostState>(host.state), Tone::Fair)
        }
    };
    (word.into_owned(), Some(tone))
}

pub(super) fn share(used: Resources, capacity: Resources, of: impl Fn(Resources) -> u64) -> Field {
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
