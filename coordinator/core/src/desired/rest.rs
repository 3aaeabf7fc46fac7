//! When the soa directory may be read: files count only when they are at rest. The
//! reading waits for a file that is written slowly, and for many that are written one after the
//! other; not for ever: then the files at rest are read, and the others stay as they were.

use std::collections::{BTreeMap, BTreeSet};

/// For how long nothing must have changed, in milliseconds.
pub const QUIET_MS: u64 = 1_000;
/// After so long without quiet everything that is quiet by itself is read, in milliseconds.
pub const UNREST_MAX_MS: u64 = 30_000;

/// Follows how the parts of a directory look, `P` being what one looks like.
#[derive(Debug, Clone)]
pub struct Rest<P> {
    parts: BTreeMap<String, Part<P>>,
    /// Since when something has been changing without a pause; none when all is quiet.
    unrest_since: Option<u64>,
}

#[derive(Debug, Clone)]
struct Part<P> {
    /// None when it is not there.
    looks: Option<P>,
    /// When it changed last; none when it never did since it is followed.
    changed_at: Option<u64>,
}

/// Whether a directory may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All of it.
    Quiet,
    /// All but these parts.
    But(BTreeSet<String>),
    /// Not before this time, in milliseconds.
    Wait(u64),
}

impl<P> Default for Rest<P> {
    fn default() -> Self {
        Self {
            parts: BTreeMap::new(),
            unrest_since: None,
        }
    }
}

impl<P: PartialEq> Rest<P> {
    /// How the parts look at `now_ms`, a time that only goes forward. What was never seen before
    /// has just changed.
    pub fn look(&mut self, now_ms: u64, looks: BTreeMap<String, P>) {
        let gone: Vec<String> = self
            .parts
            .iter()
            .filter(|(name, part)| part.looks.is_some() && !looks.contains_key(*name))
            .map(|(name, _)| name.clone())
            .collect();
        let mut changed = !gone.is_empty();
        for name in gone {
            let part = Part {
                looks: None,
                changed_at: Some(now_ms),
            };
            self.parts.insert(name, part);
        }
        for (name, looks) in looks {
            let known = self.parts.get(&name).and_then(|part| part.looks.as_ref());
            if known != Some(&looks) {
                changed = true;
                let part = Part {
                    looks: Some(looks),
                    changed_at: Some(now_ms),
                };
                self.parts.insert(name, part);
            }
        }
        if self.restless(now_ms).next().is_none() {
            self.unrest_since = None;
            self.parts.retain(|_, part| part.looks.is_some());
        } else if changed && self.unrest_since.is_none() {
            self.unrest_since = Some(now_ms);
        }
    }

    /// Whether the directory may be read at `now_ms`.
    pub fn verdict(&self, now_ms: u64) -> Verdict {
        let restless: BTreeSet<String> = self.restless(now_ms).cloned().collect();
        if restless.is_empty() {
            return Verdict::Quiet;
        }
        let patience_ends = self
            .unrest_since
            .map_or(now_ms, |since| since + UNREST_MAX_MS);
        if now_ms >= patience_ends {
            return Verdict::But(restless);
        }
        let changes = self.parts.values().filter_map(|part| part.changed_at);
        let quiet_at = changes.max().map_or(now_ms, |at| at + QUIET_MS);
        Verdict::Wait(quiet_at.min(patience_ends).max(now_ms + 1))
    }

    fn restless(&self, now_ms: u64) -> impl Iterator<Item = &String> {
        let lately = move |part: &Part<P>| {
            part.changed_at
                .is_some_and(|at| now_ms < at.saturating_add(QUIET_MS))
        };
        let parts = self.parts.iter();
        parts
            .filter(move |(_, part)| lately(part))
            .map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(parts: &[(&str, u32)]) -> BTreeMap<String, u32> {
        let owned = |(name, looks): &(&str, u32)| ((*name).to_owned(), *looks);
        parts.iter().map(owned).collect()
    }

    #[test]
    fn what_changes_is_waited_for_until_it_is_quiet() {
        let mut rest = Rest::default();
        rest.look(0, looks(&[("a", 1), ("b", 1)]));
        assert_eq!(rest.verdict(0), Verdict::Wait(1_000), "never seen before");
        rest.look(1_000, looks(&[("a", 1), ("b", 1)]));
        assert_eq!(rest.verdict(1_000), Verdict::Quiet);
        rest.look(5_000, looks(&[("a", 2), ("b", 1)]));
        assert_eq!(rest.verdict(5_000), Verdict::Wait(6_000));
        rest.look(5_900, looks(&[("a", 3), ("b", 1)]));
        assert_eq!(rest.verdict(5_900), Verdict::Wait(6_900));
        rest.look(6_900, looks(&[("a", 3)]));
        assert_eq!(rest.verdict(6_900), Verdict::Wait(7_900), "b has vanished");
        rest.look(7_900, looks(&[("a", 3)]));
        assert_eq!(rest.verdict(7_900), Verdict::Quiet);
    }

    #[test]
    fn what_never_rests_keeps_nothing_else_waiting() {
        let mut rest = Rest::default();
        for at in 0..300 {
            rest.look(at * 100, looks(&[("a", at as u32), ("b", 1)]));
            assert!(matches!(rest.verdict(at * 100), Verdict::Wait(_)), "{at}");
        }
        rest.look(UNREST_MAX_MS, looks(&[("a", 300), ("b", 1)]));
        let but_a = Verdict::But(BTreeSet::from(["a".to_owned()]));
        assert_eq!(rest.verdict(UNREST_MAX_MS), but_a);
        // Once it rests the patience begins again.
        rest.look(40_000, looks(&[("a", 300), ("b", 1)]));
        assert_eq!(rest.verdict(40_000), Verdict::Quiet);
        rest.look(50_000, looks(&[("a", 301), ("b", 1)]));
        assert_eq!(rest.verdict(50_000), Verdict::Wait(51_000));
    }
}
