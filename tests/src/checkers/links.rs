//! Slow links are no outage: coordinators that all run and reach each other have a leader, however
//! long a message takes within the limit that they are made for.

use super::Violation;

/// So long they may be without one, milliseconds: time to measure the links, and several elections
/// at the slowest pace.
const LIMIT_MS: u64 = 10_000;

/// Since when all coordinators run and reach each other, and none leads.
#[derive(Debug, Default)]
pub struct Leaderless(Option<u64>);

impl Leaderless {
    /// Looks at the cluster: whether all run and reach each other, and whether one leads.
    pub fn look(&mut self, now_ms: u64, whole: bool, led: bool) -> Option<Violation> {
        if !whole || led {
            self.0 = None;
            return None;
        }
        let since = *self.0.get_or_insert(now_ms);
        let lasted = now_ms.saturating_sub(since);
        (lasted > LIMIT_MS).then(|| {
            let what = format!("all coordinators reach each other, and none led for {lasted} ms");
            Violation::new("Links", what)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_cluster_must_have_a_leader_and_not_at_once() {
        let mut looks = Leaderless::default();
        for now_ms in [0, 5_000, 9_999] {
            assert!(looks.look(now_ms, true, false).is_none());
        }
        assert!(looks.look(10_001, false, false).is_none(), "one is cut off");
        assert!(looks.look(10_200, true, false).is_none());
        assert!(looks.look(15_000, true, true).is_none(), "it has one");
        assert!(looks.look(15_200, true, false).is_none());
        assert!(looks.look(25_201, true, false).is_some());
    }
}
