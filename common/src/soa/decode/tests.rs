//! Typed fields: what each kind accepts and how it refuses.

use super::*;
use crate::soa::yaml;

/// Decodes with `take` and returns what was taken and every problem, as text.
fn decode<T>(text: &str, take: impl FnOnce(&mut Fields<'_, '_>) -> T) -> (T, Vec<String>) {
    let node = yaml::parse("f.yaml", text).unwrap();
    let mut problems = Vec::new();
    let value = take(&mut Fields::new(
        node.as_map().unwrap(),
        "main",
        &mut problems,
    ));
    (value, problems.iter().map(ToString::to_string).collect())
}

#[test]
fn numbers_keep_their_bounds() {
    let above = Range::above(32.0, 1000.0);
    for (text, expected) in [
        ("x: 32.5", Ok(32.5)),
        ("x: 1000", Ok(1000.0)),
        (
            "x: 32",
            Err("must be more than 32 and at most 1000, found the number 32"),
        ),
        (
            "x: 1001",
            Err("must be more than 32 and at most 1000, found the number 1001"),
        ),
        ("x: '64'", Err("expected a number, found the text \"64\"")),
        ("x: yes", Err("expected a number, found the boolean true")),
        ("x: .nan", Err("expected a number, found the number NaN")),
        ("x: [1]", Err("expected a number, found a list")),
    ] {
        let (value, problems) = decode(text, |fields| fields.number("x", above));
        match expected {
            Ok(expected) => assert_eq!((value, problems.len()), (Some(expected), 0), "{text}"),
            Err(message) => assert_eq!(problems, [format!("f.yaml:1:4: main.x: {message}")]),
        }
    }
    let (value, problems) = decode("x: 1.5", |fields| fields.whole("x", above));
    assert_eq!((value, problems.len()), (None, 1));
    assert!(problems[0].contains("expected a whole number, found the number 1.5"));
    assert_eq!(
        decode("x: ", |fields| fields.number("x", above)),
        (None, vec![])
    );
}

#[test]
fn text_must_be_text_and_choices_are_listed() {
    let (_, problems) = decode("x: 8888", |fields| fields.text("x"));
    assert!(problems[0].ends_with("expected text, found the number 8888: put it in quotes"));
    let (value, problems) = decode("x: htp", |fields| fields.choice("x", &["http", "tcp"]));
    assert_eq!(value, None);
    assert_eq!(
        problems,
        [
            "f.yaml:1:4: main.x: expected one of http, tcp, found the text \"htp\"; did you mean \"http\"?"
        ]
    );
    let (value, problems) = decode("x: [a, 1, b]", |fields| fields.texts("x"));
    assert_eq!(value.unwrap(), ["a", "b"]);
    assert!(problems[0].starts_with("f.yaml:1:8: main.x[1]: expected text"));
}

#[test]
fn what_nobody_asked_for_is_named_with_what_was_meant() {
    let text = "cpus: 1\ncpuss: 2\nsub:\n  deep: 1\n  dep: 2\n";
    let take = |fields: &mut Fields<'_, '_>| {
        fields.node("cpus");
        if let Some(mut sub) = fields.map("sub") {
            sub.node("deep");
            sub.refuse_unknown();
        }
        fields.warn_unknown(&["known_elsewhere"]);
    };
    let ((), problems) = decode(text, take);
    assert_eq!(
        problems,
        [
            "f.yaml:5:3: main.sub.dep: unknown field; did you mean \"deep\"?",
            "f.yaml:2:1: main.cpuss: unknown field; did you mean \"cpus\"?",
        ]
    );
}

#[test]
fn seconds_become_milliseconds() {
    let range = Range::within(0.0, 10.0);
    let (value, _) = decode("x: 1.5", |fields| fields.seconds("x", range));
    assert_eq!(value, Some(1500));
    let (value, problems) = decode("x: -1", |fields| fields.seconds("x", range));
    assert_eq!((value, problems.len()), (None, 1));
}

#[test]
fn maps_merge_all_the_way_down() {
    let below = yaml::parse("b", "{a: 1, m: {x: 1, y: {p: 1}}, l: [1, 2]}").unwrap();
    let above = yaml::parse("a", "{b: 2, m: {y: {q: 2}}, l: [3]}").unwrap();
    let merged = below.overlaid(&above);
    assert_eq!(
        merged.to_json(),
        serde_json::json!({"a": 1, "b": 2, "m": {"x": 1, "y": {"p": 1, "q": 2}}, "l": [3]})
    );
    let file = |key: &str| merged.as_map().unwrap().get(key).unwrap().mark.file.clone();
    assert_eq!((&*file("a"), &*file("b")), ("b", "a"));
}
