//! `paasta bounce plan`: the table of each method, through the real binary.

use serde_json::{Value, json};

use crate::paasta::{Ran, paasta_with};

/// A question: `old` is (happy, unhappy, at risk) of one old app.
fn question(method: &str, instances: u32, running: bool, new: &[&str], old: [&[&str]; 3]) -> Value {
    json!({
        "method": method,
        "new_config": {"id": "s.i.git22222222.config22222222", "instances": instances},
        "new_app_running": running,
        "happy_new_tasks": new,
        "old_app_live_happy_tasks": {"s.i.git11111111.config11111111": old[0]},
        "old_app_live_unhappy_tasks": {"s.i.git11111111.config11111111": old[1]},
        "old_app_at_risk_tasks": {"s.i.git11111111.config11111111": old[2]},
        "margin_factor": 1.0,
    })
}

fn plan(question: &Value) -> Ran {
    paasta_with(
        &["bounce", "plan", "--input", "-", "--json"],
        &[],
        &question.to_string(),
    )
}

/// What is answered, and that it is exactly the two fields on one line.
fn answer(question: &Value) -> (bool, Vec<String>) {
    let ran = plan(question).exits(0);
    assert_eq!(ran.stdout.lines().count(), 1, "{ran:?}");
    let json = ran.json();
    let fields = json.as_object().expect("an object");
    assert_eq!(fields.len(), 2, "{ran:?}");
    let drained = fields["tasks_to_drain"].as_array().expect("a list").iter();
    let drained = drained.map(|id| id.as_str().expect("an id").to_owned());
    (
        fields["create_app"].as_bool().expect("a truth"),
        drained.collect(),
    )
}

fn check(rows: &[(Value, bool, &[&str])]) {
    for (question, create, drained) in rows {
        let wanted: Vec<String> = drained.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(answer(question), (*create, wanted), "{question}");
    }
}

const NONE: [&[&str]; 3] = [&[], &[], &[]];
const OLD: [&[&str]; 3] = [&["h1", "h2"], &["u1"], &["r1"]];
const ALL: &[&str] = &["h1", "h2", "u1", "r1"];

#[test]
fn brutal_creates_and_drains_everything() {
    check(&[
        (question("brutal", 3, false, &[], OLD), true, ALL),
        (question("brutal", 3, true, &[], OLD), false, ALL),
        (
            question("brutal", 3, true, &["n1", "n2", "n3"], NONE),
            false,
            &[],
        ),
        (question("brutal", 3, false, &[], NONE), true, &[]),
    ]);
}

#[test]
fn upthendown_touches_nothing_before_all_new_are_happy() {
    check(&[
        (question("upthendown", 2, false, &[], OLD), true, &[]),
        (question("upthendown", 2, true, &["n1"], OLD), false, &[]),
        (
            question("upthendown", 2, true, &["n1", "n2"], OLD),
            false,
            ALL,
        ),
        (
            question("upthendown", 2, true, &["n1", "n2", "n3"], OLD),
            false,
            &[],
        ),
        (question("upthendown", 0, false, &[], OLD), true, &[]),
        (question("upthendown", 0, true, &[], OLD), false, ALL),
    ]);
}

#[test]
fn crossover_keeps_the_most_valuable() {
    let five: [&[&str]; 3] = [&["h1", "h2", "h3", "h4", "h5"], &[], &[]];
    check(&[
        (question("crossover", 4, false, &[], OLD), true, &[]),
        (question("crossover", 4, true, &["n1"], OLD), false, &["r1"]),
        (
            question("crossover", 4, true, &["n1", "n2"], OLD),
            false,
            &["u1", "r1"],
        ),
        (
            question("crossover", 4, true, &["n1", "n2", "n3", "n4"], OLD),
            false,
            ALL,
        ),
        (
            question("crossover", 3, false, &[], five),
            true,
            &["h4", "h5"],
        ),
        (question("crossover", 0, true, &[], OLD), false, ALL),
    ]);
}

#[test]
fn crossover_gives_up_to_its_margin() {
    let mut half = question("crossover", 4, true, &[], OLD);
    half["margin_factor"] = json!(0.5);
    check(&[(half.clone(), false, &["u1", "r1"])]);
    half["new_config"]["instances"] = json!(3);
    check(&[(half, false, &["u1", "r1"])]);
}

#[test]
fn downthenup_waits_until_the_old_are_gone() {
    check(&[
        (question("downthenup", 3, false, &[], OLD), false, ALL),
        (question("downthenup", 3, false, &[], NONE), true, &[]),
        (question("downthenup", 3, true, &["n1"], NONE), false, &[]),
        (question("downthenup", 3, true, &["n1"], OLD), false, ALL),
    ]);
}

#[test]
fn down_only_drains() {
    check(&[
        (question("down", 3, false, &[], OLD), false, ALL),
        (question("down", 0, true, &["n1"], NONE), false, &[]),
    ]);
}

#[test]
fn what_may_be_left_out_and_the_order_of_the_apps() {
    let text = r#"{"method": "brutal", "new_config": {"id": "s.i.x", "instances": 1},
        "new_app_running": true, "happy_new_tasks": [],
        "old_app_live_happy_tasks": {"z": ["z1"], "a": ["a1"]},
        "old_app_live_unhappy_tasks": {}}"#;
    let ran = paasta_with(&["bounce", "plan", "--input", "-", "--json"], &[], text).exits(0);
    assert_eq!(
        ran.stdout,
        "{\"create_app\":false,\"tasks_to_drain\":[\"z1\",\"a1\"]}\n"
    );
    let words = paasta_with(&["bounce", "plan", "--input", "-"], &[], text).exits(0);
    assert_eq!(
        words.stdout,
        "brutal: do not create the new app; drain 2: z1, a1\n"
    );
}

#[test]
fn a_wrong_input_names_its_field() {
    let good = question("brutal", 1, true, &["n1"], OLD);
    plan(&good).exits(0);
    let with = |field: &str, value: Value| {
        let mut bad = good.clone();
        bad[field] = value;
        bad
    };
    let mut missing = good.clone();
    missing
        .as_object_mut()
        .expect("an object")
        .remove("new_app_running");
    for (bad, words) in [
        (
            with("method", json!("gentle")),
            vec!["method", "upthendown", "downthenup"],
        ),
        (with("margin_factor", json!(0)), vec!["margin_factor"]),
        (with("margin_factor", json!(1.5)), vec!["margin_factor"]),
        (
            with("happy_new_tasks", json!(["h1"])),
            vec!["h1", "old_app_live_happy_tasks"],
        ),
        (
            with("new_config", json!({"id": "x", "instances": -1})),
            vec!["new_config.instances"],
        ),
        (with("happy_new", json!([])), vec!["happy_new"]),
        (
            with("old_app_live_happy_tasks", json!(["h1"])),
            vec!["old_app_live_happy_tasks"],
        ),
        (missing, vec!["new_app_running"]),
        (json!([]), vec!["object"]),
    ] {
        let ran = plan(&bad).exits(1);
        assert_eq!(ran.stdout, "");
        for word in words {
            assert!(ran.stderr.contains(word), "{word}: {ran:?}");
        }
    }
    let away = paasta_with(&["bounce", "plan", "--input", "/nonexistent/x"], &[], "").exits(1);
    assert!(away.stderr.contains("/nonexistent/x"), "{away:?}");
    paasta_with(&["bounce", "plan", "--input", "-"], &[], "not json").exits(1);
}
