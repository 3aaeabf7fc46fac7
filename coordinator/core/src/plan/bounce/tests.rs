//! The table of every bounce method.

use super::*;

/// A row: the instances wanted, whether the new app runs, how many happy new; how many old happy,
/// unhappy and at risk; what is expected: whether to create, and which old tasks leave. Old tasks
/// are numbered from 0, happy ones first.
type Row = (u32, bool, u32, [u32; 3], bool, &'static [u32]);

fn check(method: BounceMethod, margin: f64, rows: &[Row]) {
    for (instances, running, happy, [old_happy, old_unhappy, old_at_risk], create, drain) in rows {
        let first_risky = old_happy + old_unhappy;
        let input = Input {
            instances: *instances,
            new_app_running: *running,
            happy_new: (100..100 + happy).collect(),
            old_happy: (0..*old_happy).collect(),
            old_unhappy: (*old_happy..first_risky).collect(),
            old_at_risk: (first_risky..first_risky + old_at_risk).collect(),
            margin: Margin::new(margin).unwrap(),
        };
        let expected = Decision {
            create_app: *create,
            tasks_to_drain: drain.to_vec(),
        };
        assert_eq!(
            decide(method, &input),
            expected,
            "{method}, margin {margin}: {input:?}"
        );
    }
}

#[test]
fn brutal_creates_and_drains_in_one_step() {
    check(
        BounceMethod::Brutal,
        1.0,
        &[
            (3, false, 0, [3, 0, 0], true, &[0, 1, 2]),
            (3, true, 0, [1, 1, 1], false, &[0, 1, 2]),
            (3, true, 3, [0, 0, 0], false, &[]),
            (0, false, 0, [0, 0, 0], true, &[]),
        ],
    );
}

#[test]
fn upthendown_waits_for_every_new_replica() {
    check(
        BounceMethod::UpThenDown,
        1.0,
        &[
            (2, false, 0, [2, 0, 0], true, &[]),
            (2, true, 0, [2, 0, 0], false, &[]),
            (2, true, 1, [1, 1, 0], false, &[]),
            (2, true, 2, [1, 1, 1], false, &[0, 1, 2]),
            // Surplus happy replicas block the end, which is why they are trimmed first.
            (2, true, 3, [2, 0, 0], false, &[]),
            // Counting happy replicas of an app that does not run would drain too early.
            (2, false, 2, [2, 0, 0], true, &[]),
            // Nothing is wanted: create first, then drain.
            (0, false, 0, [2, 0, 0], true, &[]),
            (0, true, 0, [2, 0, 0], false, &[0, 1]),
        ],
    );
}

#[test]
fn crossover_lets_one_old_replica_go_for_each_happy_new_one() {
    check(
        BounceMethod::Crossover,
        1.0,
        &[
            (3, false, 0, [3, 0, 0], true, &[]),
            (3, true, 0, [3, 0, 0], false, &[]),
            (3, true, 1, [3, 0, 0], false, &[2]),
            (3, true, 2, [2, 0, 0], false, &[1]),
            (3, true, 3, [1, 0, 0], false, &[0]),
            // Unhappy ones go before happy ones, those at risk before both.
            (3, true, 1, [2, 1, 0], false, &[2]),
            (3, true, 1, [1, 1, 1], false, &[2]),
            (3, true, 2, [1, 1, 1], false, &[1, 2]),
            // Five old, three wanted: the surplus goes before the new app exists.
            (3, false, 0, [5, 0, 0], true, &[3, 4]),
            (3, false, 0, [2, 2, 1], true, &[3, 4]),
            // More happy than wanted is not less than nothing.
            (3, true, 5, [2, 0, 0], false, &[0, 1]),
            (0, true, 0, [2, 0, 0], false, &[0, 1]),
            (0, false, 0, [2, 0, 0], true, &[0, 1]),
        ],
    );
    check(
        BounceMethod::Crossover,
        0.5,
        &[
            (4, false, 0, [4, 0, 0], true, &[2, 3]),
            (5, true, 0, [5, 0, 0], false, &[3, 4]),
            (5, true, 2, [3, 0, 0], false, &[1, 2]),
            (5, true, 3, [1, 0, 0], false, &[0]),
            (1, true, 0, [1, 0, 0], false, &[]),
        ],
    );
}

#[test]
fn downthenup_creates_only_when_nothing_old_is_left() {
    check(
        BounceMethod::DownThenUp,
        1.0,
        &[
            (3, false, 0, [3, 0, 0], false, &[0, 1, 2]),
            (3, false, 0, [0, 0, 1], false, &[0]),
            (3, false, 0, [0, 0, 0], true, &[]),
            (3, true, 0, [0, 0, 0], false, &[]),
            (3, true, 1, [1, 1, 0], false, &[0, 1]),
        ],
    );
}

#[test]
fn down_only_ever_drains() {
    check(
        BounceMethod::Down,
        1.0,
        &[
            (3, false, 0, [1, 1, 1], false, &[0, 1, 2]),
            (3, true, 3, [1, 0, 0], false, &[0]),
            (3, false, 0, [0, 0, 0], false, &[]),
        ],
    );
}
