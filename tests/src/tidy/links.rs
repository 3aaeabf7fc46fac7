//! Links between the Markdown pages of the tree: each leads to a file and to a heading that exist.
//! Links to other sites are not followed.

use std::{collections::BTreeMap, path::Path};

use super::Violation;

/// The relative links in `pages` (path and text, as [`super::source::files`] reads them) that lead
/// to nothing below `root`.
pub fn dead(root: &Path, pages: &[(String, String)]) -> Vec<Violation> {
    let anchors: BTreeMap<&str, Vec<String>> = pages
        .iter()
        .map(|(path, text)| (path.as_str(), headings(text)))
        .collect();
    let mut found = Vec::new();
    for (path, text) in pages {
        for (line, target) in links(text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let place = match file {
                "" => path.clone(),
                file => joined(path, file),
            };
            if !root.join(&place).exists() {
                let message =
                    format!("the link to {target} leads to no file: {place} is not there");
                found.push(Violation::new(path, line, message));
                continue;
            }
            let known = anchors.get(place.as_str());
            if !anchor.is_empty() && !known.is_some_and(|all| all.iter().any(|one| one == anchor)) {
                let message = format!("{place} has no heading with the anchor #{anchor}");
                found.push(Violation::new(path, line, message));
            }
        }
    }
    found
}

/// The lines outside of code blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        if line.trim_start().starts_with("```") {
            code = !code;
            return None;
        }
        (!code).then_some((at + 1, line))
    })
}

fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (at, line) in prose(text) {
        for rest in line.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')') {
                found.push((at, target));
            }
        }
    }
    found
}

/// The anchors that code hosts make of headings: lower case, spaces as `-`, no other punctuation.
fn headings(text: &str) -> Vec<String> {
    let titles = prose(text).filter(|(_, line)| line.starts_with('#'));
    let slug = |title: &str| -> String {
        let kept = title.trim().chars();
        let kept = kept.filter(|one| one.is_alphanumeric() || matches!(one, ' ' | '-' | '_'));
        kept.flat_map(char::to_lowercase)
            .map(|one| if one == ' ' { '-' } else { one })
            .collect()
    };
    titles
        .map(|(_, line)| slug(line.trim_start_matches('#')))
        .collect()
}

/// `file` as it is seen from the directory of `page`, relative to the root of the tree.
fn joined(page: &str, file: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::root;

    fn page(path: &str, text: &str) -> (String, String) {
        (path.to_owned(), text.to_owned())
    }

    #[test]
    fn a_link_to_no_file_is_found() {
        let pages = [page("docs/a.md", "see [b](../README.md) and\n[c](none.md)")];
        let found = dead(root(), &pages);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].place.as_str(), found[0].line), ("docs/a.md", 2));
    }

    #[test]
    fn a_link_to_no_heading_is_found() {
        let text = "# Exit codes, all\n\n[ok](#exit-codes-all) [no](#exit)\n```\n[code](x.md)\n```";
        let found = dead(root(), &[page("README.md", text)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains("#exit"), "{}", found[0]);
    }
}
