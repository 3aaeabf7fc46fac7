//! The first page: whether all is as wanted, and what is not, with what it waits for.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use paasta_common::text::{count, count_of};
use paasta_proto::{
    v1::{
        BounceMethod, BounceState, HostState, HostStatus, InstanceStatus, MetastatusResponse,
        SearchResponse,
    },
    verdict::{
        cluster::{Finding, Level, SILENT_AFTER_MS, findings},
        glance::is_bouncing,
        instance::floor,
    },
    words::shown,
};

use super::{action, host_state, waiting};
use crate::dashboard::{
    page::{Block, Page, Row},
    parts::{self, Tone, badge, command, instance_link, moment, name_of},
    read::Standing,
};

/// Hosts that are listed, at most.
const HOSTS_MAX: usize = 50;

/// Lays it out. `ends_ms` is when the certificate of this coordinator expires.
pub(in crate::dashboard) fn page(
    standing: Standing,
    cluster: &MetastatusResponse,
    unwell: &SearchResponse,
    ends_ms: Option<u64>,
) -> Page {
    let found = findings(cluster, &silent(cluster));
    let certificate = ends_ms.map(|ends| super::cluster::certificate(&standing, ends));
    let troubled = hosts(cluster);
    let blocks = vec![
        summary(&standing, unwell, &found, certificate.as_ref(), &troubled),
        checks(&found, certificate.as_ref()),
        alarms(unwell),
        bounces(unwell),
        waits(unwell),
        host_rows(cluster, &troubled),
        versions(cluster),
    ];
    Page::new("Now", "/", standing, blocks)
}

/// The coordinators that the leader does not hear. One that does not lead hears none.
pub(super) fn silent(cluster: &MetastatusResponse) -> BTreeSet<u64> {
    let leads = cluster.stale.as_ref().is_none_or(|stale| stale.leads);
    let all = cluster
        .coordinators
        .iter()
        .filter(|one| leads && !one.leader);
    let silent = all.filter(|one| one.last_answer_ms.is_none_or(|ms| ms > SILENT_AFTER_MS));
    silent.map(|one| one.id).collect()
}

/// The hosts that are not simply up.
fn hosts(cluster: &MetastatusResponse) -> Vec<&HostStatus> {
    let leads = cluster.stale.as_ref().is_none_or(|stale| stale.leads);
    let off = cluster.hosts.iter().filter(|host| match host.state() {
        HostState::Up => !host.runtime_degraded.is_empty(),
        // A coordinator that does not lead hears no host.
        HostState::Unknown => leads,
        HostState::Lost | HostState::Draining | HostState::Silent | HostState::Unspecified => true,
    });
    off.collect()
}

fn summary(
    standing: &Standing,
    unwell: &SearchResponse,
    found: &[Finding],
    certificate: Option<&Finding>,
    hosts: &[&HostStatus],
) -> Block {
    let checks = found.iter().chain(certificate);
    let worst = checks.map(|one| one.level).max().unwrap_or(Level::Ok);
    let quiet = unwell.not_as_wanted == 0 && unwell.in_alarm == 0 && hosts.is_empty();
    let words = match (standing.leader, quiet, worst) {
        (None, ..) => badge(Tone::Bad, "Without a leader nothing is decided."),
        (Some(_), true, Level::Ok) => badge(Tone::Good, "All is as wanted."),
        (Some(_), true, level) => badge(
            level.into(),
            "All instances are as wanted; the cluster is not.",
        ),
        (Some(_), false, level) => badge(level.max(Level::Warning).into(), "Not all is as wanted."),
    };
    let chip = |words: &str, state: &str| {
        let href = match state {
            "" => "/services".to_owned(),
            state => format!("/services?state={state}"),
        };
        html! { li { a href=(href) { (words) } } }
    };
    let html = html! {
        section #summary aria-label="Summary" {
            p.summary { (words) }
            ul.filters aria-label="Instances by state" {
                (chip(&count(unwell.total, "instance"), ""))
                (chip(&format!("{} not as wanted", unwell.not_as_wanted), "not-as-wanted"))
                (chip(&format!("{} bouncing", unwell.bouncing), "bouncing"))
                (chip(&format!("{} held", unwell.held), "held"))
                (chip(&format!("{} in alarm", unwell.in_alarm), "in-alarm"))
            }
            p { (command("paasta status --not-ok")) " " (command("paasta metastatus")) }
        }
    };
    Block::plain("summary", html)
}

fn checks(found: &[Finding], certificate: Option<&Finding>) -> Block {
    let rows = found.iter().chain(certificate).enumerate().map(|(at, one)| {
        let word = match one.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Critical => "critical",
        };
        let help = match one.subject {
            "Brake" => html! { " " (command("paasta brake status")) " " (command("paasta brake release")) },
            "Settings" => html! { " " (command("paasta settings diff")) },
            "Certificate" => html! { " " (command("paasta cluster node")) },
            _ => html! {},
        };
        let text = html! { (one.text) (help) };
        let head = html! { (one.subject) };
        Row::of(format!("check-{at}"), &head, &[badge(one.level.into(), word), text])
    });
    let columns = ["Part", "State", "What was found"];
    Block::table(
        "checks",
        "The cluster",
        &columns,
        rows.collect(),
        "Nothing was looked at.",
    )
}

fn alarms(unwell: &SearchResponse) -> Block {
    let alarmed = unwell.instances.iter();
    let alarmed = alarmed.filter_map(|one| Some((one, one.alarm.as_ref()?)));
    let rows = alarmed.map(|(one, alarm)| {
        let name = name_of(one);
        let words = command(&format!("paasta check-replication {name}"));
        let cells = [
            html! { (moment(alarm.since_ms)) },
            html! { (alarm.text) },
            words,
        ];
        Row::of(format!("alarm-{name}"), &instance_link(&name), &cells)
    });
    let rows: Vec<Row> = rows.collect();
    let more = rest(unwell.in_alarm, rows.len(), "in-alarm");
    let columns = ["Instance", "Since", "What was sent", "Command"];
    Block::table_with(
        "alarms",
        "Alarms",
        &columns,
        rows,
        "No instance is in alarm.",
        &more,
    )
}

fn bounces(unwell: &SearchResponse) -> Block {
    let rows = unwell.instances.iter().filter(|one| is_bouncing(one));
    let rows: Vec<Row> = rows.map(bounce).collect();
    let more = rest(unwell.bouncing, rows.len(), "bouncing");
    let columns = [
        "Instance",
        "State",
        "New",
        "Old",
        "Floor",
        "Last step",
        "Deadline",
        "Command",
    ];
    Block::table_with(
        "bounces",
        "Bounces",
        &columns,
        rows,
        "No bounce is under way.",
        &more,
    )
}

fn bounce(one: &InstanceStatus) -> Row {
    let name = name_of(one);
    let bounce = one.bounce.clone().unwrap_or_default();
    let state = match BounceState::try_from(bounce.state) {
        Ok(BounceState::Held) => badge(Tone::Bad, "held"),
        Ok(BounceState::Overdue) => badge(Tone::Waits, "overdue"),
        Ok(BounceState::RollingBack) => badge(Tone::Moving, "rolling back"),
        Ok(BounceState::Going | BounceState::Unspecified) => badge(Tone::Moving, "going"),
        Err(_) => badge(Tone::Waits, &shown::<BounceState>(bounce.state)),
    };
    let state = html! { (state) " " (shown::<BounceMethod>(one.bounce_method)) };
    let new = parts::progress(
        "new replicas that are happy",
        bounce.new_happy,
        bounce.new_wanted,
    );
    let deadline = html! {
        @match bounce.deadline_ms {
            Some(at) => { (moment(at)) ", then " (action(bounce.on_deadline)) }
            None => "none",
        }
    };
    let cells = [
        state,
        new,
        html! { (bounce.old_happy) " of " (bounce.old_total) " happy" },
        html! { (floor(one)) " happy" },
        moment(bounce.last_progress_at_ms),
        deadline,
        command(&format!("paasta bounce status {name}")),
    ];
    Row::of(format!("bounce-{name}"), &instance_link(&name), &cells)
}

/// What is not as wanted and does not bounce.
fn waits(unwell: &SearchResponse) -> Block {
    let others = unwell.instances.iter().filter(|one| !is_bouncing(one));
    let rows = others.map(|one| {
        let name = name_of(one);
        let why = html! {
            @match (one.waiting.first(), one.problems.first()) {
                (Some(first), _) => (waiting(first)),
                (None, Some(problem)) => (problem.message),
                (None, None) => "",
            }
        };
        let cells = [
            parts::state(one),
            why,
            command(&format!("paasta why {name}")),
        ];
        Row::of(format!("waits-{name}"), &instance_link(&name), &cells)
    });
    let rows: Vec<Row> = rows.collect();
    let columns = ["Instance", "State", "What it waits for", "Command"];
    let all = unwell.not_as_wanted.saturating_sub(unwell.bouncing);
    let more = rest(all, rows.len(), "not-as-wanted");
    let empty = "No other instance is out of order.";
    Block::table_with("waits", "Not as wanted", &columns, rows, empty, &more)
}

/// A link to those that are not listed.
fn rest(all: u32, listed: usize, state: &str) -> Markup {
    let listed = u32::try_from(listed).unwrap_or(u32::MAX);
    match all.saturating_sub(listed) {
        0 => html! {},
        more => html! { p { a href={ "/services?state=" (state) } { "and " (more) " more" } } },
    }
}

fn host_rows(cluster: &MetastatusResponse, hosts: &[&HostStatus]) -> Block {
    let rows = hosts.iter().take(HOSTS_MAX).map(|host| {
        let (tone, word) = host_state(host);
        let head = html! { a href={ "/hosts?host=" (host.id) } { (host.id) } };
        let command = match host.state() {
            HostState::Draining => format!("paasta maintenance status {}", host.id),
            HostState::Lost => format!("paasta maintenance remove {}", host.id),
            HostState::Up => "paasta metastatus -vvv".to_owned(),
            HostState::Unknown | HostState::Silent | HostState::Unspecified => {
                "paasta brake status".to_owned()
            }
        };
        let cells = [
            badge(tone, &word),
            html! { (host.pool) },
            html! { (host.replicas) },
            moment(host.last_seen_ms.unwrap_or_default()),
            html! { (host.runtime_degraded) },
            parts::command(&command),
        ];
        Row::of(format!("host-{}", host.id), &head, &cells)
    });
    let rows: Vec<Row> = rows.collect();
    let more = match hosts.len().saturating_sub(rows.len()) {
        0 => html! {},
        more => html! { p { a href="/hosts" { "and " (count_of(more, "more host")) } } },
    };
    let columns = [
        "Host",
        "State",
        "Pool",
        "Replicas",
        "Last heard of",
        "What fails",
        "Command",
    ];
    let leads = cluster.stale.as_ref().is_none_or(|stale| stale.leads);
    let empty = match (leads, cluster.hosts.is_empty()) {
        (_, true) => "There is no host.",
        (true, false) => "Every host is up.",
        (false, false) => "Hosts report to the leader only: whether they are up is not known here.",
    };
    Block::table_with("troubled-hosts", "Hosts", &columns, rows, empty, &more)
}

/// The versions of agents beside that of the coordinators, where they differ.
fn versions(cluster: &MetastatusResponse) -> Block {
    let mut agents: BTreeMap<&str, u32> = BTreeMap::new();
    for host in cluster
        .hosts
        .iter()
        .filter(|host| host.state() != HostState::Lost)
    {
        *agents.entry(&host.agent_version).or_default() += 1;
    }
    let mixed = agents.keys().any(|version| *version != cluster.version);
    let html = html! {
        section #versions aria-label="Versions" {
            @if mixed {
                p {
                    (badge(Tone::Waits, "Versions differ")) ": coordinators " (cluster.version)
                    @for (version, hosts) in &agents { "; agents " (version) " on " (count(*hosts, "host")) }
                    "."
                }
            } @else {
                p.aside { "Coordinators and agents run version " (cluster.version) "." }
            }
        }
    };
    Block::plain("versions", html)
}
