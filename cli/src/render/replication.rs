//! Whether instances have enough replicas: the coordinator's text for each, and the sum of it.

use std::borrow::Cow;

use paasta_common::text::count_of;
use paasta_proto::{
    v1::{CheckReplicationResponse, ReplicationLevel, ReplicationStatus},
    words::shown,
};

use super::{Tone, View, lines::Lines, plain, time};

/// Renders the instances of the answer, of `checked` in all.
pub fn render(answer: &CheckReplicationResponse, checked: usize, view: &View) -> String {
    let mut lines = Lines::new(view);
    for one in &answer.instances {
        let (word, tone) = word(one);
        let mut heading = format!("{}: {}", one.instance, view.paint(tone, &word));
        if let Some(since) = one.alerted_since_ms {
            heading.push_str(&format!(
                ", its team was notified {}",
                time::distance(since, answer.now_ms)
            ));
        }
        lines.raw(&heading);
        for line in one.text.lines() {
            lines.add("  ", &plain(line), 4);
        }
    }
    let critical = answer
        .instances
        .iter()
        .filter(|one| one.status() == ReplicationLevel::Critical);
    let unknown = answer
        .instances
        .iter()
        .filter(|one| one.status() == ReplicationLevel::Unknown);
    let checked = count_of(checked, "instance");
    let mut text = match critical.count() {
        1 => format!("1 of {checked} lacks replicas"),
        many => format!("{many} of {checked} lack replicas"),
    };
    match unknown.count() {
        0 => {}
        1 => text.push_str(", 1 is not known yet"),
        count => text.push_str(&format!(", {count} are not known yet")),
    }
    lines.raw(&text);
    lines.finish()
}

fn word(one: &ReplicationStatus) -> (Cow<'static, str>, Tone) {
    match ReplicationLevel::try_from(one.status) {
        Ok(ReplicationLevel::Ok) => ("OK".into(), Tone::Good),
        Ok(ReplicationLevel::Critical) => ("CRITICAL".into(), Tone::Bad),
        Ok(ReplicationLevel::NotDeployed) => ("NOT DEPLOYED".into(), Tone::Fair),
        Ok(ReplicationLevel::Unknown | ReplicationLevel::Unspecified) => {
            ("UNKNOWN".into(), Tone::Fair)
        }
        Err(_) => {
            let word = shown::<ReplicationLevel>(one.status);
            (word.to_ascii_uppercase().into(), Tone::Fair)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

    #[test]
    fn each_instance_has_a_verdict_and_all_have_a_sum() {
        let one = |instance: &str, status: ReplicationLevel, text: &str| ReplicationStatus {
            instance: instance.to_owned(),
            status: status.into(),
            text: text.to_owned(),
            alerted_since_ms: (status == ReplicationLevel::Critical).then_some(1_000),
            ..ReplicationStatus::default()
        };
        let answer = CheckReplicationResponse {
            instances: vec![
                one(
                    "a.main",
                    ReplicationLevel::Critical,
                    "- 1 of 3\nwhat to do\n",
                ),
                one("b.main", ReplicationLevel::Unknown, ""),
            ],
            now_ms: 61_000,
            ..CheckReplicationResponse::default()
        };
        let wanted = "\
a.main: CRITICAL, its team was notified 1m ago
  - 1 of 3
  what to do
b.main: UNKNOWN
1 of 7 instances lacks replicas, 1 is not known yet
";
        assert_eq!(render(&answer, 7, &view_80()), wanted);
    }
}
