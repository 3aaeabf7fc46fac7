//! What is waited for: the reason, since when, until when, and what happens then.

use paasta_proto::{
    v1::{Waiting, WaitingKind},
    words::shown,
};

use super::{View, lines::Lines, time};

/// Adds one bullet per thing waited for, `indent` columns in. `problems` says that the problems of
/// the configuration are listed beside it.
pub fn add(lines: &mut Lines<'_>, indent: usize, waiting: &[Waiting], problems: bool, now_ms: u64) {
    let bullet = format!("{:indent$}- ", "");
    for one in waiting {
        let view = lines.view();
        let what = what(one, problems, view);
        lines.add(&bullet, &sentence(one, &what, now_ms), indent + 2);
        let unsaid = one.refusals.iter().filter(|(why, _)| !what.contains(*why));
        let reasons: Vec<String> = unsaid
            .map(|(reason, hosts)| format!("{hosts} {}", view.said(reason)))
            .collect();
        if !reasons.is_empty() {
            let first = format!("{:indent$}    hosts that refuse: ", "");
            lines.add(&first, &reasons.join(", "), indent + 6);
        }
    }
}

/// What is waited for, without what its surroundings say already.
fn what(one: &Waiting, problems: bool, view: &View) -> String {
    match one.kind() {
        WaitingKind::Config if problems => "the configuration has errors".to_owned(),
        _ => {
            let text = view.said(&one.what);
            let bare = text.strip_prefix("waiting for ");
            bare.map(ToOwned::to_owned).unwrap_or(text)
        }
    }
}

/// The same in a few words: what is waited for, without times.
pub fn brief(one: &Waiting, view: &View) -> String {
    match view.said(&one.what) {
        what if what.is_empty() => shown::<WaitingKind>(one.kind).into_owned(),
        what => what,
    }
}

fn sentence(one: &Waiting, what: &str, now_ms: u64) -> String {
    let kind = shown::<WaitingKind>(one.kind);
    let begin = format!("{kind}:");
    let mut text = match what {
        "" => kind.into_owned(),
        // Some say their kind themselves.
        what if what.starts_with(&begin) => what.to_owned(),
        what => format!("{begin} {what}"),
    };
    let mut more = Vec::new();
    if one.since_ms > 0 {
        more.push(format!(
            "for {}",
            time::span(now_ms.saturating_sub(one.since_ms))
        ));
    }
    if let Some(deadline) = one.deadline_ms {
        more.push(match deadline > now_ms {
            true => format!("at most {} more", time::span(deadline - now_ms)),
            false => format!("{} over time", time::span(now_ms - deadline)),
        });
    }
    if !one.then.is_empty() {
        more.push(format!("then: {}", super::plain(&one.then)));
    }
    if !more.is_empty() {
        text.push_str(&format!(" ({})", more.join("; ")));
    }
    text
}
