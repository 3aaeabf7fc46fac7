//! Messages of commits: `area: what changes`, and a body that says why and how it was tested.

use super::Violation;

/// Commits before this moment are older than the rule; for `git log --since`.
pub const SINCE: &str = "2026-11-29T07:30:00Z";

/// What `git log --format` prints one commit as, for [`badly_described`]: id, subject, body.
pub const FORMAT: &str = "%h%x1f%s%x1f%b%x1e";

/// Longest subject, characters.
const SUBJECT_MAX: usize = 72;

/// The commits of a log (in [`FORMAT`]) whose message does not follow docs/style.md.
pub fn badly_described(log: &str) -> Vec<Violation> {
    let commits = log.split('\u{1e}').map(str::trim);
    let commits = commits.filter(|one| !one.is_empty());
    commits.flat_map(judged).collect()
}

fn judged(commit: &str) -> Vec<Violation> {
    let mut parts = commit.splitn(3, '\u{1f}');
    let mut next = || parts.next().unwrap_or_default().trim();
    let (id, subject, body) = (next(), next(), next());
    let mut found = Vec::new();
    let mut wrong = |message: String| found.push(Violation::new(id, 0, message));
    let area = subject.split_once(": ").map(|(area, _)| area);
    let is_area = |area: &str| {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-, /".contains(c);
        !area.is_empty() && area.chars().all(word)
    };
    if !area.is_some_and(is_area) {
        wrong(format!(
            "the subject {subject:?} is not `area: what changes`"
        ));
    }
    let length = subject.chars().count();
    if length > SUBJECT_MAX {
        wrong(format!(
            "the subject has {length} characters; {SUBJECT_MAX} are the most"
        ));
    }
    if body.is_empty() {
        wrong("there is no body that says why, and how it was tested".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(subject: &str, body: &str) -> String {
        format!("abc1234\u{1f}{subject}\u{1f}{body}\u{1e}\n")
    }

    #[test]
    fn a_described_commit_passes() {
        let log = commit("store: retry a held lock", "Why.\n\nTested by x.")
            + &commit("cli, docs: name both", "Why.");
        assert_eq!(badly_described(&log), []);
    }

    #[test]
    fn what_is_missing_is_found() {
        let long = format!("store: {}", "x".repeat(66));
        for (subject, body, words) in [
            ("Retry a lock", "Why.", "is not `area"),
            ("Store: retry", "Why.", "is not `area"),
            (&*long, "Why.", "73 characters"),
            ("store: retry", "", "no body"),
        ] {
            let found = badly_described(&commit(subject, body));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].message.contains(words), "{}", found[0]);
        }
    }
}
