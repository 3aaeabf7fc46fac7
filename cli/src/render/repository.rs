//! What is wrong with the git repository of a service.

use paasta_proto::v1::{InstanceStatus, RepositoryStatus};

use super::{lines::Lines, plain, problem, time};

/// Adds a line that says so, `indent` columns in, where there is something.
pub fn add(lines: &mut Lines<'_>, indent: usize, status: &InstanceStatus, now_ms: u64) {
    let Some(known) = &status.repository else {
        return;
    };
    let mut line = |warning: bool, text: &str| {
        let mark = problem::mark(warning, lines.view());
        let first = format!("{:indent$}{mark} ", "");
        lines.add(&first, &plain(text), indent + 2);
    };
    if known.failures > 0 {
        line(
            false,
            &silence(known, status.desired_app.is_empty(), now_ms),
        );
    }
    if !known.warning.is_empty() {
        line(true, &format!("git: {}", known.warning));
    }
}

/// Whether git does not say what runs.
pub fn is_silent(status: &InstanceStatus) -> bool {
    status
        .repository
        .as_ref()
        .is_some_and(|one| one.failures > 0)
}

/// Why the repository says nothing, and what that means.
fn silence(known: &RepositoryStatus, never: bool, now_ms: u64) -> String {
    let last = match known.answered_at_ms {
        Some(at) => format!("answered last {}", time::distance(at, now_ms)),
        None => "has not answered since this coordinator leads".to_owned(),
    };
    let meaning = match never {
        true => "which version runs is not known",
        false => "what it said last stays",
    };
    let next = match known.next_at_ms {
        at if at <= now_ms => "now".to_owned(),
        at => time::distance(at, now_ms),
    };
    format!(
        "the git repository does not answer ({} in a row, {last}, next {next}), so {meaning}: {}",
        tries(known.failures),
        known.error
    )
}

fn tries(count: u32) -> String {
    match count {
        1 => "1 failure".to_owned(),
        count => format!("{count} failures"),
    }
}

/// How `Git sha` is said of an instance without a version.
pub fn no_sha(status: &InstanceStatus) -> &'static str {
    match is_silent(status) {
        true => " (not known: its repository does not answer)",
        false => " (not deployed yet)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

    fn text(status: &InstanceStatus) -> String {
        let view = view_80();
        let mut lines = Lines::new(&view);
        add(&mut lines, 2, status, 100_000);
        lines.finish().replace("\n    ", " ")
    }

    #[test]
    fn what_git_does_not_say_is_said_with_what_it_means() {
        let mut status = InstanceStatus {
            repository: Some(RepositoryStatus {
                error: "no\nroute".to_owned(),
                failures: 2,
                next_at_ms: 120_000,
                ..RepositoryStatus::default()
            }),
            ..InstanceStatus::default()
        };
        assert_eq!(
            text(&status),
            "  ✗ the git repository does not answer (2 failures in a row, has not answered since \
             this coordinator leads, next in 20s), so which version runs is not known: no route\n"
        );
        assert!(no_sha(&status).contains("does not answer"));
        status.desired_app = "a".to_owned();
        assert!(text(&status).contains("what it said last stays"));
        status.repository = Some(RepositoryStatus {
            warning: "delete it".to_owned(),
            ..RepositoryStatus::default()
        });
        assert_eq!(text(&status), "  ! git: delete it\n");
        assert!(!is_silent(&status));
        status.repository = None;
        assert_eq!(text(&status), "");
    }
}
