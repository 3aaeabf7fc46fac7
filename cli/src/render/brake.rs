//! The brake on replacing, and the silent hosts that keep it on.

use paasta_proto::v1::BrakeStatusResponse;

use super::{
    Tone, View,
    lines::Lines,
    plain,
    table::{field, table},
    time,
};

/// Renders the brake and a row for each silent host.
pub fn render(answer: &BrakeStatusResponse, view: &View) -> String {
    let mut lines = Lines::new(view);
    let text = match answer.brake.as_str() {
        "" => format!("{} - {}", view.paint(Tone::Good, "OFF"), off(answer)),
        brake => format!("{} - {}", view.paint(Tone::Bad, "ON"), plain(brake)),
    };
    lines.add("Brake: ", &text, 7);
    if !answer.hosts.is_empty() {
        let rows = answer.hosts.iter().map(|host| {
            let seen = host.last_seen_ms.map_or_else(
                || "not since the leader leads".to_owned(),
                |at| time::distance(at, answer.now_ms),
            );
            vec![field(&host.host), field(host.replicas), field(seen)]
        });
        let head = ["HOST", "REPLICAS", "LAST HEARD FROM"];
        lines.block(0, &table(view, 0, &head, rows.collect()));
    }
    lines.finish()
}

fn off(answer: &BrakeStatusResponse) -> &'static str {
    match answer.hosts.is_empty() {
        true => "no host is silent",
        false => "so few hosts are silent that they are replaced by themselves",
    }
}

#[cfg(test)]
mod tests {
    use paasta_proto::v1::SilentHost;

    use super::*;
    use crate::render::view_80;

    #[test]
    fn silent_hosts_are_named_with_what_they_ran() {
        let silent = |host: &str, last_seen_ms| SilentHost {
            host: host.to_owned(),
            last_seen_ms,
            replicas: 3,
        };
        let mut answer = BrakeStatusResponse {
            brake: "2 of 4 hosts are silent at once".to_owned(),
            hosts: vec![silent("h1", Some(1_000)), silent("h2", None)],
            now_ms: 31_000,
        };
        let wanted = "\
Brake: ON - 2 of 4 hosts are silent at once
HOST  REPLICAS  LAST HEARD FROM
h1    3         30s ago
h2    3         not since the leader leads
";
        assert_eq!(render(&answer, &view_80()), wanted);
        answer.brake.clear();
        answer.hosts.clear();
        assert_eq!(
            render(&answer, &view_80()),
            "Brake: OFF - no host is silent\n"
        );
    }
}
