//! The outcomes of the last requests, so that a client that lost the answer may ask again without
//! doing the thing twice.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;

/// How many outcomes are kept: a retry that comes after as many other requests is a new request.
pub(super) const REQUESTS_MAX: usize = 1_024;

/// The longest request id, in bytes.
pub(super) const REQUEST_ID_BYTES_MAX: usize = 128;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RequestRing {
    order: VecDeque<String>,
    outcomes: BTreeMap<String, Outcome>,
}

impl RequestRing {
    pub(super) fn outcome(&self, id: &str) -> Option<&Outcome> {
        self.outcomes.get(id)
    }

    pub(super) fn remember(&mut self, id: &str, outcome: &Outcome) {
        while self.order.len() >= REQUESTS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.outcomes.remove(&oldest);
            }
        }
        self.order.push_back(id.to_owned());
        self.outcomes.insert(id.to_owned(), outcome.clone());
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}
