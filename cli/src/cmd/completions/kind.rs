//! Which kind of name a command line expects at its last word, by the command tree of clap: options
//! and arguments say it by the names of their values.

use clap::{Arg, Command};

/// A kind of name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A service.
    Service,
    /// An instance of a service.
    Instance,
    /// `SERVICE.INSTANCE`.
    Id,
    /// A host.
    Host,
    /// A cluster.
    Cluster,
    /// A deploy group.
    Group,
    /// A context.
    Context,
}

/// What is expected.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The kind of name.
    pub(super) kind: Kind,
    /// The service that the line names by `-s`.
    pub(super) service: Option<String>,
    /// What stands in the word before its last comma, and the comma.
    pub(super) before: String,
    /// How the name begins.
    pub(super) begun: String,
}

/// What the last of the words is to be; `words` begin with the program. None for what is no name.
pub(super) fn wanted(root: &Command, words: &[String]) -> Option<Wanted> {
    let (last, words) = words.split_last()?;
    let mut verb = root;
    let mut service = None;
    // The option whose value the next word is, and how many arguments there were.
    let (mut option, mut arguments) = (None, 0);
    for word in words.iter().skip(1) {
        if let Some(found) = option.take() {
            if kind(found) == Some(Kind::Service) {
                service = Some(word.clone());
            }
        } else if word.starts_with('-') {
            option = find(root, verb, word).filter(|found| takes_value(found));
        } else if let Some(below) = verb.find_subcommand(word) {
            (verb, arguments) = (below, 0);
        } else {
            arguments += 1;
        }
    }
    let argument = || {
        let last = verb.get_positionals().last();
        let own = verb.get_positionals().nth(arguments);
        own.or(last.filter(|last| is_repeated(last)))
    };
    let found = match option {
        Some(option) => option,
        None if verb.has_subcommands() => return None,
        None => argument()?,
    };
    let (before, begun) = match last.rsplit_once(',') {
        Some((before, begun)) => (format!("{before},"), begun),
        None => (String::new(), last.as_str()),
    };
    Some(Wanted {
        kind: kind(found)?,
        service,
        before,
        begun: begun.to_owned(),
    })
}

/// The option of a verb, or of all verbs, that a word is; its value is not in the word.
fn find<'a>(root: &'a Command, verb: &'a Command, word: &str) -> Option<&'a Arg> {
    let is_it = |arg: &&Arg| match word.strip_prefix("--") {
        Some(long) => {
            let mut names = arg.get_long_and_visible_aliases().unwrap_or_default();
            names.extend(arg.get_all_aliases().unwrap_or_default());
            names.contains(&long)
        }
        // Of several letters together the last one may take a value.
        None => word.chars().next_back().is_some_and(|last| {
            let aliases = arg.get_all_short_aliases().unwrap_or_default();
            arg.get_short() == Some(last) || aliases.contains(&last)
        }),
    };
    let global = root.get_arguments().filter(|arg| arg.is_global_set());
    verb.get_arguments()
        .filter(|arg| !arg.is_positional())
        .chain(global)
        .find(is_it)
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

fn is_repeated(arg: &Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Append)
        || arg
            .get_num_args()
            .is_some_and(|count| count.max_values() > 1)
}

fn kind(arg: &Arg) -> Option<Kind> {
    let name = arg.get_value_names()?.first()?.as_str();
    match name.trim_end_matches("...").trim_end_matches(',') {
        "SERVICE" => Some(Kind::Service),
        "INSTANCE" => Some(Kind::Instance),
        "SERVICE.INSTANCE" => Some(Kind::Id),
        "HOST" => Some(Kind::Host),
        "CLUSTER" => Some(Kind::Cluster),
        "GROUP" => Some(Kind::Group),
        "NAME" if arg.get_id() == "context" || arg.get_id() == "name" => Some(Kind::Context),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Args;

    fn of(line: &str) -> Option<(Kind, Option<String>, String)> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let wanted = wanted(&Args::command(), &words)?;
        Some((
            wanted.kind,
            wanted.service,
            wanted.before + "|" + &wanted.begun,
        ))
    }

    #[test]
    fn options_and_arguments_say_which_names_are_expected() {
        let some = |kind, text: &str| Some((kind, None, text.to_owned()));
        assert_eq!(of("paasta status -s he"), some(Kind::Service, "|he"));
        assert_eq!(of("paasta status --service "), some(Kind::Service, "|"));
        assert_eq!(
            of("paasta status -s web -i a,b"),
            Some((Kind::Instance, Some("web".to_owned()), "a,|b".to_owned()))
        );
        assert_eq!(of("paasta why h"), some(Kind::Id, "|h"));
        assert_eq!(of("paasta maintenance drain a b"), some(Kind::Host, "|b"));
        assert_eq!(of("paasta status -c p"), some(Kind::Cluster, "|p"));
        assert_eq!(
            of("paasta rollback -s web -l p").map(|one| one.0),
            Some(Kind::Group)
        );
        assert_eq!(of("paasta context use p"), some(Kind::Context, "|p"));
        assert_eq!(of("paasta status --context p"), some(Kind::Context, "|p"));
        assert_eq!(of("paasta --context p"), some(Kind::Context, "|p"));
        for none in [
            "paasta st",
            "paasta",
            "paasta maintenance d",
            "paasta itest -c 3",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
