//! The generated parts of the pages in `docs/reference`. A test of each program compares a part
//! with what the code says, or writes it when [`WRITE_VARIABLE`] is set (`make reference`).

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The environment variable that has the parts written: `1`.
pub const WRITE_VARIABLE: &str = "PAASTA_WRITE_REFERENCE";

/// Compares the part `name` of the page `docs/reference/PAGE` with `text`; with [`WRITE_VARIABLE`]
/// writes it first. Returns what is wrong, if anything is.
pub fn stale(page: &str, name: &str, text: &str) -> Option<String> {
    let write = std::env::var_os(WRITE_VARIABLE).is_some_and(|value| value == "1");
    stale_in(&directory().join(page), name, text, write)
}

/// `docs/reference` of the tree that this crate was built from.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference")
}

fn stale_in(path: &Path, name: &str, text: &str, write: bool) -> Option<String> {
    let place = path.display();
    let page = match fs::read_to_string(path) {
        Ok(page) => page,
        Err(error) => return Some(format!("{place}: {error}")),
    };
    let first = format!("<!-- generated: {name}; `make reference` writes it -->\n");
    let last = format!("<!-- end: {name} -->");
    let parts = page
        .split_once(&first)
        .and_then(|(before, rest)| Some((before, rest.split_once(&last)?)));
    let Some((before, (found, after))) = parts else {
        return Some(format!("{place}: no lines {:?} and {last:?}", first.trim()));
    };
    let text = format!("\n{}\n\n", text.trim());
    if found == text {
        return None;
    }
    if write {
        let written = fs::write(path, format!("{before}{first}{text}{last}{after}"));
        return written.err().map(|error| format!("{place}: {error}"));
    }
    Some(format!(
        "{place}: the part {name} is not what the code says; run `make reference`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_compared_and_written_and_the_rest_of_the_page_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.md");
        let page = |part: &str| {
            format!(
                "# Page\n\n<!-- generated: a; `make reference` writes it -->\n{part}<!-- end: a -->\n\nEnd.\n"
            )
        };
        fs::write(&path, page("old\n")).unwrap();
        let said = stale_in(&path, "a", "new", false).unwrap();
        assert!(said.contains("make reference"), "{said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), page("old\n"));
        assert_eq!(stale_in(&path, "a", "new", true), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), page("\nnew\n\n"));
        assert_eq!(stale_in(&path, "a", "new\n", false), None);
        assert!(
            stale_in(&path, "b", "new", true)
                .unwrap()
                .contains("end: b")
        );
        assert!(stale_in(&dir.path().join("none.md"), "a", "", true).is_some());
    }
}
