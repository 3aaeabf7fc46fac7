//! Changes of servers as lines of the runtime API.

use paasta_agent_core::proxy::{
    config::CHECKS,
    plan::{Change, Command},
    wanted::Service,
};

/// The longest line, in bytes: HAProxy's buffer has 32 KiB.
const LINE_MAX: usize = 8 << 10;

/// The commands of a change, in the order in which they must be sent.
pub(super) fn words(command: &Command) -> Vec<String> {
    let server = format!("{}/{}", command.namespace, command.server);
    match command.change {
        Change::Maint => vec![format!("set server {server} state maint")],
        Change::Ready => vec![format!("set server {server} state ready")],
        Change::Weight(weight) => vec![format!("set server {server} weight {weight}")],
        Change::Cut => vec![format!("shutdown sessions server {server}")],
        Change::Delete => vec![format!("del server {server}")],
        Change::Add(added) => {
            let backup = if added.backup { " backup" } else { "" };
            let (at, weight) = (added.at, added.weight);
            // Without weight until it is down, and down until its first check has passed: else it
            // takes requests before that check.
            let mut words = vec![
                format!("add server {server} {at} {CHECKS} weight 0{backup}"),
                format!("enable health {server}"),
            ];
            if added.service == Service::Up {
                words.push(format!("enable server {server}"));
                words.push(format!("set server {server} health down"));
            }
            words.push(format!("set server {server} weight {weight}"));
            words
        }
    }
}

/// Joins commands to as few lines as their length allows.
pub(super) fn lines(commands: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for command in commands {
        match lines.last_mut() {
            Some(line) if line.len() + command.len() < LINE_MAX => {
                line.push_str("; ");
                line.push_str(&command);
            }
            _ => lines.push(command),
        }
    }
    lines
}

/// What of an answer is a complaint; at most the first one.
pub(super) fn complaint(answer: &str) -> Option<&str> {
    const FINE: [&str; 2] = ["New server registered.", "Server deleted."];
    let lines = answer.lines().map(str::trim);
    let mut said = lines.filter(|line| !line.is_empty() && !FINE.contains(line));
    said.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_complaints_are_found() {
        let command = "set server a.main/r1_10.0.0.1_31000 state maint".to_owned();
        let many = lines(std::iter::repeat_n(command.clone(), 1_000));
        assert!(many.iter().all(|line| line.len() <= LINE_MAX));
        assert_eq!(
            many.iter()
                .map(|line| line.split("; ").count())
                .sum::<usize>(),
            1_000
        );
        assert_eq!(complaint("\nNew server registered.\n\n"), None);
        assert_eq!(complaint("\nNo such server.\n"), Some("No such server."));
    }
}
