//! The section `pools`: what the operator says of each pool of hosts.

use crate::{
    overcommit::{Overcommit, Pools},
    soa::decode::{Fields, Range},
};

/// The smallest and the largest factor of an overcommit.
const FACTOR: (f64, f64) = (0.1, 100.0);

/// `pools`: by name, `overcommit: {cpus, mem, disk}`, factors of what each host of the pool has, 0.1
/// to 100, rounded to thousandths. Default 1 each. Pools that differ from nothing are left out.
pub(super) fn pools(fields: &mut Fields<'_, '_>) -> Pools {
    let mut pools = Pools::new();
    let Some(mut section) = fields.map("pools") else {
        return pools;
    };
    for (name, entry) in &section.raw().entries {
        let Some(map) = entry.node.as_map() else {
            let message = format!("expected a map, found {}", entry.node.describe());
            section.error(name, &entry.node.mark, message);
            continue;
        };
        let mut pool = section.nested(name, map);
        let overcommit = pool.map("overcommit").map(|mut given| {
            let found = overcommit(&mut given);
            given.warn_unknown(&[]);
            found
        });
        pool.warn_unknown(&[]);
        let given = overcommit.filter(|overcommit| !overcommit.is_none());
        pools.extend(given.map(|overcommit| (name.clone(), overcommit)));
    }
    pools
}

fn overcommit(fields: &mut Fields<'_, '_>) -> Overcommit {
    let mut factor = |key| {
        let given = fields.number(key, Range::within(FACTOR.0, FACTOR.1));
        (given.unwrap_or(1.0) * 1_000.0).round() as u32
    };
    Overcommit {
        cpus_milli: factor("cpus"),
        mem_milli: factor("mem"),
        disk_milli: factor("disk"),
    }
}
