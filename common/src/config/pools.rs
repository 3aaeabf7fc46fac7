//! The section `pools`: what the operator says of each pool of hosts.

use crate::{
    overcommit::{Overcommit, Pools},
    soa::table::{
        Default::{Number as Num, Said},
        Entries, Field, Kind, Range, Record, Table,
    },
};

/// The pools by their names.
pub(super) static POOLS: Entries = Entries {
    about: "how much of what its hosts have each pool gives out, by the pools' names",
    names: None,
    templates: false,
    kind: Kind::Map(&POOL),
    filled: false,
};

static POOL: Table = Table::warning(
    "one pool of hosts",
    &[Field::new(
        "overcommit",
        Kind::Map(&OVERCOMMIT),
        "By what its hosts' capacity is multiplied.",
    )
    .or(Said("1 each"))],
);

const FACTOR: Kind = Kind::Number(Range::within(0.1, 100.0));

static OVERCOMMIT: Table = Table::warning(
    "factors of what each host has, rounded to thousandths",
    &[
        Field::new("cpus", FACTOR, "Factor of the cores.").or(Num(1.0)),
        Field::new("disk", FACTOR, "Factor of the disk.").or(Num(1.0)),
        Field::new("mem", FACTOR, "Factor of the memory.").or(Num(1.0)),
    ],
);

/// `pools`. Those that differ from nothing are left out.
pub(super) fn pools(fields: &mut Record<'_, '_>) -> Pools {
    let mut pools = Pools::new();
    for (name, node) in fields.entries("pools") {
        let Some(map) = node.as_map() else { continue };
        let mut pool = fields.below("pools", map, &POOL);
        let given = pool
            .map("overcommit")
            .map(|mut given| overcommit(&mut given));
        let given = given.filter(|overcommit| !overcommit.is_none());
        pools.extend(given.map(|overcommit| (name.to_owned(), overcommit)));
    }
    pools
}

fn overcommit(fields: &mut Record<'_, '_>) -> Overcommit {
    let mut factor = |key| (fields.number(key).unwrap_or(1.0) * 1_000.0).round() as u32;
    Overcommit {
        cpus_milli: factor("cpus"),
        mem_milli: factor("mem"),
        disk_milli: factor("disk"),
    }
}
