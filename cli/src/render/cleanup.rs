//! What a cleanup removes, or would.

use paasta_common::text::count;
use paasta_proto::{
    v1::{CleanupResponse, RemovalReason, RequestOutcome},
    words::shown,
};

use super::{
    Tone, View,
    lines::Lines,
    plain,
    table::{field, table},
    time,
};

/// Renders the instances and what becomes of them.
pub fn render(answer: &CleanupResponse, view: &View) -> String {
    let mut lines = Lines::new(view);
    if !answer.instances.is_empty() {
        let rows = answer.instances.iter().map(|one| {
            let when = one
                .removed_at_ms
                .map_or_else(|| "held back".to_owned(), |at| time::moment(at, view));
            vec![
                field(&one.instance),
                field(shown::<RemovalReason>(one.why)),
                field(one.replicas),
                field(when),
            ]
        });
        let head = ["INSTANCE", "WHY", "REPLICAS", "REMOVED AT"];
        lines.block(0, &table(view, 0, &head, rows.collect()));
        let number = answer.instances.len();
        lines.raw(&format!("{number} of {}", count(answer.total, "instance")));
    }
    let first = match RequestOutcome::try_from(answer.outcome) {
        Ok(RequestOutcome::Refused) => format!("{} - ", view.paint(Tone::Bad, "REFUSED")),
        Ok(
            RequestOutcome::Done
            | RequestOutcome::Unchanged
            | RequestOutcome::Planned
            | RequestOutcome::Unspecified,
        ) => String::new(),
        Err(_) => format!("{} - ", shown::<RequestOutcome>(answer.outcome)),
    };
    lines.add(&first, &plain(&answer.text), 0);
    lines.finish()
}

#[cfg(test)]
mod tests {
    use paasta_proto::v1::RemovedInstance;

    use super::*;
    use crate::render::view_80;

    #[test]
    fn a_refusal_names_everything_that_would_go() {
        let gone = RemovedInstance {
            instance: "hello.main".to_owned(),
            why: RemovalReason::Undeployed.into(),
            why_word: String::new(),
            replicas: 3,
            removed_at_ms: None,
        };
        let answer = CleanupResponse {
            outcome: RequestOutcome::Refused.into(),
            outcome_word: String::new(),
            text: "more than half".to_owned(),
            instances: vec![gone],
            total: 1,
        };
        let wanted = "\
INSTANCE    WHY         REPLICAS  REMOVED AT
hello.main  undeployed  3         held back
1 of 1 instance
REFUSED - more than half
";
        assert_eq!(render(&answer, &view_80()), wanted);
    }
}
