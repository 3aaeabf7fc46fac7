//! What is waited for: the reason, since when, until when, and what happens then.

use paasta_proto::{
    v1::{Waiting, WaitingKind},
    words::shown,
};

use super::{lines::Lines, plain, time};

/// Adds one bullet per thing waited for, `indent` columns in.
pub fn add(lines: &mut Lines<'_>, indent: usize, waiting: &[Waiting], now_ms: u64) {
    let bullet = format!("{:indent$}- ", "");
    for one in waiting {
        lines.add(&bullet, &sentence(one, now_ms), indent + 2);
        let reasons = one
            .refusals
            .iter()
            .map(|(reason, hosts)| format!("{hosts} {}", plain(reason)));
        let reasons: Vec<String> = reasons.collect();
        if !reasons.is_empty() {
            let first = format!("{:indent$}    hosts that refuse: ", "");
            lines.add(&first, &reasons.join(", "), indent + 6);
        }
    }
}

fn sentence(one: &Waiting, now_ms: u64) -> String {
    let kind = shown::<WaitingKind>(one.kind);
    let mut text = match one.what.is_empty() {
        true => kind.into_owned(),
        false => format!("{kind}: {}", plain(&one.what)),
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
        more.push(format!("then: {}", plain(&one.then)));
    }
    if !more.is_empty() {
        text.push_str(&format!(" ({})", more.join("; ")));
    }
    text
}
