//! The coordinators as the leader sees them.

use paasta_proto::{
    v1::{ListMembersResponse, Member, MemberRole},
    words::shown,
};

use super::{
    Tone, View, plain,
    table::{Field, field, table},
    time::span,
};

/// After this long without an answer a coordinator counts as silent, in milliseconds.
const SILENT_MS: u64 = 5_000;

/// Renders the cluster and a row per coordinator.
pub fn render(list: &ListMembersResponse, view: &View) -> String {
    let head = [
        "ID", "ADDRESS", "ROLE", "LOG", "LAG", "ANSWERED", "SNAPSHOT",
    ];
    let rows = list.members.iter().map(row).collect();
    let mut text = String::new();
    if !list.cluster.is_empty() {
        text.push_str(&format!(
            "cluster: {} (id {}), epoch {}, term {}\n",
            list.cluster, list.cluster_id, list.epoch, list.term
        ));
    }
    text.push_str(&table(view, 0, &head, rows));
    text.push_str(&format!(
        "{} of the voters may fail{}\n",
        match list.tolerates {
            0 => "none".to_owned(),
            some => some.to_string(),
        },
        match silent(list) {
            0 => String::new(),
            1 => " beside the silent one".to_owned(),
            n => format!(" beside the {n} silent ones"),
        }
    ));
    for member in list.members.iter().filter(|one| !one.refused.is_empty()) {
        let words = format!(
            "coordinator {} takes no part: {}",
            member.id,
            plain(&member.refused)
        );
        text.push_str(&format!("{}\n", view.paint(Tone::Bad, &words)));
    }
    if list.changing {
        let words = "a change of members is not complete: repeat it";
        text.push_str(&format!("{}\n", view.paint(Tone::Bad, words)));
    }
    text
}

/// The voters that do not answer the leader; as far as it is the leader who told.
fn silent(list: &ListMembersResponse) -> usize {
    let told = list.members.iter();
    let told = told.filter(|one| one.id == list.answered_by && one.role() == MemberRole::Leader);
    let silent = |one: &&Member| {
        one.role() == MemberRole::Voter && one.last_answer_ms.is_none_or(|ago| ago > SILENT_MS)
    };
    match told.count() {
        0 => 0,
        _ => list.members.iter().filter(silent).count(),
    }
}

fn row(member: &Member) -> Vec<Field> {
    let tone = match MemberRole::try_from(member.role) {
        Ok(MemberRole::Leader) => Tone::Good,
        Ok(MemberRole::Learner) => Tone::Fair,
        Ok(MemberRole::Voter | MemberRole::Unspecified) | Err(_) => Tone::Faint,
    };
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let answered = match member.last_answer_ms {
        None => ("-".to_owned(), None),
        Some(0) => ("now".to_owned(), None),
        Some(ms) => (
            format!("{} ago", span(ms)),
            (ms > SILENT_MS).then_some(Tone::Bad),
        ),
    };
    vec![
        field(member.id),
        field(&member.address),
        match member.refused.is_empty() {
            true => (shown::<MemberRole>(member.role).into_owned(), Some(tone)),
            false => ("refused".to_owned(), Some(Tone::Bad)),
        },
        field(number(member.matched_index)),
        field(number(member.lag)),
        answered,
        field(number(member.snapshot_index)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

    #[test]
    fn a_row_for_each_and_what_the_cluster_bears() {
        let member = |id: u64, role: MemberRole, matched_index, last_answer_ms| Member {
            id,
            address: format!("10.0.0.{id}:7401"),
            role: role.into(),
            role_word: String::new(),
            matched_index,
            lag: matched_index.map(|at| 120 - at),
            last_answer_ms,
            snapshot_index: (id == 1).then_some(100),
            refused: String::new(),
        };
        let list = ListMembersResponse {
            cluster: "demo".to_owned(),
            cluster_id: "c1".to_owned(),
            epoch: 2,
            term: 7,
            members: vec![
                member(1, MemberRole::Leader, Some(120), Some(0)),
                member(2, MemberRole::Voter, Some(118), Some(80)),
                member(3, MemberRole::Learner, None, Some(7_000)),
            ],
            changing: true,
            ..ListMembersResponse::default()
        };
        let mut lost = list.clone();
        lost.members[1].refused = "another store".to_owned();
        let shown = render(&lost, &view_80());
        assert!(shown.contains("2   10.0.0.2:7401  refused"), "{shown}");
        assert!(
            shown.contains("coordinator 2 takes no part: another store"),
            "{shown}"
        );
        let wanted = "\
cluster: demo (id c1), epoch 2, term 7
ID  ADDRESS        ROLE     LOG  LAG  ANSWERED  SNAPSHOT
1   10.0.0.1:7401  leader   120  0    now       100
2   10.0.0.2:7401  voter    118  2    80ms ago  -
3   10.0.0.3:7401  learner  -    -    7s ago    -
none of the voters may fail
a change of members is not complete: repeat it
";
        assert_eq!(render(&list, &view_80()), wanted);
    }
}
