//! The history of an instance: when and by whom, what changed, which tags and fields say so.

use paasta_proto::v1::{Change, HistoryResponse};

use super::{Tone, View, lines::Lines, plain, time};

/// The changes, oldest first.
pub fn render(answer: &HistoryResponse, view: &View) -> String {
    let mut lines = Lines::new(view);
    for change in &answer.changes {
        let at = view.paint(Tone::Faint, &time::moment(change.at_ms, view));
        lines.add(&format!("{at} "), &text(change), 4);
    }
    lines.finish()
}

fn text(change: &Change) -> String {
    let kinds = change.kinds.join(", ");
    let mut text = format!("[{}] {}", plain(&kinds), plain(&change.text));
    if let Some(short) = change.git_sha.get(..8) {
        text.push_str(&format!("; at {short}"));
    }
    for (what, names) in [("by tag", &change.tags), ("changed", &change.fields)] {
        if !names.is_empty() {
            text.push_str(&format!("; {what} {}", plain(&names.join(", "))));
        }
    }
    text.push_str(&format!(" (by {})", plain(&change.by)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

    #[test]
    fn a_change_tells_who_when_and_by_what() {
        let change = Change {
            at_ms: 1_763_903_405_000,
            by: "ada@devbox".to_owned(),
            kinds: vec!["deploy".to_owned()],
            git_sha: "3f2a9c0d".repeat(5),
            tags: vec!["paasta-all-20251123T131000-deploy".to_owned()],
            fields: vec!["mem".to_owned()],
            text: "a -> b".to_owned(),
            ..Change::default()
        };
        let answer = HistoryResponse {
            changes: vec![change],
            ..HistoryResponse::default()
        };
        assert_eq!(
            render(&answer, &view_80()),
            "2025-11-23 13:10:05 [deploy] a -> b; at 3f2a9c0d; by tag\n    \
             paasta-all-20251123T131000-deploy; changed mem (by ada@devbox)\n"
        );
    }
}
