//! `paasta config show`: every setting of the system configuration with its effective value, and
//! where it is given.

use std::fmt::Write as _;

use anyhow::bail;
use paasta_common::{
    config::{Setting, SystemConfig, settings},
    problem::{Problem, Severity},
    typo::close_matches,
};
use paasta_process::{config, help::examples};

use super::Context;
use crate::{exit::Exit, render::plain};

/// The verbs about the system configuration.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show the settings of this machine, what they are, and the file that each is from
    Show(Args),
}

/// What is shown.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta config show                      # what the files set",
        "paasta config show --all --origin agent # a section, defaults too",
        "paasta config show agent.pool --json",
    ],
    "With mistakes in the files they are named, and the exit code is 1.",
))]
pub struct Args {
    /// A key, or the beginning of keys up to a dot [default: all]
    #[arg(value_name = "KEY")]
    pub keys: Vec<String>,
    /// Name the file and line that each value is from
    #[arg(long)]
    pub origin: bool,
    /// Show also what no file sets, with its default
    #[arg(short, long)]
    pub all: bool,
}

/// Shows the settings.
///
/// # Errors
/// The directory cannot be read, a key is unknown, or standard output is gone.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<Exit> {
    let Command::Show(args) = command;
    let given = context.global.config_dir.as_deref();
    let (merged, mut problems) = config::merged(given)?;
    let all = settings(&merged);
    let chosen = choose(&all, args)?;
    problems.extend(SystemConfig::decode(&merged).1);
    for problem in &problems {
        context.note(&problem.to_string());
    }
    match context.global.json {
        true => context.print_json(&chosen)?,
        false => context.print(&render(&chosen, args.origin))?,
    }
    let is_wrong = |problem: &Problem| problem.severity == Severity::Error;
    Ok(match problems.iter().any(is_wrong) {
        true => Exit::Failed,
        false => Exit::Ok,
    })
}

/// The settings that are asked for. A named one is shown whether a file sets it or not.
fn choose<'a>(all: &'a [Setting], args: &Args) -> anyhow::Result<Vec<&'a Setting>> {
    for key in &args.keys {
        if !all.iter().any(|one| is_within(one, key)) {
            let known = all.iter().map(|one| one.key.as_str());
            let close = close_matches(key, known);
            let hint = match close.is_empty() {
                true => "docs/reference/configuration.md has all".to_owned(),
                false => format!("did you mean {}?", close.join(", ")),
            };
            bail!("{key:?} is no setting: {hint}");
        }
    }
    let is_asked = |one: &&Setting| {
        let named = args.keys.contains(&one.key);
        let within = args.keys.is_empty() || args.keys.iter().any(|key| is_within(one, key));
        named || within && (args.all || one.origin.is_some())
    };
    Ok(all.iter().filter(is_asked).collect())
}

fn is_within(one: &Setting, key: &str) -> bool {
    let rest = one.key.strip_prefix(key);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn render(settings: &[&Setting], origin: bool) -> String {
    let mut text = String::new();
    for one in settings {
        let value = match (&one.value, one.default) {
            (serde_json::Value::Null, Some(words)) => format!("({words})"),
            (serde_json::Value::Null, None) => "(nothing)".to_owned(),
            (value, _) => plain(&value.to_string()),
        };
        let _ = write!(text, "{} = {value}", one.key);
        if origin {
            let _ = match &one.origin {
                Some(at) => write!(text, "    # {}:{}", plain(&at.file), at.line),
                None => write!(text, "    # default"),
            };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::args;

    fn shown(line: &str, dir: &Path) -> String {
        let words: Vec<std::ffi::OsString> = line.split(' ').map(Into::into).collect();
        let args = args::Args::read(&words).expect("a command");
        let args::Command::Config(Command::Show(args)) = args.command else {
            panic!("{line} is another command");
        };
        let (merged, _) = config::merged(Some(dir)).expect("files");
        let all = settings(&merged);
        match choose(&all, &args) {
            Ok(chosen) => render(&chosen, args.origin),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_files_set_is_shown_with_its_place_and_the_rest_on_demand() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text| std::fs::write(dir.path().join(name), text).expect("a file");
        file("a.yaml", "cluster: prod\nagent: {pool: blue}\n");
        file("b.yaml", "agent:\n  pool: red\n");
        let at = dir.path().display();
        assert_eq!(
            shown("paasta config show --origin", dir.path()),
            format!(
                "agent.pool = \"red\"    # {at}/b.yaml:2\ncluster = \"prod\"    # {at}/a.yaml:1\n"
            )
        );
        let all = shown("paasta config show --all --origin agent", dir.path());
        assert!(
            all.contains("agent.http_listen = \"127.0.0.1:7403\"    # default\n"),
            "{all}"
        );
        assert!(!all.contains("cluster"), "{all}");
        assert_eq!(
            shown("paasta config show agent.http_listen", dir.path()),
            "agent.http_listen = \"127.0.0.1:7403\"\n"
        );
        let wrong = shown("paasta config show agent.htp_listen", dir.path());
        assert!(wrong.contains("did you mean agent.http_listen"), "{wrong}");
    }
}
