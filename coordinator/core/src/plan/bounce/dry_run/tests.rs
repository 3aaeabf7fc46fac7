//! What the dry run takes, what it refuses and in which words.

use super::*;

const CROSSOVER: &str = r#"{
    "method": "crossover",
    "new_config": {"id": "a.b.git00000002.config00000001", "instances": 3},
    "new_app_running": true,
    "happy_new_tasks": ["n1"],
    "old_app_live_happy_tasks": {"z.app": ["o1"], "a.app": ["o2"]},
    "old_app_live_unhappy_tasks": {"z.app": ["o3"], "a.app": []},
    "old_app_at_risk_tasks": {"a.app": ["o4"]},
    "margin_factor": 1
}"#;

fn ask(text: &str) -> Result<DryRunOutput, String> {
    match serde_json::from_str::<DryRun>(text) {
        Ok(question) => Ok(question.run()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn the_order_of_the_text_decides_who_is_kept() {
    let output = ask(CROSSOVER).unwrap();
    assert_eq!(
        serde_json::to_string(&output).unwrap(),
        r#"{"create_app":false,"tasks_to_drain":["o3","o4"]}"#
    );
    let one_more = CROSSOVER.replace("\"n1\"", "\"n1\", \"n2\"");
    // z.app comes first in the text, so its happy task is the one that stays.
    assert_eq!(ask(&one_more).unwrap().tasks_to_drain, ["o2", "o3", "o4"]);
}

#[test]
fn what_may_be_left_out_may_be_left_out() {
    let short = r#"{"method": "upthendown", "new_config": {"id": "x", "instances": 2},
        "new_app_running": false, "happy_new_tasks": [],
        "old_app_live_happy_tasks": {"app": ["o1"]}, "old_app_live_unhappy_tasks": {}}"#;
    let expected = DryRunOutput {
        create_app: true,
        tasks_to_drain: Vec::new(),
    };
    assert_eq!(ask(short), Ok(expected));
}

#[test]
fn every_fault_is_named_by_its_field() {
    for (from, to, words) in [
        (
            "\"crossover\"",
            "\"crosover\"",
            "`method`: expected one of brutal, upthendown, crossover, downthenup, down, found `crosover`",
        ),
        (
            "\"margin_factor\": 1",
            "\"margin_factor\": 0",
            "`margin_factor`: expected a number greater than 0 and at most 1, found 0",
        ),
        (
            "\"margin_factor\": 1",
            "\"margin_factor\": 1.5",
            "found 1.5",
        ),
        (
            "\"margin_factor\": 1",
            "\"margin_factor\": \"1\"",
            "found the text \"1\"",
        ),
        (
            "\"margin_factor\": 1",
            "\"margin\": 1",
            "field `margin` is not known; the fields are [\"method\"",
        ),
        (
            "\"instances\": 3",
            "\"instances\": -3",
            "`new_config.instances`: expected a whole number from 0, found -3",
        ),
        (
            "\"instances\": 3",
            "\"instances\": 2.5",
            "`new_config.instances`",
        ),
        (
            "\"instances\": 3",
            "\"count\": 3",
            "`new_config.count` is not known",
        ),
        (
            "\"new_app_running\": true,",
            "",
            "`new_app_running` is missing",
        ),
        (
            "\"new_app_running\": true",
            "\"new_app_running\": 1",
            "`new_app_running`: expected true or false, found 1",
        ),
        (
            "[\"n1\"]",
            "[7]",
            "`happy_new_tasks[0]`: expected a text, found 7",
        ),
        (
            "[\"n1\"]",
            "{}",
            "`happy_new_tasks`: expected a list of task ids, found an object",
        ),
        (
            "\"z.app\": [\"o1\"]",
            "\"z.app\": \"o1\"",
            "`old_app_live_happy_tasks.z.app`: expected a list",
        ),
        (
            "{\"a.app\": [\"o4\"]}",
            "[\"o4\"]",
            "`old_app_at_risk_tasks`: expected an object",
        ),
        (
            "\"n1\"",
            "\"o4\"",
            "`o4` is in `happy_new_tasks` and again in `old_app_at_risk_tasks`",
        ),
        (
            "\"n1\"",
            "\"n1\", \"n1\"",
            "`n1` is in `happy_new_tasks` and again in `happy_new_tasks`",
        ),
        (
            "\"a.app\": [\"o2\"]",
            "\"z.app\": [\"o2\"]",
            "`old_app_live_happy_tasks.z.app` is given twice",
        ),
        (
            "\"method\": \"crossover\",",
            "\"method\": \"down\", \"method\": \"crossover\",",
            "`method` is given twice",
        ),
    ] {
        let text = CROSSOVER.replacen(from, to, 1);
        assert_ne!(text, CROSSOVER, "{from} must be in the example");
        let error = ask(&text).unwrap_err();
        assert!(error.contains(words), "{from} -> {to}: {error}");
    }
    assert!(ask("[]").unwrap_err().contains("expected a JSON object"));
}
