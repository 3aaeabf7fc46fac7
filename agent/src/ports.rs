//! Ports of the host for new runs: drawn at random from the operator's range and tried by binding
//! them, as anything on the host may hold one.

use std::{collections::BTreeSet, net::TcpListener};

use rand::{RngExt, rngs::StdRng};

/// Ports offered to one step, at most; a host that starts more replicas at once does it in
/// several steps.
pub const OFFER_MAX: usize = 256;
/// Draws for each port wanted, before the range counts as used up.
const DRAWS_PER_PORT: usize = 16;

/// Draws up to `wanted` ports of the range (both ends included) that can be bound now.
pub fn offer(range: (u16, u16), wanted: usize, chance: &mut StdRng) -> Vec<u16> {
    let wanted = wanted.min(OFFER_MAX);
    let mut offered = BTreeSet::new();
    let mut ports = Vec::with_capacity(wanted);
    for _ in 0..wanted * DRAWS_PER_PORT {
        if ports.len() == wanted {
            break;
        }
        let port = chance.random_range(range.0..=range.1);
        if offered.insert(port) && is_free(port) {
            ports.push(port);
        }
    }
    ports
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn only_ports_that_can_be_bound_are_offered_each_once() {
        let held = TcpListener::bind(("0.0.0.0", 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let mut chance = StdRng::seed_from_u64(7);
        assert!(offer((port, port), 3, &mut chance).is_empty());
        drop(held);
        assert_eq!(offer((port, port), 3, &mut chance), [port]);
        let many = offer((20_000, 29_999), 50, &mut chance);
        assert_eq!(many.len(), 50);
        assert_eq!(many.iter().collect::<BTreeSet<_>>().len(), 50);
        assert!(many.iter().all(|port| (20_000..=29_999).contains(port)));
        assert_ne!(
            many,
            offer((20_000, 29_999), 50, &mut chance),
            "not in order"
        );
    }
}
