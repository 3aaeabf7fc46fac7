//! The stores of the members by the configuration in force, and the reasons why members are refused
//! or refuse this node. The reasons are bounded: one for each member, and one for all others.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::text::beginning;
use parking_lot::RwLock;

use super::types::StoredMembership;
use crate::store::StoreId;

/// The most characters of a peer's words that are kept.
const WORDS_MAX: usize = 600;
/// The most removed members that are remembered: those with the highest ids.
const REMOVED_MAX: usize = 256;

/// What a coordinator is by the configuration in force here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It is a voter or a learner.
    Member,
    /// It was one, since this node started. Its id is not used again.
    Removed,
    /// Neither: it may be joining, or this node has not heard of it yet.
    Unknown,
}

/// The members' stores and refusals.
#[derive(Debug, Default)]
pub(super) struct Roster {
    members: RwLock<BTreeMap<u64, Option<StoreId>>>,
    removed: RwLock<BTreeSet<u64>>,
    refusals: RwLock<BTreeMap<u64, String>>,
    /// The last refusal of one that is no member.
    outside: RwLock<(u64, String)>,
    /// By member: a term in which this node led, and the last index that the member acknowledged in
    /// it.
    held: RwLock<BTreeMap<u64, (u64, u64)>>,
}

impl Roster {
    /// Follows the configuration in force.
    pub(super) fn update(&self, members: &StoredMembership) {
        let nodes = members.membership().nodes();
        let now: BTreeMap<_, _> = nodes.map(|(id, node)| (*id, node.store)).collect();
        if *self.members.read() == now {
            return;
        }
        self.refusals
            .write()
            .retain(|member, _| now.contains_key(member));
        self.held
            .write()
            .retain(|member, _| now.contains_key(member));
        let mut removed = self.removed.write();
        let before = std::mem::replace(&mut *self.members.write(), now.clone());
        removed.extend(before.into_keys());
        removed.retain(|member| !now.contains_key(member));
        while removed.len() > REMOVED_MAX {
            removed.pop_first();
        }
    }

    /// What a coordinator is here.
    pub(super) fn membership(&self, id: u64) -> Membership {
        match (
            self.members.read().contains_key(&id),
            self.removed.read().contains(&id),
        ) {
            (true, _) => Membership::Member,
            (false, true) => Membership::Removed,
            (false, false) => Membership::Unknown,
        }
    }

    /// The store of a member; `None` for a stranger, and for a member of which it is not known.
    pub(super) fn store_of(&self, member: u64) -> Option<StoreId> {
        self.members.read().get(&member).copied().flatten()
    }

    /// The last index that a member acknowledged to this node as the leader of `term`.
    pub(super) fn held(&self, member: u64, term: u64) -> Option<u64> {
        let held = self.held.read().get(&member).copied();
        held.filter(|(in_term, _)| *in_term == term)
            .map(|(_, index)| index)
    }

    /// A member acknowledged everything up to `index` to this node as the leader of `term`.
    pub(super) fn holds(&self, member: u64, term: u64, index: u64) {
        let mut held = self.held.write();
        let known = held.entry(member).or_insert((term, index));
        *known = (*known).max((term, index));
    }

    /// How many members there are.
    pub(super) fn members(&self) -> usize {
        self.members.read().len()
    }

    /// A member was refused, or refused this node. Logged when it is new.
    pub(super) fn refused(&self, member: u64, words: &str) {
        let words = beginning(words, WORDS_MAX).to_owned();
        if !self.members.read().contains_key(&member) {
            let mut outside = self.outside.write();
            if *outside != (member, words.clone()) {
                tracing::warn!(coordinator = member, "a message was refused: {words}");
                *outside = (member, words);
            }
            return;
        }
        let mut refusals = self.refusals.write();
        if refusals.get(&member) != Some(&words) {
            tracing::warn!(member, "it takes no part: {words}");
            refusals.insert(member, words);
        }
    }

    /// A member answered as it should.
    pub(super) fn accepted(&self, member: u64) {
        if self.outside.read().0 == member {
            *self.outside.write() = (0, String::new());
        }
        if self.refusals.read().contains_key(&member) {
            tracing::info!(member, "it takes part again");
            self.refusals.write().remove(&member);
        }
    }

    /// Why the last message from, or for, one that is no member was refused.
    pub(super) fn outside(&self, node: u64) -> Option<String> {
        let (from, words) = &*self.outside.read();
        (*from == node && !words.is_empty()).then(|| words.clone())
    }

    /// Why each member that takes no part does not.
    pub(super) fn refusals(&self) -> BTreeMap<u64, String> {
        self.refusals.read().clone()
    }
}
