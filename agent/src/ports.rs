//! Ports of this host for new runs: drawn at random from the operator's range and tried by
//! binding them, as anything on the host may hold one.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::{Ipv4Addr, Ipv6Addr, TcpListener},
};

use paasta_agent_core::{observed::Ports, ports::Wanted};
use rand::{RngExt, rngs::StdRng};

/// Ports offered to one step, at most; a host that starts more replicas at once does it in
/// several steps.
pub const OFFER_MAX: usize = 256;
/// Ports tried for one step, at most: some 50 ms. A range of which so many are held counts as
/// used up.
const TRIES_MAX: usize = 4_096;

/// Draws the ports that are wanted and can be bound now, none of them `taken`, from the range
/// (both ends included), and tries the fixed ones.
pub fn offer(
    range: (u16, u16),
    wanted: &Wanted,
    taken: &BTreeSet<u16>,
    chance: &mut StdRng,
) -> Ports {
    let draw = wanted.drawn.min(OFFER_MAX);
    let mut free = Vec::with_capacity(draw);
    if draw > 0 {
        let untaken = shuffled(range, chance).filter(|port| !taken.contains(port));
        free.extend(
            untaken
                .take(TRIES_MAX)
                .filter(|port| is_free(*port))
                .take(draw),
        );
    }
    let fixed = wanted.fixed.difference(taken);
    Ports {
        spent: free.len() < draw,
        held: fixed.copied().filter(|port| !is_free(*port)).collect(),
        free,
    }
}

/// Every port of the range once, in an order of chance.
fn shuffled((first, last): (u16, u16), chance: &mut StdRng) -> impl Iterator<Item = u16> {
    let count = u32::from(last.saturating_sub(first)) + 1;
    let start = chance.random_range(0..count);
    // Steps that share no divisor with the count come by everywhere.
    let step = (0..64)
        .map(|_| chance.random_range(1..=count))
        .find(|step| common_divisor(*step, count) == 1)
        .unwrap_or(1);
    let at = move |n: u32| (u64::from(start) + u64::from(n) * u64::from(step)) % u64::from(count);
    // Below the count, which fits.
    (0..count).map(move |n| first + at(n) as u16)
}

fn common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// By both families: the engine binds both, and who listens on one of them stops it.
fn is_free(port: u16) -> bool {
    let (v4, v6) = (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
    // A host without the second family has nobody who could hold the port there.
    let held = |error: std::io::Error| error.kind() == ErrorKind::AddrInUse;
    TcpListener::bind((v4, port)).is_ok() && !TcpListener::bind((v6, port)).is_err_and(held)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn draw(range: (u16, u16), drawn: usize, taken: &[u16], chance: &mut StdRng) -> Ports {
        let wanted = Wanted {
            drawn,
            fixed: BTreeSet::new(),
        };
        offer(range, &wanted, &taken.iter().copied().collect(), chance)
    }

    #[test]
    fn only_ports_that_can_be_bound_are_offered_each_once() {
        let held = TcpListener::bind(("0.0.0.0", 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let mut chance = StdRng::seed_from_u64(7);
        let none = draw((port, port), 3, &[], &mut chance);
        assert!(none.free.is_empty() && none.spent);
        drop(held);
        let one = draw((port, port), 3, &[], &mut chance);
        assert!(one.free == [port] && one.spent);
        assert!(draw((port, port), 1, &[port], &mut chance).spent);
        let many = draw((20_000, 29_999), 50, &[], &mut chance);
        assert!(many.free.len() == 50 && !many.spent);
        assert_eq!(many.free.iter().collect::<BTreeSet<_>>().len(), 50);
        let inside = |port: &u16| (20_000..=29_999).contains(port);
        assert!(many.free.iter().all(inside));
        let again = draw((20_000, 29_999), 50, &[], &mut chance);
        assert_ne!(many, again, "not in order");
        let most = draw((20_000, 29_999), 1_000, &[], &mut chance);
        assert!(most.free.len() == OFFER_MAX && !most.spent);
    }

    #[test]
    fn the_last_free_port_of_a_range_is_found() {
        let mut chance = StdRng::seed_from_u64(8);
        let (first, last) = (30_000, 30_900);
        let taken: Vec<u16> = (first..=last).filter(|port| *port != 30_123).collect();
        let held = !is_free(30_123);
        for _ in 0..20 {
            let found = draw((first, last), 1, &taken, &mut chance);
            assert!(held || found.free == [30_123]);
        }
    }

    #[test]
    fn a_fixed_port_that_is_held_is_told_in_either_family() {
        let mut chance = StdRng::seed_from_u64(9);
        for address in ["0.0.0.0", "127.0.0.1", "::1"] {
            let Ok(held) = TcpListener::bind((address, 0)) else {
                assert_eq!(address, "::1", "this machine has no loopback");
                continue;
            };
            let port = held.local_addr().unwrap().port();
            let wanted = Wanted {
                drawn: 0,
                fixed: BTreeSet::from([port]),
            };
            let none = BTreeSet::new();
            let told = offer((1, 1), &wanted, &none, &mut chance);
            assert_eq!(told.held, wanted.fixed, "{address}");
            let ours = offer((1, 1), &wanted, &wanted.fixed, &mut chance);
            assert!(ours.held.is_empty(), "what is ours is not another's");
            drop(held);
            let told = offer((1, 1), &wanted, &none, &mut chance);
            assert!(told.held.is_empty() && !told.spent);
        }
    }
}
