//! Hosts that are being emptied: whether they are safe to stop, and what is left there.

use paasta_proto::{
    v1::{HostMaintenance, LeavingReplica, MaintenanceStatusResponse, ReplicaClass},
    words::shown,
};

use super::{Tone, View, lines::Lines, plain, time};

/// Renders every host with everything that is left there.
pub fn render(answer: &MaintenanceStatusResponse, view: &View) -> String {
    let mut lines = Lines::new(view);
    if answer.hosts.is_empty() {
        lines.raw("No host is being drained.");
    }
    for host in &answer.hosts {
        lines.add(&format!("{}: ", host.host), &headline(host, view), 4);
        if host.since_ms > 0 {
            let mut text = format!(
                "{}, drained {}",
                plain(&host.reason),
                time::distance(host.since_ms, answer.now_ms)
            );
            if let Some(until) = host.until_ms {
                text.push_str(&format!(", until {}", time::moment(until, view)));
            }
            lines.add("  ", &text, 4);
        }
        for replica in &host.replicas {
            lines.add("  - ", &left(replica), 4);
        }
    }
    lines.finish()
}

/// Renders one line per host: how far it is.
pub fn progress(answer: &MaintenanceStatusResponse, view: &View) -> String {
    let mut lines = Lines::new(view);
    for host in &answer.hosts {
        let mut text = headline(host, view);
        if let Some(first) = host.replicas.first() {
            text.push_str(&format!("; {}", left(first)));
        }
        lines.add(&format!("{}: ", host.host), &text, 4);
    }
    lines.finish()
}

fn headline(host: &HostMaintenance, view: &View) -> String {
    let word = match host.safe {
        true => view.paint(Tone::Good, "SAFE"),
        false => view.paint(Tone::Fair, "UNSAFE"),
    };
    format!("{word} - {}", plain(&host.text))
}

fn left(replica: &LeavingReplica) -> String {
    plain(&format!(
        "{} of {} ({}) waits for {}",
        replica.id,
        replica.instance,
        shown::<ReplicaClass>(replica.class),
        replica.waits_for
    ))
}

#[cfg(test)]
mod tests {
    use paasta_proto::v1::HostState;

    use super::*;
    use crate::render::view_80;

    #[test]
    fn a_host_says_what_is_left_and_what_that_waits_for() {
        let replica = LeavingReplica {
            id: "r5".to_owned(),
            instance: "hello.main".to_owned(),
            class: ReplicaClass::AtRisk.into(),
            waits_for: "a happy replacement (1 replicas cannot be placed: 0 of 2 hosts: 2 lack 64 MB memory)".to_owned(),
            ..LeavingReplica::default()
        };
        let host = HostMaintenance {
            host: "host-1".to_owned(),
            state: HostState::Draining.into(),
            text: "1 replicas are left".to_owned(),
            reason: "new disk".to_owned(),
            since_ms: 1_000,
            until_ms: Some(3_601_000),
            replicas: vec![replica],
            ..HostMaintenance::default()
        };
        let empty = HostMaintenance {
            host: "host-2".to_owned(),
            safe: true,
            text: "empty: safe to stop".to_owned(),
            ..HostMaintenance::default()
        };
        let answer = MaintenanceStatusResponse {
            hosts: vec![host, empty],
            now_ms: 61_000,
        };
        let wanted = "\
host-1: UNSAFE - 1 replicas are left
  new disk, drained 1m ago, until 1970-01-01 01:00:01
  - r5 of hello.main (at-risk) waits for a happy replacement (1 replicas cannot
    be placed: 0 of 2 hosts: 2 lack 64 MB memory)
host-2: SAFE - empty: safe to stop
";
        assert_eq!(render(&answer, &view_80()), wanted);
        let none = MaintenanceStatusResponse::default();
        assert_eq!(render(&none, &view_80()), "No host is being drained.\n");
        assert_eq!(progress(&answer, &view_80()).lines().count(), 4);
    }
}
