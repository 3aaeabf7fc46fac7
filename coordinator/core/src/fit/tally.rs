//! How the replicas of one app are spread over the values of its constrained attributes, and
//! whether one more on a host keeps to UNIQUE, MAX_PER, CLUSTER and GROUP_BY.

use std::collections::BTreeMap;

use paasta_common::host::HostInfo;

use super::{
    Unfit,
    rules::{Rules, Test},
};

/// Counts per rule and value, in step with [`Rules::rules`].
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    counts: Vec<BTreeMap<String, u32>>,
}

impl Tally {
    /// An empty tally. The values of `eligible` hosts (up, not draining, allowed by the rules) are
    /// the groups that GROUP_BY balances over.
    pub(crate) fn new<'a>(rules: &Rules, eligible: impl Iterator<Item = &'a HostInfo>) -> Self {
        let mut counts = vec![BTreeMap::new(); rules.rules.len()];
        let grouping: Vec<(usize, &str)> = rules
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| matches!(rule.test, Test::GroupBy(_)))
            .map(|(at, rule)| (at, rule.attribute.as_str()))
            .collect();
        if grouping.is_empty() {
            return Self { counts };
        }
        for host in eligible {
            for (at, attribute) in &grouping {
                let Some(value) = host.attribute(attribute) else {
                    continue;
                };
                if !counts[*at].contains_key(value) {
                    counts[*at].insert(value.to_owned(), 0);
                }
            }
        }
        Self { counts }
    }

    /// Counts a replica. One that is leaving still takes its place under UNIQUE, MAX_PER and
    /// CLUSTER, but no longer weighs in the balance of GROUP_BY.
    pub(crate) fn add(&mut self, rules: &Rules, host: &HostInfo, staying: bool) {
        for (counts, rule) in self.counts.iter_mut().zip(&rules.rules) {
            let Some(value) = host.attribute(&rule.attribute) else {
                continue;
            };
            match rule.test {
                Test::GroupBy(_) if staying => {
                    // A value that no eligible host has is no group to balance with.
                    if let Some(count) = counts.get_mut(value) {
                        *count += 1;
                    }
                }
                Test::MaxPer(_) | Test::Cluster(None) => {
                    *counts.entry(value.to_owned()).or_default() += 1;
                }
                _ => {}
            }
        }
    }

    /// Whether one more replica may be on this host, which [`Rules::allow`] lets through.
    pub(crate) fn allow(&self, rules: &Rules, host: &HostInfo) -> Result<(), Unfit> {
        self.allow_host(rules, host)?;
        self.allow_group(rules, host)
    }

    /// The same as far as UNIQUE, MAX_PER and CLUSTER go. While replicas are only added, a host
    /// that was refused stays refused.
    pub(crate) fn allow_host(&self, rules: &Rules, host: &HostInfo) -> Result<(), Unfit> {
        self.check(rules, host, |test, counts, count| match test {
            Test::MaxPer(most) => count < *most,
            Test::Cluster(None) => count > 0 || counts.is_empty(),
            _ => true,
        })
    }

    /// The same as far as GROUP_BY goes.
    pub(crate) fn allow_group(&self, rules: &Rules, host: &HostInfo) -> Result<(), Unfit> {
        self.check(rules, host, |test, counts, count| match test {
            Test::GroupBy(groups) => count <= smallest(counts, *groups),
            _ => true,
        })
    }

    fn check(
        &self,
        rules: &Rules,
        host: &HostInfo,
        holds: impl Fn(&Test, &BTreeMap<String, u32>, u32) -> bool,
    ) -> Result<(), Unfit> {
        for (counts, rule) in self.counts.iter().zip(&rules.rules) {
            let Some(value) = host.attribute(&rule.attribute) else {
                continue;
            };
            let count = counts.get(value).copied().unwrap_or(0);
            if !holds(&rule.test, counts, count) {
                return Err(rule.unfit());
            }
        }
        Ok(())
    }

    /// The sizes of the GROUP_BY groups that this host belongs to, in the order of the rules.
    pub(crate) fn group_sizes(&self, rules: &Rules, host: &HostInfo) -> Vec<u32> {
        let grouping = rules.rules.iter().zip(&self.counts);
        grouping
            .filter(|(rule, _)| matches!(rule.test, Test::GroupBy(_)))
            .map(|(rule, counts)| {
                let value = host.attribute(&rule.attribute).unwrap_or_default();
                counts.get(value).copied().unwrap_or(0)
            })
            .collect()
    }
}

/// The size of the smallest group. Where more groups are asked for than exist, the missing ones are
/// empty: the app stays short rather than crowd the others.
fn smallest(counts: &BTreeMap<String, u32>, groups: Option<u32>) -> u32 {
    match groups {
        Some(groups) if (counts.len() as u64) < u64::from(groups) => 0,
        _ => counts.values().copied().min().unwrap_or(0),
    }
}
