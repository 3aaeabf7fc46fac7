//! The scanner, on the shapes that mislead one.

use super::*;

#[test]
fn comments_and_literals_are_no_code() {
    let text = "let a = \"sled\"; // sled\n/* sled /* sled */ sled */ let b = 's';\nlet c = r#\"sled \" \"#; sled::open();\nlet d: &'static str = \"\\\"sled\";\n";
    let source = Source::rust("x/src/a.rs", text);
    assert_eq!(source.lines_naming("sled"), [3]);
    assert_eq!(source.code.lines().count(), 4);
    assert!(source.code.contains("'static"));
}

#[test]
fn a_word_is_named_only_as_a_whole_word() {
    let source = Source::rust(
        "x/src/a.rs",
        "use sledge;\nlet a_sled = 1;\nuse sled;\nsled::Db\n",
    );
    assert_eq!(source.lines_naming("sled"), [3, 4]);
    let source = Source::rust("x/src/a.rs", "HostStatus::new();\nStatus::internal();\n");
    assert_eq!(source.lines_naming("Status::"), [2]);
}

#[test]
fn tests_inside_a_file_are_told_from_its_production_lines() {
    let text = "//! doc\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {\n    }\n}\n";
    let source = Source::rust("x/src/a.rs", text);
    assert_eq!(
        (source.production_lines(), source.inline_test_lines()),
        (3, 5)
    );
    assert!(source.is_test_line(6) && !source.is_test_line(2));
    let child = Source::rust("x/src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests;\n");
    assert_eq!(child.production_lines(), 1);
}

#[test]
fn a_file_is_a_test_by_its_name_or_directory() {
    for path in [
        "a/tests/x.rs",
        "a/src/b/tests.rs",
        "tests/tests/tidy.rs",
        "a/src/tests/world.rs",
    ] {
        assert!(is_test_file(path), "{path}");
    }
    for path in ["a/src/x.rs", "tests/src/tidy.rs", "a/src/contests.rs"] {
        assert!(!is_test_file(path), "{path}");
    }
}

#[test]
fn functions_are_measured_from_fn_to_the_closing_brace() {
    let text = "fn one() {}\nfn two(\n    a: [u8; 4],\n) -> u8 {\n    match a { _ => 1 }\n}\ntrait T { fn none(&self); }\ntype F = fn (u8);\n";
    let found = Source::rust("x/src/a.rs", text).functions();
    let found: Vec<_> = found
        .iter()
        .map(|f| (f.name.as_str(), f.line, f.lines))
        .collect();
    assert_eq!(found[..2], [("one", 1, 1), ("two", 2, 5)]);
    assert!(!found.iter().any(|(name, ..)| *name == "none"));
}
