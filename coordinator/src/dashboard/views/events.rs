//! What happened: the events that the cluster keeps, the newest first.

use maud::html;
use paasta_proto::{
    v1::{Event, EventKind},
    words::shown,
};

use crate::dashboard::{
    page::{Block, Page, Row},
    parts::{command, instance_link, moment},
    place::Events,
    read::Standing,
};

/// Lays it out.
pub(in crate::dashboard) fn page(standing: Standing, asked: &Events, events: &[Event]) -> Page {
    let form = html! {
        form #search action="/events" method="get" role="search" {
            label { "Service or instance" input type="search" name="i" value=(asked.i) maxlength="200"; }
            button { "Show" }
        }
    };
    let same = match asked.i.as_str() {
        "" => "paasta events -f".to_owned(),
        name => format!("paasta events -i '{}' -f", name.replace('\'', "")),
    };
    let blocks = vec![
        Block::plain("search", form),
        block(events, "Newest first", &same),
    ];
    Page::new("Events", "/events", standing, blocks)
}

/// The events as a block; `same` is the command that shows them.
pub(super) fn block(events: &[Event], heading: &str, same: &str) -> Block {
    let mut rows = Vec::new();
    // Several may be of one record of the log.
    let mut nth = (0, 0);
    for event in events {
        nth = match nth {
            (index, count) if index == event.index => (index, count + 1),
            _ => (event.index, 0),
        };
        rows.push(row(event, nth.1));
    }
    rows.reverse();
    let columns = ["When", "Kind", "About", "What happened", "By"];
    let below = html! { p { (command(same)) } };
    Block::table_with(
        "events",
        heading,
        &columns,
        rows,
        "No event is kept.",
        &below,
    )
}

fn row(event: &Event, nth: u32) -> Row {
    let instance = html! {
        @if event.instance.contains('.') { (instance_link(&event.instance)) } @else { (event.instance) }
    };
    let about = html! {
        (instance)
        @if !event.instance.is_empty() && !event.host.is_empty() { " on " }
        @if !event.host.is_empty() { a href={ "/hosts?host=" (event.host) } { (event.host) } }
    };
    let cells = [
        html! { (shown::<EventKind>(event.kind)) },
        about,
        html! { (event.text) },
        html! { (event.by) },
    ];
    Row::of(
        format!("event-{}-{nth}", event.index),
        &moment(event.at_ms),
        &cells,
    )
}
