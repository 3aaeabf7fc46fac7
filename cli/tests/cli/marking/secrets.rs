//! What stands in the user part of a URL is in no output of any verb that reads it, whatever goes
//! wrong. `tests/tests/control/secrets.rs` runs every verb on a cluster.

use std::thread;

use clap::CommandFactory as _;
use paasta_cli::args::Args;

use super::*;
use crate::verbs::{VERBS, words};

const SECRET: &str = "s3cr3tTOKEN";

/// Every command without commands below it, as its words.
fn leaves(command: &clap::Command, path: &str, found: &mut Vec<String>) {
    for below in command.get_subcommands() {
        let path = format!("{path} {}", below.get_name());
        match below.has_subcommands() {
            true => leaves(below, &path, found),
            false => found.push(path.trim().to_owned()),
        }
    }
}

#[test]
fn every_verb_has_invocations_that_it_takes() {
    let mut leaves_found = Vec::new();
    leaves(&Args::command(), "", &mut leaves_found);
    let mut known: Vec<&str> = VERBS.iter().map(|(verb, _)| *verb).collect();
    leaves_found.sort();
    known.sort_unstable();
    assert_eq!(
        leaves_found, known,
        "each verb of the command line, once, in cli/tests/cli/verbs.rs"
    );
    let sha = "1".repeat(40);
    let values = [("SERVICE", "hello"), ("SHA", &*sha)];
    for (verb, invocations) in VERBS {
        assert!(!invocations.is_empty(), "{verb} has no invocation");
        for options in *invocations {
            let words = words(verb, options, &values);
            let all = ["paasta".to_owned()].into_iter().chain(words);
            let taken = Args::command().try_get_matches_from(all);
            assert!(taken.is_ok(), "{verb} {options}: {:?}", taken.err());
        }
    }
}

/// Refuses everybody, with the secret in its words; returns its address.
fn refuser() -> String {
    let http = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
    let address = http.local_addr().expect("its address");
    thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for mut connection in http.incoming().flatten() {
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(
                format!(
                    "HTTP/1.1 401 no\r\nWWW-Authenticate: Basic realm=x\r\nConnection: close\r\n\
                     Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{SECRET}",
                    SECRET.len()
                )
                .as_bytes(),
            );
        }
    });
    address.to_string()
}

fn silent(ran: &Ran, what: &str) {
    for text in [&ran.stdout, &ran.stderr] {
        for secret in [SECRET, "bob:"] {
            assert!(!text.contains(secret), "{what}: {ran:?}");
        }
    }
}

/// Runs the verbs that read this service.yaml, or are given a URL. Returns how many failed.
fn run_verbs(yaml: &str, url: &str) -> usize {
    let world = World::new();
    world.write("soa/hello/service.yaml", yaml);
    let (soa, dir) = (world.path("soa"), world.path("made"));
    fs::create_dir(&dir).expect("make the directory");
    let sha = "1".repeat(40);
    let values = [
        ("SERVICE", "hello"),
        ("SHA", &sha),
        ("SOA", &soa.to_string_lossy()),
        ("DIR", &dir.to_string_lossy()),
        ("URL", url),
    ];
    let mut failed = 0;
    for (verb, invocations) in VERBS {
        for options in *invocations {
            if !options.contains("SOA") && !options.contains("URL") {
                continue;
            }
            for more in ["", "--json"] {
                let options = format!("{options} {more}");
                let mut args = words(verb, &options, &values);
                args.extend(["--timeout".to_owned(), "300ms".to_owned()]);
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let ran = world.run_plainly(world.dir.path(), &args);
                failed += usize::from(ran.code == 1);
                silent(&ran, &format!("{yaml}{verb} {options}"));
            }
        }
    }
    failed
}

#[test]
fn no_output_has_the_user_part_of_a_url() {
    let address = refuser();
    let url = format!("http://bob:{SECRET}@127.0.0.1:9/x.git");
    // No server, a server that refuses, no URL, no YAML.
    let yamls = [
        format!("git_url: {url}\n"),
        format!("git_url: http://bob:{SECRET}@{address}/x.git\n"),
        format!("git_url: https://{SECRET}@127.0.0.1:9/x.git\n"),
        format!("git_url: ssh://bob:{SECRET}@127.0.0.1:9/x.git\n"),
        format!("git_url: http://bob:{SECRET}/y@127.0.0.1:9/x.git\n"),
        format!("git_url: git://bob:{SECRET}@127.0.0.1:9/x.git\n"),
        format!("git_url: [\"{url}\"]\n"),
        format!("git_url: {{\"{url}\": 1}}\n"),
        format!("git_url: \"{url}\n"),
        format!("git_url: {url}: y\n"),
    ];
    thread::scope(|scope| {
        let runs = yamls.iter().map(|yaml| {
            let url = &url;
            scope.spawn(move || (yaml, run_verbs(yaml, url)))
        });
        let runs: Vec<_> = runs.collect();
        for run in runs {
            let (yaml, failed) = run.join().unwrap_or_else(|panic| {
                std::panic::resume_unwind(panic);
            });
            assert!(failed >= 12, "they do ask: {failed} failed of {yaml}");
        }
    });
    // Given on the command line, of which the shell's user knows.
    let world = World::new();
    let sha = "1".repeat(40);
    let ran = world
        .run(&mark(&sha, &["-u", &url, "--retry-pause", "1ms"]))
        .exits(1);
    silent(&ran, "-u");
    assert!(ran.stderr.contains("http://127.0.0.1:9/x.git"), "{ran:?}");
}
