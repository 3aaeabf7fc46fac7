//! A command line as a page of the reference: its commands with usage, options and examples, from
//! what clap prints as help. Not here: where the page is ([`crate::reference`]).

use clap::{Arg, Command};

use super::walk;

/// The heading of the exit codes in the help of a program.
const EXIT_CODES: &str = "Exit codes:";

/// The page of a program: a table of its commands, then a section for each.
pub fn markdown(root: &Command) -> String {
    let mut root = root.clone();
    root.build();
    let mut table = "| command | does |\n|---|---|\n".to_owned();
    let mut sections = String::new();
    let shared = after(&root);
    walk(&root, String::new(), &mut |path, leaf| {
        let anchor = path.replace(' ', "-");
        let about = cell(&styled(leaf.get_about()));
        table.push_str(&format!("| [`{path}`](#{anchor}) | {about} |\n"));
        sections.push_str(&section(path, leaf, &shared));
    });
    let everywhere = options(root.get_arguments());
    let everywhere = match everywhere.is_empty() {
        true => String::new(),
        false => format!("\nOptions of every command:\n\n{everywhere}"),
    };
    format!("{table}{everywhere}{sections}")
}

/// The exit codes that the help of a program lists, as a table.
pub fn exit_codes(root: &Command) -> String {
    let help = after(root);
    let lines = help.lines().skip_while(|line| *line != EXIT_CODES).skip(1);
    let mut rows: Vec<(String, String)> = Vec::new();
    for line in lines.take_while(|line| line.starts_with(' ')) {
        let (first, rest) = line.trim().split_once("  ").unwrap_or(("", line.trim()));
        match rows.last_mut() {
            Some((_, text)) if first.is_empty() => *text = format!("{text} {rest}"),
            _ => rows.push((first.to_owned(), rest.to_owned())),
        }
    }
    let mut table = "| code | meaning |\n|---|---|\n".to_owned();
    for (code, text) in rows {
        table.push_str(&format!("| {code} | {} |\n", cell(&text)));
    }
    table
}

/// `shared` is what the help of the program itself ends with: it is not repeated.
fn section(path: &str, command: &Command, shared: &str) -> String {
    let about = command.get_long_about().or(command.get_about());
    let about = styled(about);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let mut text = format!("\n## {path}\n\n{}.\n\n", about.trim().trim_end_matches('.'));
    text.push_str(&format!("```text\n{}\n```\n", usage.trim()));
    let own = command.get_arguments().filter(|arg| !arg.is_global_set());
    let table = options(own);
    if !table.is_empty() {
        text.push_str(&format!("\n{table}"));
    }
    let rest = after(command).replace(shared, "");
    if !rest.trim().is_empty() {
        text.push_str(&format!("\n```text\n{}\n```\n", rest.trim_end()));
    }
    text
}

fn options<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    let built_in = |arg: &&Arg| !["help", "version"].contains(&arg.get_id().as_str());
    let shown = args.filter(|arg| !arg.is_hide_set()).filter(built_in);
    let rows: Vec<String> = shown.map(row).collect();
    match rows.is_empty() {
        true => String::new(),
        false => format!("| option | meaning |\n|---|---|\n{}", rows.concat()),
    }
}

fn row(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("`-{short}`, "));
    let name = arg.to_string().replace('|', "\\|");
    let mut about = styled(arg.get_long_help().or(arg.get_help()));
    let mut add = |said: String| about.push_str(&format!(" {said}"));
    if arg.get_action().takes_values() {
        let values = arg.get_possible_values();
        let shown = values.iter().filter(|value| !value.is_hide_set());
        let shown: Vec<&str> = shown.map(|value| value.get_name()).collect();
        if !shown.is_empty() {
            add(format!("[possible values: {}]", shown.join(", ")));
        }
        let defaults = arg.get_default_values().iter();
        let defaults = defaults.filter(|value| !value.is_empty());
        let defaults: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
        if !defaults.is_empty() {
            add(format!("[default: {}]", defaults.join(",")));
        }
    }
    if let Some(variable) = arg.get_env() {
        add(format!("[environment: {}]", variable.to_string_lossy()));
    }
    let short = short.unwrap_or_default();
    format!("| {short}`{name}` | {} |\n", cell(&about))
}

fn after(command: &Command) -> String {
    let text = command.get_after_long_help().or(command.get_after_help());
    styled(text)
}

fn styled(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

/// Text as it may stand in a table.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|").replace('<', "\\<")
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;
    use crate::help::examples;

    fn program() -> Command {
        let kind = Arg::new("kind").short('k').long("kind").help("Which a|b");
        let kind = kind.value_parser(["a", "b"]).default_value("a").env("KIND");
        let json = Arg::new("json")
            .long("json")
            .global(true)
            .help("Print JSON");
        let json = json.action(ArgAction::SetTrue);
        let hidden = Arg::new("hidden").long("hidden").hide(true);
        let go = Command::new("go").about("Go there").arg(kind).arg(hidden);
        let codes = "Exit codes:\n  0  well\n  2  not well: of\n     two lines\n\nMore.";
        let go = go.after_help(examples(&["prog go -k b"], codes));
        Command::new("prog")
            .arg(json)
            .subcommand(go)
            .subcommand(Command::new("secret").hide(true))
            .after_help(codes)
    }

    #[test]
    fn the_page_has_each_command_with_its_own_options() {
        let page = markdown(&program());
        for part in [
            "| [`prog go`](#prog-go) | Go there |\n",
            "Options of every command:\n\n| option | meaning |\n|---|---|\n| `--json` | Print JSON |\n",
            "## prog go\n\nGo there.\n\n```text\nprog go [OPTIONS]\n```\n",
            "| `-k`, `--kind <kind>` | Which a\\|b [possible values: a, b] [default: a] [environment: KIND] |\n",
            "```text\nExamples:\n  prog go -k b\n```\n",
        ] {
            assert!(page.contains(part), "{part}\nis not in\n{page}");
        }
        assert!(
            !page.contains("hidden") && !page.contains("secret"),
            "{page}"
        );
        assert_eq!(page.matches("Print JSON").count(), 1, "{page}");
    }

    #[test]
    fn exit_codes_are_those_of_the_help() {
        let table = exit_codes(&program());
        let expected = "| 0 | well |\n| 2 | not well: of two lines |\n";
        assert!(table.ends_with(expected), "{table}");
    }
}
