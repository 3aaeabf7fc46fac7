//! The examples of a command's help: one form for all, and what a test holds them against.

use clap::Command;

mod man;
mod page;

pub use man::man;
pub use page::{exit_codes, markdown};

/// What the section of examples begins with.
const HEADING: &str = "Examples:";

/// The text after a command's options: the examples, then whatever else there is to say.
///
/// Each line is a whole command line, and may have a comment after ` # `.
pub fn examples(lines: &[&str], rest: &str) -> String {
    let mut text = HEADING.to_owned();
    for line in lines {
        text.push_str(&format!("\n  {line}"));
    }
    if !rest.is_empty() {
        text.push_str(&format!("\n\n{rest}"));
    }
    text
}

/// The paths of all commands that do something themselves: `paasta bounce status` and so on.
/// Hidden ones and the built-in `help` are left out.
pub fn leaves(root: &Command) -> Vec<String> {
    let mut found = Vec::new();
    walk(root, String::new(), &mut |path, _| {
        found.push(path.to_owned());
    });
    found
}

/// The commands whose examples are missing, or are not what that command takes: a line for each.
pub fn faults(root: &Command) -> Vec<String> {
    let mut faults = Vec::new();
    walk(root, String::new(), &mut |path, leaf| {
        let lines = lines(leaf);
        if lines.is_empty() {
            faults.push(format!("{path}: its help has no {HEADING}"));
        }
        for line in lines {
            if let Err(error) = try_out(root, path, &line) {
                faults.push(format!("{path}: {line:?}: {error}"));
            }
        }
    });
    faults
}

fn walk(command: &Command, above: String, visit: &mut dyn FnMut(&str, &Command)) {
    let path = match above.as_str() {
        "" => command.get_name().to_owned(),
        _ => format!("{above} {}", command.get_name()),
    };
    if !command.has_subcommands() {
        return visit(&path, command);
    }
    let below = command.get_subcommands();
    for one in below.filter(|one| !one.is_hide_set() && one.get_name() != "help") {
        walk(one, path.clone(), visit);
    }
}

/// The lines of a command's section of examples, which ends with an empty line.
fn lines(command: &Command) -> Vec<String> {
    let text = command.get_after_long_help().or(command.get_after_help());
    let text = text.map(ToString::to_string).unwrap_or_default();
    let section = text.lines().skip_while(|line| *line != HEADING).skip(1);
    let section = section.take_while(|line| !line.trim().is_empty());
    section.map(|line| line.trim().to_owned()).collect()
}

fn try_out(root: &Command, path: &str, line: &str) -> Result<(), String> {
    let words = words(line)?;
    let begins = path
        .split(' ')
        .eq(words.iter().take(path.split(' ').count()));
    if !begins {
        return Err(format!("does not begin with {path:?}"));
    }
    let parsed = root.clone().try_get_matches_from(words);
    parsed.map(|_| ()).map_err(|error| error.to_string())
}

/// The words of the line's own command, as a shell parts them: without its comment, and without
/// where its input and output are. What another command would print, `$(...)`, counts as a commit.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        if matches!(first, '#' | '|' | '<' | '>') {
            break;
        }
        let (word, after) = match first {
            '\'' | '"' => quoted(&rest[1..], first)?,
            '$' => {
                let (_, after) = quoted(rest, ')')?;
                ("c".repeat(40), after)
            }
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

fn quoted(text: &str, end: char) -> Result<(String, &str), String> {
    let (word, after) = text
        .split_once(end)
        .ok_or_else(|| format!("there is no {end} to end it"))?;
    Ok((word.to_owned(), after))
}

#[cfg(test)]
mod tests {
    use clap::{Arg, value_parser};

    use super::*;

    fn tree(help: String) -> Command {
        let count = Arg::new("count").short('n').value_parser(value_parser!(u8));
        let reason = Arg::new("reason").long("reason");
        let leaf = Command::new("go").arg(count).arg(reason);
        let hidden = Command::new("secret").hide(true);
        let verb = Command::new("verb").subcommand(leaf.after_help(help));
        let mut root = Command::new("prog").subcommand(verb).subcommand(hidden);
        root.build();
        root
    }

    #[test]
    fn examples_that_the_command_takes_are_right() {
        let lines = [
            "prog verb go -n 3 --reason 'a long one'   # comments are for readers",
            "prog verb go --reason $(git rev-parse HEAD) | less",
            "prog verb go > file",
        ];
        let root = tree(examples(&lines, "Exit codes:\n  prog is no example here"));
        assert_eq!(leaves(&root), ["prog verb go"]);
        assert_eq!(faults(&root), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_with_its_command() {
        for (help, expected) in [
            (String::new(), "its help has no Examples:"),
            (examples(&[], "prog verb go"), "its help has no Examples:"),
            (examples(&["prog go -n 3"], ""), "does not begin with"),
            (examples(&["prog verb gone"], ""), "does not begin with"),
            (examples(&["prog verb go -n 300"], ""), "300"),
            (examples(&["prog verb go --far"], ""), "--far"),
            (examples(&["prog verb go --reason 'x"], ""), "to end it"),
        ] {
            let faults = faults(&tree(help));
            assert_eq!(faults.len(), 1, "{faults:?}");
            let named = faults[0].starts_with("prog verb go: ");
            assert!(named && faults[0].contains(expected), "{faults:?}");
        }
    }
}
