//! The answer to `paasta why`: first the reasons, then the whole status, then what happened.

use paasta_proto::v1::{Event, InstanceStatus, ReplicaClass, ReplicaStatus, WhyResponse};

use super::{View, events, lines::Lines, problem, replicas, repository, status, time, waiting};
use crate::{exit::Exit, verdict::instance};

/// Lines of a screen: what is said of an instance that is as wanted fits in so many.
const SCREEN: usize = 24;
/// Replicas listed of such an instance, at most.
const REPLICAS: usize = 5;
/// Lines that are kept for the events.
const EVENTS: usize = 7;

/// Renders the whole answer.
pub fn render(response: &WhyResponse, view: &View) -> String {
    let Some(one) = &response.status else {
        return String::new();
    };
    match instance::exit(one) {
        Exit::Ok if !view.full => healthy(response, one, view),
        _ => whole(response, one, view),
    }
}

/// An instance that is as wanted: on one screen.
fn healthy(response: &WhyResponse, one: &InstanceStatus, view: &View) -> String {
    let mut lines = Lines::new(view);
    lines.raw(&format!("{}.{} is as wanted.", one.service, one.instance));
    reasons(&mut lines, response, one);
    lines.raw("");
    let rest = unsaid(one);
    status::summary(&mut lines, &rest, response.now_ms);
    let head = lines.finish();
    let room = SCREEN.saturating_sub(head.lines().count() + EVENTS);
    let listed = (0..=REPLICAS).rev().map(|most| {
        let listed = replicas_of(&rest, most, response.now_ms, view);
        (most, listed)
    });
    let mut fits = listed.filter(|(most, text)| *most == 0 || text.lines().count() <= room);
    let text = head + &fits.next().map(|(_, text)| text).unwrap_or_default();
    // An empty line and the heading.
    let room = SCREEN.saturating_sub(text.lines().count() + 2);
    text + &happened(&response.events, Some(room), view)
}

/// So many replicas, those that are not happy in front, and how many more there are.
fn replicas_of(one: &InstanceStatus, most: usize, now_ms: u64, view: &View) -> String {
    let mut all: Vec<&ReplicaStatus> = one.replicas.iter().collect();
    // The sort is stable.
    all.sort_by_key(|replica| replica.class() == ReplicaClass::Happy);
    let shown: Vec<ReplicaStatus> = all.iter().take(most).map(|one| (*one).clone()).collect();
    let mut lines = Lines::new(view);
    if !shown.is_empty() {
        replicas::add(&mut lines, 4, &shown, now_ms);
    }
    let more = all.len() - shown.len();
    if more > 0 {
        let which = format!("paasta status -s {} -i {} -v", one.service, one.instance);
        let also = if shown.is_empty() {
            " replicas"
        } else {
            " more replicas"
        };
        lines.add("    ", &format!("{more}{also}: {which}"), 6);
    }
    lines.finish()
}

fn whole(response: &WhyResponse, one: &InstanceStatus, view: &View) -> String {
    let mut lines = Lines::new(view);
    let state = match instance::exit(one) {
        Exit::Ok => "is as wanted.",
        _ => "is not as wanted:",
    };
    lines.raw(&format!("{}.{} {state}", one.service, one.instance));
    reasons(&mut lines, response, one);
    status::instance(&mut lines, &unsaid(one), response.now_ms);
    lines.finish() + &happened(&response.events, None, view)
}

/// Adds what it waits for, what is wrong with its files, and what the hosts say.
fn reasons(lines: &mut Lines<'_>, response: &WhyResponse, one: &InstanceStatus) {
    let view = lines.view();
    repository::add(lines, 2, one, response.now_ms);
    problem::add(lines, 2, &one.problems);
    let problems = !one.problems.is_empty();
    waiting::add(lines, 2, &one.waiting, problems, response.now_ms);
    if one.desired_app.is_empty() && one.problems.is_empty() && one.repository.is_none() {
        let text = "nothing was ever deployed: mark a commit by `paasta mark-for-deployment`";
        lines.add("  - ", text, 4);
    }
    let speaks = |replica: &&ReplicaStatus| !replica.message.is_empty();
    for replica in one.replicas.iter().filter(speaks) {
        let next = replica.next_try_at_ms.map_or_else(String::new, |at| {
            format!("; next try {}", time::distance(at, response.now_ms))
        });
        let message = view.said(&replica.message);
        let text = format!("{} on {}: {message}{next}", replica.id, replica.host);
        lines.add("  - ", &text, 4);
    }
}

/// The status without what the reasons say.
fn unsaid(one: &InstanceStatus) -> InstanceStatus {
    let mut rest = one.clone();
    rest.waiting.clear();
    rest.problems.clear();
    if !repository::is_silent(one) {
        rest.repository = None;
    }
    for replica in &mut rest.replicas {
        if replica.message == replica.last_end_text {
            replica.last_end = None;
        }
        replica.message.clear();
    }
    rest
}

/// The events, the newest of them that have room in so many lines; at least one.
fn happened(all: &[Event], room: Option<usize>, view: &View) -> String {
    if all.is_empty() {
        return String::new();
    }
    let text = |events: &[Event]| {
        let mut lines = Lines::new(view);
        lines.raw("");
        lines.raw("What happened:");
        events::add(&mut lines, 2, events);
        lines.finish()
    };
    let fits = |from: &usize| match room {
        Some(room) => text(&all[*from..]).lines().count() <= room + 2,
        None => true,
    };
    let from = (0..all.len()).find(fits).unwrap_or(all.len() - 1);
    text(&all[from..])
}

#[cfg(test)]
mod tests;
