//! The simulation is what it says it is: one seed makes one run, and a fault that is planted is
//! found, each by the checker of its invariant. The seeds themselves are run by `make sim`.

use std::process::{Command, Output};

use paasta_tests::sim::Plant;

/// How many seeds a planted fault may survive. In some nothing happens that would show it.
const SEEDS: u64 = 8;

fn sim(seed: u64, plant: Option<Plant>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.args(["--seed", &seed.to_string()]);
    if let Some(plant) = plant {
        command.args(["--plant", &plant.to_string()]);
    }
    command.output().expect("the simulation runs")
}

fn caught(plant: Plant) {
    let mut last = String::new();
    for seed in 1..=SEEDS {
        let output = sim(seed, Some(plant));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let blamed: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("VIOLATION "))
            .collect();
        if output.status.success() {
            assert!(blamed.is_empty(), "{blamed:?}");
            last = text;
            continue;
        }
        let ours = format!("{}: ", plant.invariant());
        assert!(
            blamed.iter().any(|line| line.starts_with(&ours)),
            "seed {seed} fails, and not by {plant}: {blamed:?}"
        );
        return;
    }
    panic!("{plant} was planted and not found in {SEEDS} seeds; the last: {last}");
}

/// In a module, so that they can be told from the tests that need a machine of their own.
mod simulation {
    use super::*;

    #[test]
    fn one_seed_twice_is_one_run() {
        for seed in [3, 12, 18] {
            let runs = [sim(seed, None), sim(seed, None)];
            let texts = runs.map(|run| String::from_utf8_lossy(&run.stdout).into_owned());
            assert!(texts[0].contains("fingerprint"), "{}", texts[0]);
            assert_eq!(texts[0], texts[1]);
        }
    }

    #[test]
    fn a_disk_that_forgets_is_found() {
        caught(Plant::I1);
    }

    #[test]
    fn a_replica_that_moves_is_found() {
        caught(Plant::I2);
    }

    #[test]
    fn a_ledger_that_forgets_is_found() {
        caught(Plant::I3);
    }

    #[test]
    fn a_planner_that_stops_what_is_happy_is_found() {
        caught(Plant::I4);
    }

    #[test]
    fn an_agent_that_takes_strangers_for_its_own_is_found() {
        caught(Plant::I5);
    }

    #[test]
    fn an_agent_that_gives_up_without_coordinators_is_found() {
        caught(Plant::I6);
    }

    #[test]
    fn a_leader_that_leads_on_without_a_majority_is_found() {
        caught(Plant::I6Quorum);
    }

    #[test]
    fn a_brake_that_is_never_applied_is_found() {
        caught(Plant::I7);
    }

    #[test]
    fn a_report_that_does_not_say_what_is_waited_for_is_found() {
        caught(Plant::I8);
    }

    #[test]
    fn a_log_that_grows_is_found() {
        caught(Plant::I9);
    }

    #[test]
    fn a_broken_file_that_hides_the_others_is_found() {
        caught(Plant::I10);
    }

    #[test]
    fn clocks_of_two_machines_that_are_compared_are_found() {
        caught(Plant::Clock);
    }

    #[test]
    fn timeouts_that_do_not_follow_the_round_trips_are_found() {
        caught(Plant::Links);
    }

    #[test]
    fn a_snapshot_that_takes_the_logs_room_is_found() {
        caught(Plant::Disk);
    }

    #[test]
    fn a_planner_that_stops_what_serves_without_a_reason_is_found() {
        caught(Plant::I14Stops);
    }

    #[test]
    fn a_reader_that_overlooks_an_instance_is_found() {
        caught(Plant::I14);
    }

    #[test]
    fn a_planner_that_changes_its_mind_is_found() {
        caught(Plant::I12);
    }

    #[test]
    fn a_planner_that_does_not_wait_for_load_balancers_is_found() {
        caught(Plant::I13);
    }

    #[test]
    fn an_empty_store_that_passes_for_the_lost_one_is_found() {
        caught(Plant::Stores);
    }

    #[test]
    fn a_coordinator_that_believes_any_term_is_found() {
        caught(Plant::Terms);
    }
}
