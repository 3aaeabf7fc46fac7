//! Licences of what is linked, against a list. The same list is in `deny.toml` for those who have
//! cargo-deny; a test keeps the two equal.

use super::{Violation, graph::Metadata};

/// SPDX names that the project accepts. All permissive; none asks for the source of what links it.
pub const ALLOWED: [&str; 12] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages whose licence is missing or does not satisfy [`ALLOWED`].
pub fn licences(metadata: &Metadata) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in metadata.resolved() {
        let place = format!("{} {}", package.name, package.version);
        match package.license.as_deref() {
            None => found.push(Violation::new(&place, 0, "names no licence")),
            Some(licence) if !satisfied(licence) => {
                let message = format!("is under {licence}, which is not on the list");
                found.push(Violation::new(&place, 0, message));
            }
            Some(_) => {}
        }
    }
    found
}

/// Whether the expression can be met with allowed licences only.
pub fn satisfied(expression: &str) -> bool {
    // The slash is how packages wrote OR before SPDX expressions.
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    either(&tokens, &mut at) && at == tokens.len()
}

fn either(tokens: &[&str], at: &mut usize) -> bool {
    let mut met = both(tokens, at);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        // Not short-circuited: the rest must be read in any case.
        met |= both(tokens, at);
    }
    met
}

fn both(tokens: &[&str], at: &mut usize) -> bool {
    let mut met = single(tokens, at);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        met &= single(tokens, at);
    }
    met
}

fn single(tokens: &[&str], at: &mut usize) -> bool {
    let Some(token) = tokens.get(*at) else {
        return false;
    };
    *at += 1;
    if *token == "(" {
        let met = either(tokens, at);
        let closed = tokens.get(*at) == Some(&")");
        *at += 1;
        return met && closed;
    }
    let mut name = (*token).to_owned();
    if tokens.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", tokens.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    ALLOWED.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_or_not() {
        for fine in [
            "MIT",
            "MIT-0",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-2.0) AND BSD-3-Clause",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        ] {
            assert!(satisfied(fine), "{fine}");
        }
        for refused in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT",
            "MIT MIT",
            "GPL-3.0 WITH LLVM-exception",
        ] {
            assert!(!satisfied(refused), "{refused}");
        }
    }
}
