//! The replicas of an instance, a row each, and below the table what the hosts say about them.

use paasta_proto::v1::ReplicaStatus;

use super::{
    Tone,
    lines::Lines,
    plain,
    table::{Field, field, table},
    time,
};

/// Adds the table and the messages, `indent` columns in.
pub fn add(lines: &mut Lines<'_>, indent: usize, replicas: &[ReplicaStatus], now_ms: u64) {
    let next = replicas
        .iter()
        .any(|replica| replica.next_try_at_ms.is_some());
    let mut head = vec![
        "ID", "HOST", "ADDRESS", "GIT", "STATE", "UP", "RUN", "FAILS",
    ];
    if next {
        head.push("NEXT");
    }
    let rows = replicas.iter().map(|replica| {
        let mut row = row(replica, now_ms);
        if next {
            row.push(field(
                replica
                    .next_try_at_ms
                    .map_or_else(dash, |at| time::distance(at, now_ms)),
            ));
        }
        row
    });
    let text = table(lines.view(), indent, &head, rows.collect());
    lines.block(0, &text);
    for replica in replicas
        .iter()
        .filter(|replica| !replica.message.is_empty())
    {
        let first = format!("{:indent$}{}: ", "", replica.id);
        lines.add(&first, &plain(&replica.message), indent + 4);
    }
}

fn row(replica: &ReplicaStatus, now_ms: u64) -> Vec<Field> {
    let up = replica.started_at_ms.filter(|_| replica.phase == "running");
    vec![
        field(&replica.id),
        field(&replica.host),
        field(address(replica)),
        field(git(&replica.app)),
        state(replica),
        field(up.map_or_else(dash, |at| time::span(now_ms.saturating_sub(at)))),
        field(replica.run),
        match replica.failures {
            0 => field(0),
            failures => (failures.to_string(), Some(Tone::Fair)),
        },
    ]
}

/// Where the replica can be reached; the host's address alone before it has a port.
fn address(replica: &ReplicaStatus) -> String {
    match replica.host_port {
        Some(port) if replica.address.contains(':') => format!("[{}]:{port}", replica.address),
        Some(port) => format!("{}:{port}", replica.address),
        None => dash(),
    }
}

/// One word: what matters most about the replica now.
fn state(replica: &ReplicaStatus) -> Field {
    let word = match (replica.class.as_str(), replica.phase.as_str()) {
        (class @ ("draining" | "at_risk" | "lost" | "stopping"), _) => class,
        // Its container is fine; a load balancer or a minimal uptime is still waited for.
        (class, "running") if class != "happy" && replica.health == "healthy" => class,
        (_, "running") if matches!(replica.health.as_str(), "" | "unchecked") => "running",
        (_, "running") => &replica.health,
        (_, phase) => phase,
    };
    let tone = match replica.class.as_str() {
        "happy" => Tone::Good,
        "unhealthy" | "lost" => Tone::Bad,
        _ => Tone::Fair,
    };
    (word.replace('_', "-"), Some(tone))
}

/// The git part of an app id, without its word.
pub fn git(app: &str) -> &str {
    let part = app.split('.').find_map(|part| part.strip_prefix("git"));
    part.unwrap_or("-")
}

fn dash() -> String {
    "-".to_owned()
}
