//! Words that docs/style.md rules out, with what to write instead. One list holds for every text
//! of the tree, the other for what users read: literals of production code, pages, shipped files.

use super::{
    Violation,
    source::{Source, is_test_file},
};

/// A word or phrase, in lower case, and what to write instead.
type Banned = (&'static str, &'static str);

/// Nowhere in the tree.
pub const EVERYWHERE: [Banned; 8] = [
    ("can not", "cannot"),
    ("whoever", "the name of the process, or `a client that`"),
    ("whomever", "the name of the recipient"),
    ("nobody knows", "... is unknown"),
    ("for want of", "without"),
    ("let go of", "released, or ended"),
    ("wants to know", "needs"),
    ("in order to", "to"),
];

/// Not in what users read.
pub const IN_TEXTS: [Banned; 9] = [
    (
        "nobody",
        "no process, no client, no one, or the passive voice",
    ),
    ("somebody", "a person, another process"),
    ("is told", "gets, receives"),
    ("are told", "get, receive"),
    ("was told", "got, received"),
    ("told of", "notified, reported"),
    ("tells of", "reports"),
    ("befell", "happened to, or the noun: failures, changes"),
    ("ever more rarely", "at growing intervals"),
];

/// The words of `banned` in a text, one violation for each line and word.
pub fn found(path: &str, text: &str, banned: &[Banned]) -> Vec<Violation> {
    let lines: Vec<&str> = text.lines().collect();
    in_lines(path, &lines, banned)
}

/// The same for the string literals of a source, unless it is a test.
pub fn in_literals(source: &Source, banned: &[Banned]) -> Vec<Violation> {
    if is_test_file(&source.path) || source.path.starts_with("tests/") {
        return Vec::new();
    }
    let lines = source.text.lines().zip(source.code.lines()).enumerate();
    let literals: Vec<String> = lines
        .map(|(at, (text, code))| match source.is_test_line(at + 1) {
            true => String::new(),
            false => literals(text, code),
        })
        .collect();
    let lines: Vec<&str> = literals.iter().map(String::as_str).collect();
    in_lines(&source.path, &lines, banned)
}

fn in_lines(path: &str, lines: &[&str], banned: &[Banned]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let line = line.to_lowercase();
        for (word, instead) in banned {
            if stands_in(&line, word) {
                let message = format!("`{word}`: write {instead} (docs/style.md)");
                found.push(Violation::new(path, at + 1, message));
            }
        }
    }
    found
}

/// Whether a word stands in a line as a whole.
fn stands_in(line: &str, word: &str) -> bool {
    let part_of_word = |one: Option<char>| one.is_some_and(|one| one.is_alphanumeric());
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !part_of_word(before) && !part_of_word(after)
    })
}

/// What of a line stands in literals: blanked in its code, and no comment.
fn literals(text: &str, code: &str) -> String {
    let chars: Vec<(char, char)> = text.chars().zip(code.chars()).collect();
    let is_literal = |(text, code): (char, char)| code == ' ' && text != ' ';
    let mut found = String::new();
    let mut at = 0;
    while at < chars.len() {
        if !is_literal(chars[at]) {
            at += 1;
            continue;
        }
        if chars[at].0 == '/' && chars.get(at + 1).is_some_and(|next| next.0 == '/') {
            break;
        }
        let rest = chars[at..].iter().take_while(|one| one.1 == ' ');
        let run: String = rest.map(|one| one.0).collect();
        at += run.chars().count();
        found.push_str(&run);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_as_a_whole_with_its_line() {
        let text = "It cannot.\nIt Can Not.\nscan not\n";
        let found = found("a.md", text, &EVERYWHERE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].line, 2);
        assert!(found[0].message.contains("cannot"), "{}", found[0]);
    }

    #[test]
    fn in_sources_only_literals_of_production_count() {
        let source = Source::rust(
            "agent/src/a.rs",
            "//! Nobody.\nfn a() {\n    say(\"heard by nobody\", \"b\"); // nobody\n    let x = \"two \\\n        nobody\";\n}\n#[cfg(test)]\nmod tests {\n    fn b() { say(\"nobody\"); }\n}\n",
        );
        let lines: Vec<usize> = in_literals(&source, &IN_TEXTS)
            .iter()
            .map(|found| found.line)
            .collect();
        assert_eq!(lines, [3, 5]);
        let test = Source::rust("agent/tests/a.rs", "fn a() { say(\"nobody\"); }");
        assert!(in_literals(&test, &IN_TEXTS).is_empty());
    }
}
