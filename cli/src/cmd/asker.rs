//! Who asks, for verbs that change something: a new request id each time, kept over all attempts,
//! and the name that the cluster's events show.

use std::env;

use paasta_proto::v1::Asker;
use uuid::Uuid;

/// The longest user or host name that is told; the coordinator refuses longer ones.
const NAME_CHARS_MAX: usize = 64;

/// A new request by the user of this command.
pub(super) fn new() -> Asker {
    Asker {
        request_id: Uuid::now_v7().to_string(),
        by: format!("{}@{}", user(), host()),
    }
}

/// The person, also behind sudo.
fn user() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"];
    let names = names.iter().filter_map(|name| env::var(name).ok());
    names
        .map(|name| tidy(&name))
        .find(|name| !name.is_empty())
        .or_else(number)
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The user's number, where nobody said a name: `uid0`.
fn number() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    Some(format!("uid{}", line.split_whitespace().next()?))
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match tidy(&name) {
        name if name.is_empty() => "unknown".to_owned(),
        name => name,
    }
}

fn tidy(name: &str) -> String {
    let fine = name.trim().chars().filter(|c| c.is_ascii_graphic());
    fine.take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_its_own_and_names_are_one_line() {
        let (one, other) = (new(), new());
        assert_ne!(one.request_id, other.request_id);
        assert_eq!(one.by, other.by);
        assert!(one.by.contains('@') && !one.by.contains(char::is_whitespace));
        assert!(number().is_some_and(|uid| uid[3..].parse::<u32>().is_ok()));
        assert_eq!(tidy(" a\nb\u{1b}c \n"), "abc");
        assert_eq!(tidy(&"x".repeat(200)).len(), NAME_CHARS_MAX);
    }
}
