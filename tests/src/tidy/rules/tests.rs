//! Every rule finds what is planted, and is silent about its innocent neighbour.

use super::*;

fn places(violations: &[Violation]) -> Vec<(String, usize)> {
    let places = violations.iter();
    places
        .map(|found| (found.place.clone(), found.line))
        .collect()
}

fn at(path: &str, line: usize) -> Vec<(String, usize)> {
    vec![(path.to_owned(), line)]
}

#[test]
fn a_long_file_and_a_long_function_are_found() {
    let body = "    let _ = 1;\n".repeat(69);
    let long = format!("//! doc\nfn long() {{\n{body}}}\n");
    let short = format!("//! doc\nfn short() {{\n{}}}\n", &body[..body.len() - 15]);
    assert_eq!(
        places(&lengths(&Source::rust("a/src/x.rs", &long))),
        at("a/src/x.rs", 2)
    );
    assert_eq!(lengths(&Source::rust("a/src/x.rs", &short)), []);
    assert_eq!(
        lengths(&Source::rust("a/tests/x.rs", &long)),
        [],
        "a test may tell a long story"
    );
    let file = "//! doc\n".repeat(FILE_LINES_MAX + 1);
    assert_eq!(
        places(&lengths(&Source::rust("a/src/x.rs", &file))),
        at("a/src/x.rs", 0)
    );
    assert_eq!(lengths(&Source::rust("a/src/x.rs", &file[8..])), []);
}

#[test]
fn long_inline_tests_are_found() {
    let tests = "    const _: u8 = 1;\n".repeat(INLINE_TEST_LINES_MAX);
    let text = format!("//! doc\n#[cfg(test)]\nmod tests {{\n{tests}}}\n");
    assert_eq!(
        places(&lengths(&Source::rust("a/src/x.rs", &text))),
        at("a/src/x.rs", 0)
    );
}

#[test]
fn words_stay_behind_their_doors() {
    let named = |path: &str, text: &str| places(&doors(&Source::rust(path, text)));
    assert_eq!(
        named("agent/src/run.rs", "\nuse bollard::Docker;\n"),
        at("agent/src/run.rs", 2)
    );
    assert_eq!(
        named("agent/src/engine/docker.rs", "use bollard::Docker;\n"),
        []
    );
    assert_eq!(
        named("common/src/a.rs", "sled::open(p)"),
        at("common/src/a.rs", 1)
    );
    assert_eq!(named("coordinator/src/store/db.rs", "sled::open(p)"), []);
    assert_eq!(
        named("coordinator/src/leader.rs", "openraft::Raft"),
        at("coordinator/src/leader.rs", 1)
    );
    let status = "Err(Status::internal(text))";
    assert_eq!(
        named("coordinator/src/rpc/admin.rs", status),
        at("coordinator/src/rpc/admin.rs", 1)
    );
    assert_eq!(named("coordinator/src/rpc/status.rs", status), []);
    assert_eq!(named("cli/src/client.rs", status), []);
}

#[test]
fn a_core_crate_holds_no_clock_chance_or_hash_order() {
    let named = |path: &str, text: &str| places(&core_is_pure(&Source::rust(path, text)));
    let path = "agent/core/src/step.rs";
    for text in [
        "HashMap::new()",
        "Instant::now()",
        "rand::random()",
        "tokio::spawn(x)",
    ] {
        assert_eq!(named(path, text), at(path, 1), "{text}");
    }
    assert_eq!(named(path, "BTreeMap::new() // HashMap"), []);
    assert_eq!(named("agent/src/run.rs", "HashMap::new()"), []);
    let state = "coordinator/core/src/state/host.rs";
    assert_eq!(named(state, "x: f64"), at(state, 1));
}

#[test]
fn unfinished_work_is_found_in_comments_too() {
    let text = ["ok\n// TO", "DO later\n"].concat();
    assert_eq!(places(&unfinished("a.proto", &text)), at("a.proto", 2));
    assert_eq!(unfinished("a.proto", "// done\n"), []);
}

#[test]
fn vague_names_and_silent_files_are_found() {
    let named = |path: &str, text: &str| places(&rooms(&Source::rust(path, text)));
    assert_eq!(named("a/src/util.rs", "//! doc\n"), at("a/src/util.rs", 0));
    assert_eq!(named("a/src/x.rs", "use a;\n"), at("a/src/x.rs", 1));
    assert_eq!(named("a/src/x.rs", "//! doc\n"), []);
    assert_eq!(named("a/build.rs", "fn main() {}\n"), []);
}

#[test]
fn sleeping_tests_are_found() {
    let text = "//! doc\nfn f() {\n    std::thread::sleep(d);\n}\n";
    let named = |path: &str, allowed: &[&str]| places(&sleeps(&Source::rust(path, text), allowed));
    assert_eq!(named("a/tests/x.rs", &[]), at("a/tests/x.rs", 3));
    assert_eq!(named("a/tests/x.rs", &["a/tests/x.rs"]), []);
    assert_eq!(named("a/src/x.rs", &[]), [], "not a test");
}
