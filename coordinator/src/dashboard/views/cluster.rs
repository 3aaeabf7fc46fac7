//! The coordinators: which leads, how far each is, and what room it has.

use maud::html;
use paasta_common::text::span;
use paasta_proto::{
    v1::{CoordinatorStatus, DataSpace, LinkSpeed, MemberRole, MetastatusResponse},
    verdict::cluster::{Finding, Level},
    words::shown,
};

use super::now::silent;
use crate::dashboard::{
    page::{Block, Page, Row},
    parts::{Tone, badge, command, moment},
    read::Standing,
};

/// A certificate that ends sooner than this should have been renewed, milliseconds.
const ENDS_SOON_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Lays it out. `ends_ms` is when the certificate of this coordinator expires.
pub(in crate::dashboard) fn page(
    standing: Standing,
    cluster: &MetastatusResponse,
    ends_ms: Option<u64>,
) -> Page {
    let silent = silent(cluster);
    let rows = cluster
        .coordinators
        .iter()
        .map(|one| row(one, silent.contains(&one.id)));
    let columns = [
        "Coordinator",
        "Role",
        "Address",
        "Answers",
        "Log up to",
        "Round trip",
        "Data directory",
        "Trouble",
    ];
    let below = html! { p { (command("paasta coordinator list")) } };
    let blocks = vec![
        Block::plain("facts", facts(&standing, cluster, ends_ms)),
        Block::table_with(
            "coordinators",
            "Coordinators",
            &columns,
            rows.collect(),
            "This coordinator is not part of a cluster yet.",
            &below,
        ),
    ];
    Page::new("Coordinators", "/cluster", standing, blocks)
}

/// What is found about the certificate of this coordinator.
pub(super) fn certificate(standing: &Standing, ends_ms: u64) -> Finding {
    let left = ends_ms.saturating_sub(standing.now_ms);
    let (level, left) = match left {
        0 => (Level::Critical, "has expired".to_owned()),
        left if left < ENDS_SOON_MS => (Level::Warning, format!("ends in {}", span(left))),
        left => (Level::Ok, format!("is valid for {}", span(left))),
    };
    Finding {
        subject: "Certificate",
        level,
        text: format!("that of coordinator {} {left}", standing.node),
    }
}

fn facts(standing: &Standing, cluster: &MetastatusResponse, ends_ms: Option<u64>) -> maud::Markup {
    html! {
        section #facts aria-label="The cluster" {
            dl {
                dt { "Cluster" } dd { (cluster.cluster) " (id " code { (cluster.cluster_id) } ", epoch " (cluster.epoch) ")" }
                dt { "Holds" } dd { (cluster.instances) " instances, " (cluster.replicas) " replicas, " (cluster.hosts.len()) " hosts" }
                dt { "Term" } dd { (cluster.term) }
                dt { "Version" } dd { (cluster.version) }
                dt { "Configuration read" } dd { (moment(cluster.desired_read_at_ms))
                    @if !cluster.desired_error.is_empty() { "; the last good one stays: " (cluster.desired_error) } }
                @if let Some(ends) = ends_ms {
                    dt { "Certificate of " (standing.node) } dd { "ends " (moment(ends)) }
                }
            }
        }
    }
}

fn row(one: &CoordinatorStatus, silent: bool) -> Row {
    let role = match one.leader {
        true => badge(Tone::Good, "leader"),
        false => html! { (shown::<MemberRole>(one.role)) },
    };
    let answers = match (silent, one.last_answer_ms) {
        (true, _) => badge(Tone::Bad, "no"),
        (false, Some(_)) => badge(Tone::Good, "yes"),
        (false, None) => html! { "not known" },
    };
    let trip = html! { @if let Some(us) = one.round_trip_us {
        (us / 1_000) "." (us % 1_000 / 100) " ms " (shown::<LinkSpeed>(one.link))
    } };
    let room = html! { @if let (Some(free), Some(total)) = (one.data_free_bytes, one.data_total_bytes) {
        (free >> 20) " of " (total >> 20) " MiB free " (shown::<DataSpace>(one.data_space))
    } };
    let cells = [
        role,
        html! { code { (one.address) } },
        answers,
        html! { @if let Some(index) = one.matched_index { (index) } },
        trip,
        room,
        html! { (one.refused) " " (one.snapshot_error) },
    ];
    Row::of(
        format!("coordinator-{}", one.id),
        &html! { (one.id) },
        &cells,
    )
}
