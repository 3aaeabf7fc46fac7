//! Events, a line each: when, what it is about, what happened.

use paasta_proto::{
    v1::{Event, EventKind},
    words::shown,
};

use super::{Tone, lines::Lines, plain, time};

/// Adds the events, oldest first, `indent` columns in.
pub fn add(lines: &mut Lines<'_>, indent: usize, events: &[Event]) {
    let view = lines.view();
    for event in events {
        let at = view.paint(Tone::Faint, &time::moment(event.at_ms, view));
        let about = [&event.instance, &event.host];
        let about: Vec<&str> = about
            .into_iter()
            .map(String::as_str)
            .filter(|text| !text.is_empty())
            .collect();
        let mut text = format!("[{}]", shown::<EventKind>(event.kind));
        if !about.is_empty() {
            text.push_str(&format!(" {}:", plain(&about.join(" on "))));
        }
        text.push_str(&format!(" {}", view.said(&event.text)));
        if !event.by.is_empty() {
            text.push_str(&format!(" (by {})", plain(&event.by)));
        }
        lines.add(&format!("{:indent$}{at} ", ""), &text, indent + 4);
    }
}
