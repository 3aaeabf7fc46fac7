//! The hosts: how full each pool and location is, a grid with a cell for each host, and everything
//! about the one that is chosen.

use maud::{Markup, html};
use paasta_common::text::count_of;
use paasta_proto::{
    v1::{DiskLimits, HostState, HostStatus, MetastatusResponse},
    verdict::groups::groups,
    words::{Words as _, shown},
};

use super::{host_state, link, percent};
use crate::dashboard::{
    page::{Block, Page, Row},
    parts::{badge, command, moment},
    place::Hosts,
    read::Standing,
};

/// The attribute that says where a host is.
const LOCATION: &str = "region";
/// The location of a host without the attribute.
const NOWHERE: &str = "unknown";
/// Cells of one page, at most.
const CELLS_MAX: usize = 400;

/// Lays it out.
pub(in crate::dashboard) fn page(
    standing: Standing,
    asked: &Hosts,
    cluster: &MetastatusResponse,
) -> Page {
    let mut chosen: Vec<&HostStatus> = cluster
        .hosts
        .iter()
        .filter(|host| fits(host, asked))
        .collect();
    // Hosts of one pool and location stand together.
    chosen.sort_by_key(|host| key(host));
    let blocks = vec![
        Block::plain("search", form(asked)),
        Block::plain("host", one(asked, cluster)),
        grid(asked, &chosen),
        locations(cluster),
    ];
    Page::new("Hosts", "/hosts", standing, blocks)
}

fn location(host: &HostStatus) -> &str {
    host.attributes
        .get(LOCATION)
        .map_or(NOWHERE, String::as_str)
}

/// By what hosts are sorted, as a text that a URL can hold.
fn key(host: &HostStatus) -> String {
    format!("{}/{}/{}", host.pool, location(host), host.id)
}

fn fits(host: &HostStatus, asked: &Hosts) -> bool {
    let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
    is(&asked.pool, &host.pool)
        && is(&asked.location, location(host))
        && is(&asked.state, &host_state(host).1)
}

fn form(asked: &Hosts) -> Markup {
    let states = [
        HostState::Up,
        HostState::Unknown,
        HostState::Draining,
        HostState::Lost,
    ];
    let states = states.map(HostState::word).into_iter().chain(["degraded"]);
    html! {
        form #search action="/hosts" method="get" role="search" {
            label { "Pool" input name="pool" value=(asked.pool) maxlength="200"; }
            label { "Location" input name="location" value=(asked.location) maxlength="200"; }
            label { "State" select name="state" {
                option value="" { "all" }
                @for word in states { option value=(word) selected[word == asked.state] { (word) } }
            } }
            button { "Show" }
        }
    }
}

fn grid(asked: &Hosts, chosen: &[&HostStatus]) -> Block {
    let later = chosen
        .iter()
        .filter(|host| asked.after.is_empty() || key(host) > asked.after);
    let shown: Vec<&HostStatus> = later.copied().take(CELLS_MAX).collect();
    let end = shown.last().map(|host| key(host));
    let more = chosen.last().map(|host| key(host)) > end;
    let rows: Vec<Row> = shown.iter().map(|host| cell(host)).collect();
    let words = match rows.is_empty() {
        true => "No host fits.".to_owned(),
        false => format!(
            "{} of {}: each cell has the state and how many percent of CPU are given out.",
            rows.len(),
            count_of(chosen.len(), "host")
        ),
    };
    let before = html! {
        h2 #grid-title { "Hosts" }
        p.aside { (words) }
    };
    let before = format!(
        r#"<section id="grid" aria-labelledby="grid-title">{}<ul class="cells">"#,
        before.into_string()
    );
    let url = |after: &str| {
        let filters = [
            ("pool", asked.pool.as_str()),
            ("location", &asked.location),
            ("state", &asked.state),
            ("after", after),
        ];
        link("/hosts", &filters)
    };
    let after = html! {
        nav aria-label="More hosts" { ul.filters {
            @if !asked.after.is_empty() { li { a href=(url("")) { "First page" } } }
            @if more { li { a rel="next" href=(url(&end.unwrap_or_default())) { "Next page" } } }
        } }
        p { (command("paasta metastatus -vvv")) }
    };
    let after = format!("</ul>{}</section>", after.into_string());
    Block::around("grid", before, rows, after)
}

fn cell(host: &HostStatus) -> Row {
    let (tone, word) = host_state(host);
    let used = host.used.unwrap_or_default().cpus_milli;
    let share = percent(used, host.capacity.unwrap_or_default().cpus_milli);
    let id = format!("cell-{}", host.id);
    let label = format!("{}: {word}, {share} % of CPU", host.id);
    let element = html! {
        li id=(id) { a.(tone.class()) href={ "/hosts?host=" (host.id) } aria-label=(label) title=(label) {
            (tone.shape()) " " (share)
        } }
    };
    Row::element(id, element)
}

/// Everything about the host that is chosen.
fn one(asked: &Hosts, cluster: &MetastatusResponse) -> Markup {
    let found = cluster.hosts.iter().find(|host| host.id == asked.host);
    html! {
        section #host aria-label="The chosen host" {
            @match (found, asked.host.is_empty()) {
                (None, true) => {},
                (None, false) => { p { "There is no host " code { (asked.host) } "." } },
                (Some(host), _) => { (facts(host)) },
            }
        }
    }
}

fn facts(host: &HostStatus) -> Markup {
    let (tone, word) = host_state(host);
    let (used, has) = (
        host.used.unwrap_or_default(),
        host.capacity.unwrap_or_default(),
    );
    let attributes = host
        .attributes
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let attributes: Vec<String> = attributes.collect();
    html! {
        h2 { (host.id) }
        dl {
            dt { "State" } dd { (badge(tone, &word)) @if !host.runtime_degraded.is_empty() {
                ": " (host.runtime_degraded) ", since " (moment(host.runtime_degraded_since_ms))
            } }
            dt { "Address" } dd { code { (host.address) } @if !host.rival_address.is_empty() {
                "; a second machine at " (host.rival_address) " is refused under this id"
            } }
            dt { "Pool" } dd { (host.pool) }
            dt { "Attributes" } dd { (attributes.join(", ")) }
            dt { "Replicas" } dd { (host.replicas) }
            dt { "CPU" } dd { (used.cpus_milli) " of " (has.cpus_milli) " thousandths (" (percent(used.cpus_milli, has.cpus_milli)) " %)" }
            dt { "Memory" } dd { (used.mem_mb) " of " (has.mem_mb) " MiB (" (percent(used.mem_mb, has.mem_mb)) " %)" }
            dt { "Disk" } dd { (used.disk_mb) " of " (has.disk_mb) " MiB; limits " (shown::<DiskLimits>(host.disk_limits)) }
            dt { "Last heard of" } dd { (moment(host.last_seen_ms.unwrap_or_default())) }
            @if let Some(ahead) = host.clock_ahead_ms { dt { "Clock" } dd { (ahead) " ms ahead" } }
            dt { "Agent" } dd { "version " (host.agent_version) }
        }
        p { (command(&format!("paasta maintenance drain {}", host.id))) " "
            (command(&format!("paasta maintenance undrain {}", host.id))) }
    }
}

/// A row for each pool and location.
fn locations(cluster: &MetastatusResponse) -> Block {
    let names = ["pool".to_owned(), LOCATION.to_owned()];
    let rows = groups(&cluster.hosts, &names).into_iter().map(|group| {
        let [pool, place] = group.values.as_slice() else {
            return Row::element("group".to_owned(), html! {});
        };
        let share = |used: u64, has: u64| html! { (percent(used, has)) " %" };
        let (used, has) = (group.used, group.capacity);
        let href = link("/hosts", &[("pool", pool), ("location", place)]);
        let cells = [
            html! { (place) },
            html! { (group.up) " of " (group.hosts) },
            share(used.cpus_milli, has.cpus_milli),
            share(used.mem_mb, has.mem_mb),
            share(used.disk_mb, has.disk_mb),
        ];
        let head = html! { a href=(href) { (pool) } };
        Row::of(format!("group-{pool}-{place}"), &head, &cells)
    });
    let columns = ["Pool", "Location", "Hosts up", "CPU", "Memory", "Disk"];
    Block::table(
        "locations",
        "Pools and locations",
        &columns,
        rows.collect(),
        "There is no host.",
    )
}
