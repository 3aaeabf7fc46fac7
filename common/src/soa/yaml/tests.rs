//! Trees from text: values, places, merges, and what is refused.

use proptest::prelude::*;

use super::*;

fn tree(text: &str) -> Node {
    parse("f.yaml", text).unwrap()
}

fn refusal(text: &str) -> (Option<u32>, Option<u32>, String) {
    let problem = parse("f.yaml", text).unwrap_err();
    (problem.line, problem.column, problem.message)
}

fn json(text: &str) -> serde_json::Value {
    tree(text).to_json()
}

#[test]
fn every_value_knows_where_it_was_written() {
    let node = tree("main:\n  cpus: 1\n  args: [a,\n    b]\n  env:\n    X: 'y'\n");
    let at = |path: &[&str]| {
        let mut node = &node;
        for key in path {
            node = node.as_map().unwrap().get(key).unwrap();
        }
        (node.mark.line, node.mark.column)
    };
    assert_eq!(at(&["main", "cpus"]), (2, 9));
    assert_eq!(at(&["main", "args"]), (3, 9));
    assert_eq!(at(&["main", "env", "X"]), (6, 8));
    let main = &node.as_map().unwrap().entries["main"];
    assert_eq!((main.key.line, main.key.column), (1, 1));
}

#[test]
fn quotes_make_text_and_an_empty_file_is_an_empty_map() {
    assert_eq!(
        json("a: '1'\nb: \"on\"\nc: on\nd:\ne: |\n  x\n"),
        serde_json::json!({"a": "1", "b": "on", "c": true, "d": null, "e": "x\n"})
    );
    for empty in ["", "# a comment\n", "---\n", "~"] {
        assert_eq!(json(empty), serde_json::json!({}), "{empty:?}");
    }
}

#[test]
fn merge_keys_follow_paastas_parser() {
    let text = "
_a: &a {x: 1, y: 1, deep: {p: 1}}
_b: &b {x: 2, z: 2}
own_wins: {<<: *a, x: 9}
own_wins_whatever_the_order: {x: 9, <<: *a}
first_of_a_list_wins: {<<: [*a, *b]}
last_of_two_merges_wins: {<<: *a, <<: *b}
maps_are_replaced_whole: {<<: *a, deep: {q: 2}}
inline: {<<: {w: 1}}
quoted_is_a_key: {'<<': 1}
";
    let found = json(text);
    let a = serde_json::json!({"x": 1, "y": 1, "deep": {"p": 1}});
    let with = |changes: serde_json::Value| {
        let mut expected = a.clone();
        let map = expected.as_object_mut().unwrap();
        map.extend(changes.as_object().unwrap().clone());
        expected
    };
    use serde_json::json;
    assert_eq!(found["own_wins"], with(json!({"x": 9})));
    assert_eq!(found["own_wins_whatever_the_order"], with(json!({"x": 9})));
    assert_eq!(found["first_of_a_list_wins"], with(json!({"z": 2})));
    assert_eq!(
        found["last_of_two_merges_wins"],
        with(json!({"x": 2, "z": 2}))
    );
    assert_eq!(
        found["maps_are_replaced_whole"],
        with(json!({"deep": {"q": 2}}))
    );
    assert_eq!(found["inline"], json!({"w": 1}));
    assert_eq!(found["quoted_is_a_key"], json!({"<<": 1}));
}

#[test]
fn a_merged_value_points_at_the_line_where_it_stands() {
    let node = tree("_t: &t\n  mem: 1\nmain:\n  <<: *t\n  cpus: 1\n");
    let main = node.as_map().unwrap().get("main").unwrap();
    assert_eq!(main.as_map().unwrap().get("mem").unwrap().mark.line, 2);
}

#[test]
fn faults_stay_in_their_map() {
    let node =
        tree("good: {a: 1}\nbad: {a: 1,\n  a: 2}\nworse: {<<: 5}\nodd: {[x]: 1, a: !!int x}\n");
    let found = |key: &str| {
        let mut problems = Vec::new();
        node.as_map()
            .unwrap()
            .get(key)
            .unwrap()
            .faults(key, &mut problems);
        let mut lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.sort();
        lines
    };
    assert!(found("good").is_empty());
    assert_eq!(
        found("bad"),
        ["f.yaml:3:3: bad.a: given twice: first at line 2, again at line 3"]
    );
    assert_eq!(
        found("worse"),
        ["f.yaml:4:13: worse.<<: expected a map or a list of maps to merge, found the number 5"]
    );
    assert_eq!(found("odd").len(), 2, "{:?}", found("odd"));
    let odd = found("odd").join("\n");
    assert!(
        odd.contains("f.yaml:5:7: odd: a key must be text, found a list"),
        "{odd}"
    );
    assert!(
        odd.contains("odd.a: \"x\" is not a value of its tag"),
        "{odd}"
    );
}

#[test]
fn a_key_given_twice_at_the_top_names_both_lines() {
    let node = tree("main: {}\nother: {}\nmain: {}\n");
    let fault = &node.as_map().unwrap().faults[0];
    assert_eq!(
        fault.message,
        "given twice: first at line 1, again at line 3"
    );
}

#[test]
fn what_is_not_yaml_is_refused_with_its_place() {
    for (text, line) in [
        ("a: [1, 2\nb: 3\n", 2),
        ("a: 1\n\tb: 2\n", 1),
        ("a: 'x\n", 1),
        ("a: b: c\n", 1),
        ("a: *nowhere\n", 1),
        ("a: {b: 1\n", 1),
        ("a: 1\n---\nb: 2\n", 2),
    ] {
        let (at, column, message) = refusal(text);
        assert_eq!(at, Some(line), "{text:?}: {message}");
        assert!(column.is_some() && !message.is_empty(), "{text:?}");
    }
    assert!(refusal("a: 1\n---\nb: 2\n").2.contains("a second document"));
}

#[test]
fn an_alias_to_what_contains_it_is_refused() {
    for text in ["a: &a [*a]\n", "a: &a\n  b: {c: *a}\n", "a: &a\n  <<: *a\n"] {
        let (line, _, message) = refusal(text);
        assert!(line.is_some());
        assert_eq!(
            message, "the alias refers to a value that contains it",
            "{text:?}"
        );
    }
}

#[test]
fn a_billion_laughs_cost_nothing() {
    let mut text = "a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n".to_owned();
    for n in 1..12 {
        let alias = format!("*a{}", n - 1);
        let list = vec![alias; 10].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{list}]\n"));
    }
    let (line, _, message) = refusal(&text);
    assert!(line.is_some_and(|line| line < 8), "{line:?}");
    assert!(message.contains("do not nest aliases"), "{message}");
    // A long text counts for what it costs.
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(500_000),
        "*a,".repeat(1000)
    );
    assert!(refusal(&long).2.contains("do not nest aliases"));
    let deep = "[".repeat(DEPTH_MAX + 1) + &"]".repeat(DEPTH_MAX + 1);
    let (_, _, message) = refusal(&format!("a: {deep}"));
    assert!(message.contains("nested deeper"), "{message}");
}

#[test]
fn tags_say_the_type() {
    assert_eq!(
        json("{a: !!str 1, b: !!int '5', c: !!float 2}"),
        serde_json::json!({"a": "1", "b": 5, "c": 2.0})
    );
    let mut problems = Vec::new();
    tree("a: !secret x\n").faults("", &mut problems);
    assert!(
        problems[0].message.contains("!secret is not supported"),
        "{}",
        problems[0]
    );
}

proptest! {
    /// Whatever an author types, the answer is a tree or a place in the file.
    #[test]
    fn no_text_is_too_strange(text in "([a-c<*&!:,#|>'\"{}\\[\\]?% \n\t-]|<<: |\\*a|&a |\u{e9}|0){0,60}") {
        match parse("f.yaml", &text) {
            Ok(node) => node.faults("", &mut Vec::new()),
            Err(problem) => prop_assert!(problem.line.is_some(), "{text:?}: {problem}"),
        }
    }
}
