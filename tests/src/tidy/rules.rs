//! The rules about one source at a time.

use super::{
    Violation,
    source::{Source, is_test_file},
};

/// The most lines of a file that are no tests.
pub const FILE_LINES_MAX: usize = 600;
/// The most lines of tests inside a production file; more go to a child file `tests.rs`.
pub const INLINE_TEST_LINES_MAX: usize = 200;
/// The most lines of a function that is no test.
pub const FUNCTION_LINES_MAX: usize = 70;

/// File names that say nothing about what belongs inside.
const VAGUE_FILES: [&str; 5] = [
    "util.rs",
    "helpers.rs",
    "misc.rs",
    "manager.rs",
    "common.rs",
];

/// Words that a decision made from values only has no use for.
const NOT_IN_CORE: [&str; 7] = [
    "HashMap",
    "HashSet",
    "Instant",
    "SystemTime",
    "tokio",
    "rand",
    "tracing",
];

/// A crate or type that may be named in certain rooms only.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    /// What is guarded.
    pub word: &'static str,
    /// Where the rule holds; empty for the whole tree.
    pub within: &'static str,
    /// Path beginnings where the word may stand.
    pub rooms: &'static [&'static str],
    /// Whether tests must keep to it too.
    pub tests_too: bool,
}

/// The one-door rules.
pub const DOORS: [Door; 4] = [
    Door {
        word: "sled",
        within: "",
        rooms: &[
            "coordinator/src/store/",
            // The reader of version 0.1, which goes with version 0.3.
            "agent/src/ledger/sled_0_1.rs",
        ],
        tests_too: false,
    },
    Door {
        word: "bollard",
        within: "",
        rooms: &["agent/src/engine/docker.rs", "agent/src/engine/docker/"],
        tests_too: true,
    },
    Door {
        word: "openraft",
        within: "",
        rooms: &["coordinator/src/raft/", "coordinator/src/store/"],
        tests_too: false,
    },
    Door {
        word: "Status::",
        within: "coordinator/src/",
        rooms: &[
            "coordinator/src/rpc/status.rs",
            // The coordinators' own talk: its codes are part of its protocol.
            "coordinator/src/raft/",
        ],
        tests_too: false,
    },
];

/// A file or a function that is longer than the caps.
pub fn lengths(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut add = |line, message: String| found.push(Violation::new(&source.path, line, message));
    let lines = source.production_lines();
    if lines > FILE_LINES_MAX {
        add(
            0,
            format!("{lines} lines, more than {FILE_LINES_MAX}: split it by idea"),
        );
    }
    let tests = source.inline_test_lines();
    if tests > INLINE_TEST_LINES_MAX {
        let to = source.path.trim_end_matches(".rs");
        add(
            0,
            format!(
                "{tests} lines of inline tests, more than {INLINE_TEST_LINES_MAX}: move them to {to}/tests.rs"
            ),
        );
    }
    for function in source.functions() {
        if function.lines > FUNCTION_LINES_MAX && !source.is_test_line(function.line) {
            let (name, lines) = (&function.name, function.lines);
            add(
                function.line,
                format!("fn {name} has {lines} lines, more than {FUNCTION_LINES_MAX}"),
            );
        }
    }
    found
}

/// A word outside the rooms that [`DOORS`] gives it.
pub fn doors(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for door in &DOORS {
        let free = door.rooms.iter().any(|room| source.path.starts_with(room));
        if free || !source.path.starts_with(door.within) {
            continue;
        }
        for line in source.lines_naming(door.word) {
            if door.tests_too || !source.is_test_line(line) {
                let message = format!(
                    "`{}` may be named only in {}",
                    door.word,
                    door.rooms.join(", ")
                );
                found.push(Violation::new(&source.path, line, message));
            }
        }
    }
    found
}

/// Input and output, time, chance or hash order in a core crate; floats in its replicated state.
pub fn core_is_pure(source: &Source) -> Vec<Violation> {
    let cores = ["coordinator/core/src/", "agent/core/src/"];
    if !cores.iter().any(|core| source.path.starts_with(core)) {
        return Vec::new();
    }
    let mut banned = NOT_IN_CORE.to_vec();
    if source.path.starts_with("coordinator/core/src/state") {
        banned.extend(["f32", "f64"]);
    }
    let mut found = Vec::new();
    for word in banned {
        for line in source.lines_naming(word) {
            let message = format!(
                "`{word}` has no place in a core crate: decide from values, in a fixed order"
            );
            found.push(Violation::new(&source.path, line, message));
        }
    }
    found
}

/// Unfinished work, by the words that mark it. `text` may be of any kind of file.
pub fn unfinished(path: &str, text: &str) -> Vec<Violation> {
    // Put together here, so that this file does not hold the words itself.
    let words = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["unimple", "mented!"],
        ["to", "do!"],
        ["#[ig", "nore"],
    ];
    let mut found = Vec::new();
    for word in words.map(|parts| parts.concat()) {
        for (at, line) in text.lines().enumerate() {
            if line.contains(&word) {
                let message = format!("`{word}` marks unfinished work: finish it or take it out");
                found.push(Violation::new(path, at + 1, message));
            }
        }
    }
    found
}

/// A file name that is no room, or a source that does not say what it is for.
pub fn rooms(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let name = source.path.rsplit('/').next().unwrap_or_default();
    if VAGUE_FILES.contains(&name) {
        let message = "a file is named for the idea inside, not for being shared";
        found.push(Violation::new(&source.path, 0, message));
    }
    let in_src = source.path.split('/').any(|part| part == "src");
    if in_src && !source.text.starts_with("//!") {
        let message = "the first line says `//!` why this file exists and what is not in it";
        found.push(Violation::new(&source.path, 1, message));
    }
    found
}

/// A test that sleeps instead of waiting for what it needs. `allowed` are path beginnings.
pub fn sleeps(source: &Source, allowed: &[&str]) -> Vec<Violation> {
    if allowed.iter().any(|path| source.path.starts_with(path)) {
        return Vec::new();
    }
    let all = is_test_file(&source.path) || source.path.starts_with("tests/");
    let mut found = Vec::new();
    for word in ["thread::sleep", "time::sleep"] {
        for line in source.lines_naming(word) {
            if all || source.is_test_line(line) {
                let message = format!("`{word}` in a test: wait for a condition with a deadline");
                found.push(Violation::new(&source.path, line, message));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
