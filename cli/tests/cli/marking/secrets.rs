//! What stands in the user part of a URL is in no output of any verb, whatever goes wrong.

use super::*;

const SECRET: &str = "s3cr3tTOKEN";

/// Every verb that asks a repository or speaks of one.
fn verbs(sha: &str) -> Vec<Vec<&str>> {
    let of = |words: &[&'static str]| [words, &["-s", "hello"][..]].concat();
    let group = ["-l", "demo.all", "-k"];
    let mut verbs = vec![
        of(&["list-deployments"]),
        [of(&["get-latest-deployment"]), vec!["-l", "demo.all"]].concat(),
        of(&["generate-deployments"]),
        of(&["info"]),
        of(&["stop"]),
        of(&["start"]),
        of(&["restart"]),
        of(&["rollback"]),
        of(&["check"]),
        of(&["pipeline"]),
        of(&["logs", "--timeout", "300ms"]),
        of(&["status", "--timeout", "300ms"]),
        of(&["why", "-i", "main", "--timeout", "300ms"]),
        of(&["history", "-i", "main", "--timeout", "300ms"]),
        [of(&["security-check"]), vec!["-c", sha]].concat(),
        [of(&["performance-check"]), vec!["-c", sha]].concat(),
    ];
    for verb in ["cook-image", "itest", "push-to-registry"] {
        verbs.push(
            [
                &[verb, "-s", "hello", "-c", sha][..],
                &["--timeout", "300ms"],
            ]
            .concat(),
        );
    }
    for verb in ["mark-for-deployment", "wait-for-deployment", "rollback"] {
        verbs.push([&[verb, "-s", "hello"], &group[..], &[sha]].concat());
    }
    verbs
}

#[test]
fn no_output_has_the_user_part_of_a_url() {
    let world = World::new();
    let sha = "1".repeat(40);
    // No server, a server that refuses, no URL, no YAML.
    let http = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
    let address = http.local_addr().expect("its address");
    std::thread::spawn(move || {
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
    let yamls = [
        format!("git_url: http://bob:{SECRET}@127.0.0.1:9/x.git\n"),
        format!("git_url: http://bob:{SECRET}@{address}/x.git\n"),
        format!("git_url: https://{SECRET}@127.0.0.1:9/x.git\n"),
        format!("git_url: ssh://bob:{SECRET}@127.0.0.1:9/x.git\n"),
        format!("git_url: http://bob:{SECRET}/y@127.0.0.1:9/x.git\n"),
        format!("git_url: git://bob:{SECRET}@127.0.0.1:9/x.git\n"),
        format!("git_url: [\"http://bob:{SECRET}@127.0.0.1:9/x.git\"]\n"),
        format!("git_url: {{\"http://bob:{SECRET}@127.0.0.1:9/x.git\": 1}}\n"),
        format!("git_url: \"http://bob:{SECRET}@127.0.0.1:9/x.git\n"),
        format!("git_url: http://bob:{SECRET}@127.0.0.1:9/x.git: y\n"),
    ];
    let mut ends = 0;
    for yaml in &yamls {
        world.write("soa/hello/service.yaml", yaml);
        for verb in verbs(&sha) {
            for more in [&[][..], &["--json"][..]] {
                let mut args = [verb.as_slice(), more].concat();
                if args.contains(&"mark-for-deployment") {
                    args.extend(["--retry-pause", "1ms"]);
                }
                let ran = world.run(&args);
                ends += usize::from(ran.code == 1);
                for text in [&ran.stdout, &ran.stderr] {
                    assert!(!text.contains(SECRET), "{yaml}{args:?}: {ran:?}");
                    assert!(!text.contains("bob:"), "{yaml}{args:?}: {ran:?}");
                }
            }
        }
        let soa = world.path("soa");
        let args = ["validate", "-s", "hello", "-y", &soa.to_string_lossy()];
        let ran = paasta_in(world.dir.path(), &args, &[]);
        for text in [&ran.stdout, &ran.stderr] {
            assert!(
                !text.contains(SECRET) && !text.contains("bob:"),
                "{yaml}: {ran:?}"
            );
        }
    }
    assert!(ends > yamls.len() * 12, "they do ask: {ends} failed");
    // Given on the command line, of which the shell's user knows.
    let url = format!("http://bob:{SECRET}@127.0.0.1:9/x.git");
    let ran = world
        .run(&mark(&sha, &["-u", &url, "--retry-pause", "1ms"]))
        .exits(1);
    assert!(
        ran.stderr.contains("http://127.0.0.1:9/x.git") && !ran.stderr.contains(SECRET),
        "{ran:?}"
    );
}
