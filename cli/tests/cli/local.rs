//! What needs no cluster: completions, version, mistakes in the command line.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use clap::CommandFactory as _;
use paasta_cli::args::Args;
use paasta_process::help;
use paasta_proto::v1::InstanceStatus;

use crate::{
    fake::{Fake, Script},
    paasta::paasta,
};

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
fn completions_ask_the_cluster_for_names() {
    let fake = Fake::start(Script {
        instances: ["hello.main", "hello.worker", "web.main"]
            .map(instance)
            .to_vec(),
        page: 10,
        ..Script::default()
    });
    let program = Path::new(env!("CARGO_BIN_EXE_paasta"));
    let bin = program.parent().expect("it is in a directory");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    // What bash does when Tab is pressed at the end of the line.
    let complete = |line: &str| {
        let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
        let script = format!(
            "source <(paasta completions bash); COMP_WORDS=({}); COMP_CWORD={}; \
             _paasta_named paasta \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; printf '%s ' \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1
        );
        let output = Command::new("bash")
            .args(["-c", &script])
            .env("PATH", &path)
            .env("PAASTA_COORDINATORS", &fake.address)
            .env("PAASTA_SYSTEM_CONFIG_DIR", "/nonexistent/paasta")
            .env("XDG_CONFIG_HOME", "/nonexistent/config")
            .output()
            .expect("run bash");
        String::from_utf8(output.stdout).expect("text")
    };
    // A name that does not come within 300 ms is none; a busy machine is asked again.
    let until = |line: &str, wanted: &str| {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let found = complete(line);
            if found == wanted || Instant::now() > end {
                assert_eq!(found, wanted, "{line}");
                return;
            }
        }
    };
    until("paasta status -s he", "hello ");
    until("paasta status -s hello -i main,w", "main,worker ");
    until("paasta why hello.", "hello.main hello.worker ");
    // What is no name.
    until("paasta metast", "metastatus ");
}

fn instance(id: &str) -> InstanceStatus {
    let (service, instance) = id.split_once('.').expect("a name");
    InstanceStatus {
        service: service.to_owned(),
        instance: instance.to_owned(),
        ..InstanceStatus::default()
    }
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
