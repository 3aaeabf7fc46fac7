//! The planner alone, on one core: placements per second from nothing, and the cost of applying
//! them.

use std::time::Instant;

use paasta_coordinator_core::plan::plan;

use crate::{
    machine::{figure, verdict},
    world::{Shape, all_well, declared, placements},
};

/// Rounds of each shape; the best counts, as the others were disturbed.
const ROUNDS: usize = 3;

/// Runs every shape and prints its figures.
pub(crate) fn run() {
    println!("planner alone, one core, from an empty cluster to everything placed:");
    let shapes = [
        (1_000, 100, 100, false, 20_000.0),
        (1_000, 10_000, 1, false, 20_000.0),
        (1_000, 1_000, 100, false, 20_000.0),
        (5_000, 1_000, 100, true, 10_000.0),
    ];
    for (hosts, instances, replicas_each, constrained, target) in shapes {
        let shape = Shape {
            hosts,
            instances,
            replicas_each,
            constrained,
        };
        let (planning, applying) = measure(shape);
        let with = if constrained {
            ", LIKE and GROUP_BY over 3 locations"
        } else {
            ""
        };
        let total = instances as u64 * u64::from(replicas_each);
        let name = format!("{hosts} hosts, {total} replicas of {instances} instances{with}");
        verdict(&name, planning, "placements/s", target, true);
        figure("  the same, applied", applying, "placements/s");
    }
    println!(
        "  (swarmkit's own scheduler benchmark, on a machine of this kind: 3,100-3,800/s at 1,000 \
         hosts, 675/s at 5,000 with a constraint)"
    );
}

/// Placements per second of planning, and of applying what was planned.
fn measure(shape: Shape) -> (f64, f64) {
    let empty = declared(shape);
    let observed = all_well(&empty);
    let mut best = (0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        let mut cluster = empty.clone();
        let began = Instant::now();
        let planned = plan(&cluster.state, &observed, cluster.now);
        let planning = began.elapsed().as_secs_f64();
        let placed = placements(&planned);
        let wanted = shape.instances * shape.replicas_each as usize;
        assert_eq!(placed, wanted, "one plan places everything");
        let began = Instant::now();
        for command in planned.commands {
            cluster.must(command);
        }
        let applying = began.elapsed().as_secs_f64();
        let placed = placed as f64;
        best = (best.0.max(placed / planning), best.1.max(placed / applying));
    }
    best
}
