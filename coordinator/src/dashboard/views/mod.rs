//! The pages, a file each. A view is a function of answers: it asks for nothing, and decides nothing
//! that the answers or `paasta_proto::verdict` do not say.

pub(super) mod cluster;
pub(super) mod events;
pub(super) mod hosts;
pub(super) mod instance;
pub(super) mod now;
pub(super) mod services;

use maud::{Markup, html};
use paasta_proto::{
    v1::{DeadlineAction, HostState, HostStatus, Waiting, WaitingKind},
    words::shown,
};

use super::parts::{self, Tone};

/// What is waited for, since when, until when and what comes then.
fn waiting(one: &Waiting) -> Markup {
    let kind = shown::<WaitingKind>(one.kind);
    html! {
        @if one.what.is_empty() { (kind) } @else { (one.what) }
        @if one.since_ms > 0 { ", since " (parts::moment(one.since_ms)) }
        @if let Some(at) = one.deadline_ms { ", until " (parts::moment(at)) }
        @if !one.then.is_empty() { "; then: " (one.then) }
    }
}

/// What happens at a deadline.
fn action(value: i32) -> String {
    shown::<DeadlineAction>(value).replace('_', " ")
}

/// How a host stands; one whose runtime or disk fails is degraded.
fn host_state(host: &HostStatus) -> (Tone, String) {
    let word = shown::<HostState>(host.state).into_owned();
    match host.state() {
        HostState::Up if !host.runtime_degraded.is_empty() => (Tone::Bad, "degraded".to_owned()),
        HostState::Up => (Tone::Good, word),
        HostState::Lost => (Tone::Bad, word),
        HostState::Draining => (Tone::Moving, word),
        HostState::Unknown | HostState::Silent | HostState::Unspecified => (Tone::Waits, word),
    }
}

/// How many percent of something are in use.
fn percent(used: u64, capacity: u64) -> u64 {
    match capacity {
        0 => 0,
        capacity => used.saturating_mul(100) / capacity,
    }
}

/// A path with the filters that are set.
fn link(path: &str, filters: &[(&str, &str)]) -> String {
    let set = filters.iter().filter(|(_, value)| !value.is_empty());
    let set = set.map(|(name, value)| format!("{name}={}", encoded(value)));
    match set.collect::<Vec<_>>() {
        none if none.is_empty() => path.to_owned(),
        some => format!("{path}?{}", some.join("&")),
    }
}

/// The text as a value in a URL: all but letters, digits and `-._` as bytes in hexadecimal.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
