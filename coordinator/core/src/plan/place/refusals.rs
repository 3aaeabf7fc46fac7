//! Why replicas found no host, counted: the answer of `paasta why` to "waiting for capacity".

use std::{collections::BTreeMap, fmt};

use paasta_common::text::count;
use serde::{Deserialize, Serialize};

use crate::fit::Unfit;

/// How many hosts refused, by reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Refusals {
    /// How many hosts were looked at.
    pub hosts: u32,
    /// The reasons, the most frequent first. Each host counts once, for its first reason.
    pub reasons: Vec<Refusal>,
}

/// One reason and how many hosts have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why.
    pub why: Unfit,
    /// How many hosts.
    pub hosts: u32,
}

impl Refusals {
    pub(super) fn count(answers: impl Iterator<Item = Option<Unfit>>) -> Self {
        let mut hosts = 0;
        let mut counts: BTreeMap<Unfit, u32> = BTreeMap::new();
        for answer in answers {
            hosts += 1;
            if let Some(why) = answer {
                *counts.entry(why).or_default() += 1;
            }
        }
        let mut reasons: Vec<Refusal> = counts
            .into_iter()
            .map(|(why, hosts)| Refusal { why, hosts })
            .collect();
        // The sort is stable: equal counts stay in the order of the reasons.
        reasons.sort_by_key(|refusal| std::cmp::Reverse(refusal.hosts));
        Self { hosts, reasons }
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hosts == 0 {
            return f.write_str("no host is registered");
        }
        let refusing: u32 = self.reasons.iter().map(|refusal| refusal.hosts).sum();
        let fit = self.hosts - refusing;
        write!(f, "{fit} of {}", count(self.hosts, "host"))?;
        for (at, refusal) in self.reasons.iter().enumerate() {
            let before = if at == 0 { ": " } else { ", " };
            write!(f, "{before}{} {}", refusal.hosts, refusal.why)?;
        }
        Ok(())
    }
}
