//! The replicas of an instance, a row each, and below the table what the hosts say about them.

use std::{borrow::Cow, collections::BTreeMap};

use paasta_proto::{
    v1::{ImageProblem, ReplicaClass, ReplicaHealth, ReplicaPhase, ReplicaStatus},
    words::shown,
};

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
    for replica in replicas {
        let first = format!("{:indent$}{}: ", "", replica.id);
        if let Some(text) = fetching(replica) {
            lines.add(&first, &text, indent + 4);
        }
        if !replica.message.is_empty() && replica.message != replica.last_end_text {
            let message = lines.view().said(&replica.message);
            lines.add(&first, &message, indent + 4);
        }
    }
    for replica in replicas.iter().filter(|one| !one.unrecognized.is_empty()) {
        let first = format!("{:indent$}{}: ", "", replica.id);
        let what = plain(&replica.unrecognized.join(", "));
        let text = format!("its host reports what the coordinator does not know: {what}");
        lines.add(&first, &text, indent + 4);
    }
    for replica in replicas {
        if let Some(end) = &replica.last_end {
            let first = format!("{:indent$}{}: ", "", replica.id);
            let when = time::distance(end.at_ms, now_ms);
            let text = format!("{when} {}", lines.view().said(&replica.last_end_text));
            lines.add(&first, &text, indent + 4);
        }
    }
    let digests = digests(replicas);
    let of_all = digests.values().map(Vec::len).sum::<usize>() == replicas.len();
    for (digest, ids) in &digests {
        let first = format!("{:indent$}image {}: ", "", lines.view().said(digest));
        let run = match digests.len() {
            1 if of_all && replicas.len() > 1 => "all replicas".to_owned(),
            _ => few(ids),
        };
        lines.add(&first, &run, indent + 4);
    }
}

/// The first few ids, and how many more there are.
fn few(ids: &[&str]) -> String {
    const SHOWN: usize = 5;
    match ids.get(SHOWN..) {
        Some(more @ [_, ..]) => format!("{} and {} more", ids[..SHOWN].join(", "), more.len()),
        _ => ids.join(", "),
    }
}

/// How far the fetch of its image has come.
fn fetching(replica: &ReplicaStatus) -> Option<String> {
    let progress = replica.image.as_ref()?.progress.as_ref()?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Some(format!(
        "fetching its image: {} of {} layers, {:.1} of {:.1} MiB",
        progress.layers_done,
        progress.layers,
        mib(progress.bytes_done),
        mib(progress.bytes),
    ))
}

/// What the replicas run, by the digest of the image.
fn digests(replicas: &[ReplicaStatus]) -> BTreeMap<&str, Vec<&str>> {
    let mut digests: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for replica in replicas {
        let digest = replica.image.as_ref().map(|image| image.digest.as_str());
        if let Some(digest) = digest.filter(|digest| !digest.is_empty()) {
            digests.entry(digest).or_default().push(&replica.id);
        }
    }
    digests
}

/// Why it has no image, in a word.
fn image_problem(replica: &ReplicaStatus) -> Option<Cow<'static, str>> {
    let image = replica.image.as_ref()?;
    Some(match ImageProblem::try_from(image.problem) {
        Ok(ImageProblem::Missing) => "image-missing".into(),
        Ok(ImageProblem::Denied) => "image-denied".into(),
        Ok(ImageProblem::RegistryUnreachable) => "registry-unreachable".into(),
        Ok(ImageProblem::Failed) => "image-failed".into(),
        Ok(ImageProblem::Unspecified) if image.problem_word.is_empty() => return None,
        Ok(ImageProblem::Unspecified) => {
            plain(&format!("image unknown ({})", image.problem_word)).into()
        }
        Err(_) => format!("image {}", shown::<ImageProblem>(image.problem)).into(),
    })
}

fn row(replica: &ReplicaStatus, now_ms: u64) -> Vec<Field> {
    let up = replica
        .started_at_ms
        .filter(|_| replica.phase() == ReplicaPhase::Running);
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
pub(super) fn state(replica: &ReplicaStatus) -> Field {
    let text = match replica.class() {
        ReplicaClass::Draining
        | ReplicaClass::AtRisk
        | ReplicaClass::Lost
        | ReplicaClass::Stopping => shown::<ReplicaClass>(replica.class),
        ReplicaClass::Happy
        | ReplicaClass::Unknown
        | ReplicaClass::Starting
        | ReplicaClass::Unhappy
        | ReplicaClass::Unspecified => on_host(replica),
    };
    let tone = match replica.class() {
        _ if image_problem(replica).is_some() => Tone::Bad,
        ReplicaClass::Happy => Tone::Good,
        ReplicaClass::Unhappy | ReplicaClass::Lost => Tone::Bad,
        ReplicaClass::AtRisk
        | ReplicaClass::Unknown
        | ReplicaClass::Starting
        | ReplicaClass::Draining
        | ReplicaClass::Stopping
        | ReplicaClass::Unspecified => Tone::Fair,
    };
    (text.into_owned(), Some(tone))
}

/// What its host says of a replica that is to stay.
fn on_host(replica: &ReplicaStatus) -> Cow<'static, str> {
    let phase = || shown::<ReplicaPhase>(replica.phase);
    match replica.phase() {
        ReplicaPhase::Running => match replica.health() {
            // Its container is fine; a load balancer or a minimal uptime is still waited for.
            ReplicaHealth::Healthy if replica.class() != ReplicaClass::Happy => {
                shown::<ReplicaClass>(replica.class)
            }
            ReplicaHealth::Unspecified if replica.health == 0 => phase(),
            ReplicaHealth::Unchecked => phase(),
            ReplicaHealth::Unknown
            | ReplicaHealth::Healthy
            | ReplicaHealth::Unhealthy
            | ReplicaHealth::Unrecognized
            | ReplicaHealth::Unspecified => shown::<ReplicaHealth>(replica.health),
        },
        ReplicaPhase::Placed
        | ReplicaPhase::Accepted
        | ReplicaPhase::Pulling
        | ReplicaPhase::Starting
        | ReplicaPhase::BackingOff
        | ReplicaPhase::Draining
        | ReplicaPhase::Stopping
        | ReplicaPhase::Gone
        | ReplicaPhase::Lost
        | ReplicaPhase::Unrecognized
        | ReplicaPhase::Unspecified => image_problem(replica).unwrap_or_else(phase),
    }
}

/// The git part of an app id, without its word.
pub fn git(app: &str) -> &str {
    // The service and the instance may begin so, too.
    let mut parts = app.split('.').skip(2);
    let part = parts.find_map(|part| part.strip_prefix("git"));
    part.unwrap_or("-")
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use paasta_proto::{
        v1::{ImageReport, PullProgress},
        words::Words as _,
    };

    use super::*;
    use crate::render::view_80;

    #[test]
    fn images_are_shown_while_they_come_when_they_fail_and_when_they_are_here() {
        let replica = |id: &str, image| ReplicaStatus {
            id: id.to_owned(),
            phase: ReplicaPhase::BackingOff.into(),
            image: Some(image),
            ..ReplicaStatus::default()
        };
        let coming = ImageReport {
            progress: Some(PullProgress {
                layers_done: 1,
                layers: 3,
                bytes_done: 1 << 20,
                bytes: 5 << 19,
            }),
            ..ImageReport::default()
        };
        let missing = ImageReport {
            problem: ImageProblem::Missing.into(),
            ..ImageReport::default()
        };
        let here = ImageReport {
            digest: "sha256:00".to_owned(),
            ..ImageReport::default()
        };
        let replicas = [
            replica("r1", coming),
            replica("r2", missing),
            replica("r3", here.clone()),
            replica("r4", here),
        ];
        let view = view_80();
        let mut lines = Lines::new(&view);
        add(&mut lines, 2, &replicas, 0);
        let text = lines.finish();
        for said in [
            "  r1: fetching its image: 1 of 3 layers, 1.0 of 2.5 MiB\n",
            "image-missing",
            "  image sha256:00: r3, r4\n",
        ] {
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn every_class_has_its_colour_and_one_of_a_newer_coordinator_is_shown_as_such() {
        let shown = |class: i32| {
            let (text, tone) = state(&ReplicaStatus {
                class,
                phase: ReplicaPhase::Running.into(),
                health: ReplicaHealth::Healthy.into(),
                ..ReplicaStatus::default()
            });
            (text, tone.expect("it has a tone"))
        };
        for (class, tone) in [
            (ReplicaClass::Happy, Tone::Good),
            (ReplicaClass::AtRisk, Tone::Fair),
            (ReplicaClass::Unknown, Tone::Fair),
            (ReplicaClass::Starting, Tone::Fair),
            (ReplicaClass::Unhappy, Tone::Bad),
            (ReplicaClass::Draining, Tone::Fair),
            (ReplicaClass::Stopping, Tone::Fair),
            (ReplicaClass::Lost, Tone::Bad),
        ] {
            let word = match class {
                ReplicaClass::Happy => ReplicaHealth::Healthy.word(),
                other => other.word(),
            };
            assert_eq!(shown(class.into()), (word.to_owned(), tone), "{class:?}");
        }
        let newer = ("unknown (99)".to_owned(), Tone::Fair);
        assert_eq!(shown(99), newer);
    }
}
