//! I3, fenced: what a host obeys never becomes older, whatever process of its agent obeys it.

use std::collections::BTreeMap;

use paasta_common::assignment::Fence;

use super::Violation;

/// The newest fence that each host has obeyed.
#[derive(Debug, Default)]
pub struct Fences(BTreeMap<String, Fence>);

impl Fences {
    /// A host obeys this fence.
    pub fn obeyed(&mut self, host: &str, fence: &Fence) -> Option<Violation> {
        let known = self.0.get(host);
        let older = known.is_some_and(|known| {
            let order = |fence: &Fence| (fence.epoch, fence.term, fence.generation);
            let (ours, next) = (order(known), order(fence));
            known.cluster_id != fence.cluster_id
                || next.0 < ours.0
                || (next.0 == ours.0 && (next.1 < ours.1 || next.2 < ours.2))
        });
        if older {
            let what = format!("{host} obeys {fence:?} after {known:?}");
            return Some(Violation::new("I3", what));
        }
        if known != Some(fence) {
            self.0.insert(host.to_owned(), fence.clone());
        }
        None
    }
}
