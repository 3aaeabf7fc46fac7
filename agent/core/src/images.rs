//! Images, as far as decisions go: what a registry's words come down to, and when a fetch that
//! failed is tried again. The pause belongs to the image, not to each replica that waits for it:
//! a registry in trouble is asked once, however much depends on it.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{
    backoff::{Backoff, CHANCE_UNIT},
    report::ImageProblem,
    time::Timestamp,
};

use crate::{
    scatter::scatter,
    state::{LocalState, Stage},
};

/// Between the first and the second attempt, milliseconds; doubled by each failure.
pub const RETRY_MS: u64 = 2_000;
/// Between two attempts, at most, milliseconds.
pub const RETRY_MAX_MS: u64 = 120_000;

/// What a fetch came to that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullFailure {
    /// What kind of failure.
    pub problem: ImageProblem,
    /// The registry's, or the engine's, own words.
    pub words: String,
}

/// An image whose last fetch failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refetch {
    /// How often in a row.
    pub failures: u32,
    /// It is tried again then.
    pub until: Timestamp,
    /// What the last attempt came to.
    pub failure: PullFailure,
}

/// The images whose fetch failed, by name. Not written down: a new process tries at once.
pub type Refetches = BTreeMap<String, Refetch>;

impl PullFailure {
    /// Takes the words of a Docker daemon apart. They pass on what the registry said, by the
    /// distribution specification's error codes, or how the connection failed.
    pub fn told(words: &str) -> Self {
        Self {
            problem: problem(words),
            words: words.to_owned(),
        }
    }

    /// In words, for the operator.
    pub fn say(&self, image: &str) -> String {
        let words = self.words.trim();
        match self.problem {
            ImageProblem::Missing => format!("image missing: {image}: {words}"),
            ImageProblem::Denied => format!("image denied: {image}: {words}"),
            ImageProblem::Unreachable => format!("registry unreachable: {image}: {words}"),
            ImageProblem::Failed | ImageProblem::Unrecognized(_) => {
                format!("image {image}: {words}")
            }
        }
    }
}

fn problem(words: &str) -> ImageProblem {
    let words = words.to_ascii_lowercase();
    let has = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
    // In this order: a registry that hides what exists says "denied" first and guesses after.
    if has(&[
        "denied",
        "unauthorized",
        "no basic auth credentials",
        "authentication required",
        "forbidden",
        "registry credentials",
    ]) {
        ImageProblem::Denied
    } else if has(&[
        "manifest unknown",
        "name unknown",
        "repository name not known",
        "not found",
    ]) {
        ImageProblem::Missing
    } else if has(&[
        "connection refused",
        "connection reset",
        "no such host",
        "no route to host",
        "network is unreachable",
        "i/o timeout",
        "handshake timeout",
        "deadline exceeded",
        "client.timeout",
        "request canceled",
        "service unavailable",
        "bad gateway",
        "gateway timeout",
        "unexpected http status: 5",
        "eof",
    ]) {
        ImageProblem::Unreachable
    } else {
        ImageProblem::Failed
    }
}

/// Counts a failure; returns when the image is tried again.
pub(crate) fn failed(
    images: &mut Refetches,
    image: &str,
    failure: &PullFailure,
    now: Timestamp,
    chance: u64,
) -> Timestamp {
    let failures = images
        .get(image)
        .map_or(0, |held| held.failures)
        .saturating_add(1);
    let pace = Backoff {
        base_ms: RETRY_MS,
        factor: 2,
        max_ms: RETRY_MAX_MS,
    };
    let chance = scatter(chance ^ u64::from(failures)) % (CHANCE_UNIT + 1);
    let until = now.after_ms(pace.delay_ms(failures, chance));
    let held = Refetch {
        failures,
        until,
        failure: failure.clone(),
    };
    images.insert(image.to_owned(), held);
    until
}

/// Forgets the failures of images that nothing here is to run: that bounds them.
pub(crate) fn forget(state: &mut LocalState) {
    if state.images.is_empty() {
        return;
    }
    let assigned = state.assignment.iter().flat_map(|held| &held.replicas);
    let assigned: BTreeSet<&str> = assigned
        .map(|(_, replica)| replica.spec.image.as_str())
        .collect();
    state
        .images
        .retain(|image, _| assigned.contains(image.as_str()));
}

/// The images that a replica waits for.
pub(crate) fn awaited(state: &LocalState) -> BTreeSet<&str> {
    let waits = state
        .records
        .iter()
        .filter(|(_, record)| record.stage == Stage::Pulling);
    waits
        .filter_map(|(id, _)| Some(state.assigned(*id)?.spec.image.as_str()))
        .collect()
}

/// The images that must stay: of everything assigned, whatever it does now.
pub fn needed(state: &LocalState) -> BTreeSet<String> {
    let assigned = state.assignment.iter().flat_map(|held| &held.replicas);
    assigned
        .map(|(_, replica)| replica.spec.image.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_words_come_down_to_what_to_do() {
        use ImageProblem::{Denied, Failed, Missing, Unreachable};
        for (words, wanted) in [
            (
                "manifest for r:5000/services-a:x not found: manifest unknown: manifest unknown",
                Missing,
            ),
            (
                "name unknown: repository name not known to registry",
                Missing,
            ),
            (
                "Get \"http://r:5000/v2/services-a/manifests/x\": no basic auth credentials",
                Denied,
            ),
            (
                "Head \"http://r:5000/v2/\": unauthorized: authentication required",
                Denied,
            ),
            (
                "pull access denied for a, repository does not exist or may require 'docker login'",
                Denied,
            ),
            (
                "registry credentials /a: the login of r is with the credential helper \"x\"",
                Denied,
            ),
            (
                "Get \"http://10.0.0.1:5000/v2/\": dial tcp 10.0.0.1:5000: connect: connection refused",
                Unreachable,
            ),
            (
                "Get \"https://r/v2/\": dial tcp: lookup r on 10.0.0.2:53: no such host",
                Unreachable,
            ),
            (
                "received unexpected HTTP status: 503 Service Unavailable",
                Unreachable,
            ),
            (
                "write /var/lib/docker/tmp/x: no space left on device",
                Failed,
            ),
            ("", Failed),
        ] {
            assert_eq!(problem(words), wanted, "{words}");
        }
    }

    #[test]
    fn the_pause_grows_and_ends() {
        let mut images = Refetches::new();
        let failure = PullFailure::told("manifest unknown");
        let mut last = 0;
        for attempt in 1..20 {
            let until = failed(&mut images, "a", &failure, Timestamp(1_000), 7);
            let pause = until.since_ms(Timestamp(1_000));
            assert!(pause > last || pause >= RETRY_MAX_MS * 9 / 10, "{attempt}");
            assert!(pause <= RETRY_MAX_MS);
            last = pause;
        }
        assert_eq!(images["a"].failures, 19);
        assert!(
            failure
                .say("a")
                .starts_with("image missing: a: manifest unknown")
        );
    }
}
