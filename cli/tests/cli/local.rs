//! What needs no cluster: completions, version, mistakes in the command line.

use clap::CommandFactory as _;
use paasta_cli::args::Args;
use paasta_process::help;

use crate::paasta::paasta;

#[test]
fn completions_name_the_verbs_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let script = paasta(&["completions", shell]).exits(0).stdout;
        for verb in ["metastatus", "generate-deployments", "coordinators"] {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
    paasta(&["completions", "tcsh"]).exits(1);
}

#[test]
fn the_version_is_said_in_three_ways() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        paasta(&["version"]).exits(0).stdout,
        format!("paasta {version}\n")
    );
    assert_eq!(
        paasta(&["-V"]).exits(0).stdout,
        format!("paasta {version}\n")
    );
    assert_eq!(
        paasta(&["version", "--json"]).exits(0).json()["version"],
        version
    );
}

#[test]
fn help_is_no_failure_and_tells_the_exit_codes() {
    let help = paasta(&["--help"]).exits(0);
    assert!(
        help.stdout.contains("Exit codes:") && help.stderr.is_empty(),
        "{help:?}"
    );
    assert!(!help.stdout.contains('\u{1b}'), "no colours into a pipe");
    assert!(
        paasta(&["metastatus", "--help"])
            .exits(0)
            .stdout
            .contains("lost host")
    );
}

#[test]
fn mistakes_in_the_command_line_are_1() {
    for args in [
        &["frobnicate"][..],
        &[],
        &["status", "--frobnicate"],
        &["status", "-i", "main"],
        &["status", "--timeout", "soon"],
        &["list", "--coordinators", "nohost"],
        &["cluster", "init", "--cluster", "demo"],
        &["cluster", "init", "--cluster", "a/b", "--member", "1=h:1"],
    ] {
        let ran = paasta(args).exits(1);
        assert!(!ran.stderr.is_empty() && ran.stdout.is_empty(), "{ran:?}");
    }
}

#[test]
fn every_command_has_a_man_page() {
    let dir = tempfile::tempdir().expect("a directory");
    let pages = dir.path().join("man1");
    paasta(&["man", pages.to_str().expect("a path in UTF-8")]).exits(0);
    let commands = help::leaves(&Args::command());
    assert!(commands.len() > 50, "{commands:?}");
    for command in commands {
        let name = command.replace(' ', "-");
        let page = std::fs::read_to_string(pages.join(format!("{name}.1")));
        let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.starts_with(".ie") && page.contains(".TH "), "{page}");
        let text = page.replace("\\-", "-");
        let (_, examples) = text.split_once("Examples:").expect("examples");
        assert!(examples.contains(&command), "{name}: {page}");
    }
    paasta(&["man", "/dev/null/man"]).exits(1);
}
