//! How old an answer is that does not come from the leader.

use paasta_proto::v1::Stale;

use super::{View, lines::Lines, time::span};

/// A line that says as of when the answer is; nothing for one that the leader gives.
pub fn line(stale: Option<&Stale>, view: &View) -> String {
    let Some(stale) = stale.filter(|stale| !stale.leads) else {
        return String::new();
    };
    let heard = match stale.heard_ms {
        Some(ms) => format!("as of {} ago, when it last heard of a leader", span(ms)),
        None => {
            "as of an unknown time: it has heard of no other leader since it started".to_owned()
        }
    };
    let text = format!(
        "Stale: coordinator {} answers {heard} (log index {}). Hosts report to the leader only: \
         how what runs is now is not known here.",
        stale.coordinator, stale.applied_index
    );
    let mut lines = Lines::new(view);
    lines.add("", &text, 2);
    lines.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_answer_says_as_of_when() {
        let view = View::of_width(200);
        let mut stale = Stale {
            coordinator: 2,
            leads: false,
            heard_ms: Some(34_000),
            applied_index: 9,
        };
        assert!(
            line(Some(&stale), &view).starts_with("Stale: coordinator 2 answers as of 34s ago"),
            "{}",
            line(Some(&stale), &view)
        );
        stale.heard_ms = None;
        assert!(line(Some(&stale), &view).contains("no other leader since it started"));
        stale.leads = true;
        assert_eq!(line(Some(&stale), &view), "");
        assert_eq!(line(None, &view), "");
    }
}
