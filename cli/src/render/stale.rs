//! How old an answer is that does not come from the leader.

use paasta_proto::v1::Stale;

use super::time::span;

/// A line that says as of when the answer is; nothing for one that the leader gives.
pub fn line(stale: Option<&Stale>) -> String {
    let Some(stale) = stale.filter(|stale| !stale.leads) else {
        return String::new();
    };
    let heard = match stale.heard_ms {
        Some(ms) => format!("as of {} ago, when it last heard of a leader", span(ms)),
        None => {
            "as of an unknown time: it has heard of no other leader since it started".to_owned()
        }
    };
    format!(
        "Stale: coordinator {} answers {heard} (log index {}). Hosts report to the leader only:\n\
         how what runs is now is not known here.\n",
        stale.coordinator, stale.applied_index
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_answer_says_as_of_when() {
        let mut stale = Stale {
            coordinator: 2,
            leads: false,
            heard_ms: Some(34_000),
            applied_index: 9,
        };
        assert!(
            line(Some(&stale)).starts_with("Stale: coordinator 2 answers as of 34s ago"),
            "{}",
            line(Some(&stale))
        );
        stale.heard_ms = None;
        assert!(line(Some(&stale)).contains("no other leader since it started"));
        stale.leads = true;
        assert_eq!(line(Some(&stale)), "");
        assert_eq!(line(None), "");
    }
}
