//! A cluster without a leader.

use std::collections::BTreeSet;

use paasta_proto::{v1::NodeRole, words::shown};

use crate::cmd::quorum::Lost;

/// The coordinators that answer and that do not, what goes on, and what to do.
pub fn render(lost: &Lost) -> String {
    let (answered, all) = lost.count();
    let quorum = all / 2 + 1;
    let mut text = format!(
        "no leader: {answered} of {all} coordinators {}, and {quorum} must run and reach each \
         other",
        match answered {
            1 => "answers",
            _ => "answer",
        }
    );
    for (address, answer) in &lost.answers {
        text.push_str(&match answer {
            Ok(node) => format!(
                "\n  {} at {address}: {}, term {}, has applied {}",
                node.id,
                shown::<NodeRole>(node.role),
                node.term,
                node.applied_index
            ),
            Err(words) => {
                let id = lost.voters.iter().find(|(_, at)| *at == address);
                let id = id.map_or(String::new(), |(id, _)| format!("{id} at "));
                format!("\n  {id}{address}: does not answer: {words}")
            }
        });
    }
    text.push_str(
        "\nWhat runs on the hosts goes on: agents check and restart it by themselves. Nothing is \
         deployed,\nscaled, moved or replaced until there is a leader.",
    );
    text.push_str("\nNext: ");
    let away = away(lost);
    match answered >= quorum {
        true => text.push_str(
            "an election takes a second or two; if this lasts, look at the network between them \
             and\nat their logs",
        ),
        false if away.is_empty() => {
            text.push_str("start the others (systemctl start paasta-coordinator)")
        }
        false => text.push_str(&format!(
            "start {} (systemctl start paasta-coordinator there)",
            away.join(" and ")
        )),
    }
    text.push_str(
        "; `--stale` (status, list, metastatus)\nshows what a coordinator knew last; where more \
         than half are gone for good, see\n`paasta-coordinator recover --help`.",
    );
    text
}

/// The members that do not answer.
fn away(lost: &Lost) -> Vec<String> {
    let here: BTreeSet<u64> = lost.nodes().map(|node| node.id).collect();
    let away = lost.voters.iter().filter(|(id, _)| !here.contains(id));
    away.map(|(id, address)| format!("{id} ({address})"))
        .collect()
}

#[cfg(test)]
mod tests {
    use paasta_proto::v1::NodeResponse;

    use super::*;

    #[test]
    fn who_answers_and_what_goes_on_is_said() {
        let node = NodeResponse {
            id: 2,
            role: NodeRole::Candidate.into(),
            term: 7,
            applied_index: 40,
            ..NodeResponse::default()
        };
        let refused = || Err("Connection refused".to_owned());
        let lost = Lost {
            answers: [
                ("h:1".to_owned(), refused()),
                ("h:2".to_owned(), Ok(node)),
                ("h:3".to_owned(), refused()),
            ]
            .into(),
            voters: [(1, "h:1"), (2, "h:2"), (3, "h:3")]
                .map(|(id, at)| (id, at.to_owned()))
                .into(),
        };
        let text = render(&lost);
        for words in [
            "no leader: 1 of 3 coordinators answers, and 2 must run and reach each other\n",
            "  1 at h:1: does not answer: Connection refused\n",
            "  2 at h:2: candidate, term 7, has applied 40\n",
            "What runs on the hosts goes on",
            "Next: start 1 (h:1) and 3 (h:3) (systemctl",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
