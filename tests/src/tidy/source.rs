//! Reading sources for the rules: the files, their code without comments and literals, and which
//! lines of them are tests. A small scanner, not a parser: good enough for what rustfmt has laid
//! out.

use std::{fs, io, path::Path};

/// Directories that hold nothing written by hand.
const SKIPPED: [&str; 5] = ["target", ".git", ".demo", "node_modules", ".library"];

/// One text file of the tree.
#[derive(Debug, Clone)]
pub struct Source {
    /// Relative to the root, with `/` between the parts.
    pub path: String,
    /// What the file holds.
    pub text: String,
    /// The text with comments, strings and characters blanked; lines stay where they are.
    pub code: String,
    /// For each line whether it belongs to a test.
    test_lines: Vec<bool>,
}

/// A function's extent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of `fn`, from 1.
    pub line: usize,
    /// From `fn` to the closing brace, both counted.
    pub lines: usize,
}

impl Source {
    /// Takes a Rust source apart.
    pub fn rust(path: &str, text: &str) -> Self {
        let code = blanked(text);
        let test_lines = test_lines(path, &code);
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            test_lines,
        }
    }

    /// Lines that are no tests.
    pub fn production_lines(&self) -> usize {
        self.test_lines.iter().filter(|test| !**test).count()
    }

    /// Lines of the tests inside a production file; 0 for a file that is all tests.
    pub fn inline_test_lines(&self) -> usize {
        match is_test_file(&self.path) {
            true => 0,
            false => self.test_lines.iter().filter(|test| **test).count(),
        }
    }

    /// Whether the line, from 1, belongs to a test.
    pub fn is_test_line(&self, line: usize) -> bool {
        line > 0 && self.test_lines.get(line - 1).copied().unwrap_or(false)
    }

    /// The lines, from 1, whose code has `word` as a word (or path) of its own.
    pub fn lines_naming(&self, word: &str) -> Vec<usize> {
        let lines = self.code.lines().enumerate();
        lines
            .filter(|(_, line)| names(line, word))
            .map(|(at, _)| at + 1)
            .collect()
    }

    /// Every function that has a body.
    pub fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("fn ") {
            if self.code[..at].ends_with(is_word) {
                continue;
            }
            let rest = &self.code[at + 3..];
            let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
            let Some(length) = body_end(rest) else {
                continue;
            };
            let line = self.code[..at].matches('\n').count() + 1;
            let lines = rest[..length].matches('\n').count() + 1;
            found.push(Function { name, line, lines });
        }
        found
    }
}

/// The files under `root` that end in one of the given extensions (a name without a dot counts as
/// its own extension), sorted by path.
///
/// # Errors
/// A directory or file that cannot be read, named.
pub fn files(root: &Path, extensions: &[&str]) -> io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    walk(root, root, extensions, &mut found)?;
    found.sort();
    Ok(found)
}

/// Every Rust source under `root`.
///
/// # Errors
/// A directory or file that cannot be read, named.
pub fn rust_sources(root: &Path) -> io::Result<Vec<Source>> {
    let files = files(root, &["rs"])?;
    Ok(files
        .iter()
        .map(|(path, text)| Source::rust(path, text))
        .collect())
}

/// Whether a whole file is tests: `tests.rs`, or anything in a directory `tests` but the
/// harnesses in `tests/src`.
pub fn is_test_file(path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    if parts.starts_with(&["tests", "src"]) {
        parts.remove(0);
    }
    name == "tests.rs" || parts.contains(&"tests")
}

fn walk(
    root: &Path,
    dir: &Path,
    extensions: &[&str],
    found: &mut Vec<(String, String)>,
) -> io::Result<()> {
    let named = |path: &Path, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    for entry in fs::read_dir(dir).map_err(|error| named(dir, error))? {
        let path = entry.map_err(|error| named(dir, error))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let extension = name
            .rsplit_once('.')
            .map_or(name.as_str(), |(_, extension)| extension);
        // A link would show its target twice, or lead out of the tree.
        if path.is_symlink() || SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, extensions, found)?;
        } else if extensions.contains(&extension) {
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(named(&path, error)),
            };
            let relative = path.strip_prefix(root).unwrap_or(&path);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            found.push((relative.to_string_lossy().replace('\\', "/"), text));
        }
    }
    Ok(())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let after = &line[at + word.len()..];
        let ends = !word.ends_with(is_word) || !after.starts_with(is_word);
        ends && !line[..at].ends_with(is_word)
    })
}

/// The offset just after the closing brace of the body that follows, or nothing when a `;` ends
/// the declaration first.
fn body_end(text: &str) -> Option<usize> {
    let (mut inner, mut braces) = (0_i32, 0_i32);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => inner += 1,
            ')' | ']' => inner -= 1,
            ';' if inner == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces <= 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

fn test_lines(path: &str, code: &str) -> Vec<bool> {
    let count = code.lines().count();
    if is_test_file(path) {
        return vec![true; count];
    }
    let mut lines = vec![false; count];
    for (at, attribute) in code.match_indices("#[cfg(test)]") {
        let rest = &code[at + attribute.len()..];
        // `mod tests;` names a child file, which is a test file by its own name.
        let end = body_end(rest).unwrap_or_else(|| rest.find(';').map_or(0, |semi| semi + 1));
        let first = code[..at].matches('\n').count();
        let last = first + rest[..end].matches('\n').count();
        lines[first..=last.min(count.saturating_sub(1))].fill(true);
    }
    lines
}

/// Replaces comments, strings and characters by blanks, line breaks kept.
fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => until(&chars, at, '\n'),
            '/' if chars.get(at + 1) == Some(&'*') => comment_end(&chars, at),
            '"' => string_end(&chars, at),
            'r' if !preceded_by_word(&chars, at) => raw_string_end(&chars, at),
            '\'' => char_end(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        let blanks = chars[at..end]
            .iter()
            .map(|c| if *c == '\n' { '\n' } else { ' ' });
        out.extend(blanks);
        at = end;
    }
    out
}

fn preceded_by_word(chars: &[char], at: usize) -> bool {
    // `br"` is a raw string too.
    let before = match at.checked_sub(1).map(|i| chars[i]) {
        Some('b') => at.checked_sub(2).map(|i| chars[i]),
        before => before,
    };
    before.is_some_and(is_word)
}

fn until(chars: &[char], from: usize, stop: char) -> usize {
    let found = chars[from..].iter().position(|c| *c == stop);
    found.map_or(chars.len(), |length| from + length)
}

fn comment_end(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], from: usize) -> usize {
    let hashes = chars[from + 1..].iter().take_while(|c| **c == '#').count();
    let open = from + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return from;
    }
    let mut at = open + 1;
    while at < chars.len() {
        at = until(chars, at, '"');
        let closing = chars.iter().skip(at + 1).take(hashes);
        if closing.filter(|c| **c == '#').count() == hashes {
            return (at + 1 + hashes).min(chars.len());
        }
        at += 1;
    }
    chars.len()
}

/// The end of a character literal; `from` itself for a lifetime.
fn char_end(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), Some(_)) => until(chars, from + 3, '\'') + 1,
        (Some(_), Some('\'')) => from + 3,
        _ => from,
    }
}

#[cfg(test)]
mod tests;
