//! I5, orphans die, strangers live: told by what a container engine holds.

use super::Violation;

/// A container that somebody else put on a host, and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intruder {
    /// Its name.
    pub name: String,
    /// Whether it bears our labels for this host, with a replica that no ledger knows.
    pub ours: bool,
    /// Whether it is there and runs.
    pub alive: bool,
}

/// At any moment: strangers live.
pub fn strangers(host: &str, intruders: &[Intruder]) -> Vec<Violation> {
    let dead = intruders.iter().filter(|one| !one.ours && !one.alive);
    dead.map(|one| {
        Violation::new(
            "I5",
            format!("{host} did away with the stranger {}", one.name),
        )
    })
    .collect()
}

/// When the reap age is long past: orphans are gone.
pub fn orphans(host: &str, intruders: &[Intruder]) -> Vec<Violation> {
    let alive = intruders.iter().filter(|one| one.ours && one.alive);
    alive
        .map(|one| Violation::new("I5", format!("{host} still has the orphan {}", one.name)))
        .collect()
}
