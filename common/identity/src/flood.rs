//! How fast handshakes of one address may fail. A handshake costs a coordinator about a
//! millisecond of its processor; only those that fail count, as a program with a certificate of the
//! cluster has no reason to fail.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Instant,
};

/// The most addresses that are remembered; those that failed longest ago are forgotten.
const ADDRESSES_MAX: usize = 4_096;

/// How many handshakes of one address may fail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FailureRate {
    /// At once.
    pub burst: f64,
    /// In each second after that.
    pub per_second: f64,
}

/// What is left to an address, and when that was so.
#[derive(Debug, Clone, Copy)]
struct Left {
    failures: f64,
    at: Instant,
}

/// The failures of all addresses.
#[derive(Debug)]
pub(crate) struct Failures {
    rate: FailureRate,
    left: BTreeMap<IpAddr, Left>,
}

impl Failures {
    pub(crate) fn new(rate: FailureRate) -> Self {
        Self {
            rate,
            left: BTreeMap::new(),
        }
    }

    /// Whether a handshake of this address may begin.
    pub(crate) fn admits(&self, address: IpAddr, now: Instant) -> bool {
        let left = self.left.get(&network(address));
        left.is_none_or(|left| self.now(left, now) >= 1.0)
    }

    /// A handshake of this address failed.
    pub(crate) fn failed(&mut self, address: IpAddr, now: Instant) {
        let address = network(address);
        let left = self.left.get(&address);
        let failures = left.map_or(self.rate.burst, |left| self.now(left, now)) - 1.0;
        if left.is_none() && self.left.len() >= ADDRESSES_MAX {
            let oldest = self.left.iter().min_by_key(|(_, left)| left.at);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.left.remove(&oldest);
            }
        }
        let failures = failures.max(0.0);
        self.left.insert(address, Left { failures, at: now });
    }

    fn now(&self, left: &Left, now: Instant) -> f64 {
        let since = now.saturating_duration_since(left.at).as_secs_f64();
        (left.failures + since * self.rate.per_second).min(self.rate.burst)
    }
}

/// An IPv6 host has 2^64 addresses: they count as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATE: FailureRate = FailureRate {
        burst: 3.0,
        per_second: 2.0,
    };

    #[test]
    fn an_address_that_fails_too_fast_waits_and_no_other_does() {
        let mut failures = Failures::new(RATE);
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let start = Instant::now();
        for _ in 0..3 {
            assert!(failures.admits(one, start));
            failures.failed(one, start);
        }
        assert!(!failures.admits(one, start));
        assert!(failures.admits(other, start));
        assert!(failures.admits(one, start + Duration::from_millis(500)));
        failures.failed(one, start + Duration::from_millis(500));
        assert!(!failures.admits(one, start + Duration::from_millis(600)));
        assert!(failures.admits(one, start + Duration::from_secs(60)));
    }

    #[test]
    fn the_addresses_of_one_ipv6_host_count_as_one_and_all_are_bounded() {
        let mut failures = Failures::new(RATE);
        let start = Instant::now();
        for host in 1..=3_u128 {
            failures.failed(Ipv6Addr::from_bits(0xfd00 << 112 | host).into(), start);
        }
        assert!(!failures.admits("fd00::99".parse().unwrap(), start));
        assert!(failures.admits("fd00:0:0:1::1".parse().unwrap(), start));
        for host in 0..10_000_u32 {
            failures.failed(IpAddr::from(host.to_be_bytes()), start);
        }
        assert_eq!(failures.left.len(), ADDRESSES_MAX);
    }
}
