//! What a saved state says about itself.

use paasta_common::text::count as number;
use paasta_process::saved::Saved;

use super::{View, time::moment};

/// Renders a line per fact.
pub fn render(saved: &Saved, view: &View) -> String {
    let head = saved.head();
    let coordinators: Vec<String> = head
        .coordinators
        .iter()
        .map(|(id, address)| format!("{id}={address}"))
        .collect();
    let counts = &head.counts;
    let lines = [
        (
            "cluster",
            format!(
                "{} (id {}), epoch {}",
                head.cluster, head.cluster_id, head.epoch
            ),
        ),
        (
            "saved",
            format!(
                "{} by coordinator {} ({})",
                moment(head.saved_at_ms, view),
                head.saved_by,
                head.version
            ),
        ),
        (
            "as of",
            format!("record {}, term {}", head.index, head.term),
        ),
        (
            "holds",
            format!(
                "{}, {}, {}, {}",
                number(counts.instances, "instance"),
                number(counts.apps, "app"),
                number(counts.hosts, "host"),
                number(counts.replicas, "replica"),
            ),
        ),
        ("coordinators", coordinators.join(", ")),
        (
            "state",
            format!(
                "{} bytes, crc32 {:08x}, whole",
                saved.body_bytes(),
                saved.checksum()
            ),
        ),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        let name = format!("{name}:");
        text.push_str(&format!("{name:14}{}\n", super::plain(&value)));
    }
    text
}
