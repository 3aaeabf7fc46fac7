//! `make demo` as its user sees it: up, up again, one more version, the guide for authors, down, and
//! nothing is left.
//! Beside a demo that may be up on this machine, which has other names and another network.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use paasta_tests::cluster::binaries::binaries;
use paasta_tests::guide;
use paasta_tests::run::{bounded, text};
use paasta_tests::tidy::root;
use paasta_tests::traces::traces;

const PREFIX: &str = "zde";
const SUBNET: &str = "10.76.0.0/24";
/// What the demo promises once everything is built, and as much again for a busy machine.
const UP_LIMIT: Duration = Duration::from_secs(240);
const LIMIT: Duration = Duration::from_secs(60);
/// Everything in the guide, with four versions built and deployed.
const GUIDE_LIMIT: Duration = Duration::from_secs(420);

/// A demo; dropped, it is taken down.
struct Demo {
    state: PathBuf,
}

impl Demo {
    fn script(&self, limit: Duration, words: &[&str]) -> Result<String> {
        let mut command = bounded(limit, root().join("deploy/demo/demo.sh"));
        // The demo has programs of its own tree.
        text(self.environment(&mut command).args(words))
    }

    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("PAASTA_DEMO_STATE", &self.state)
            .env("PAASTA_DEMO_PREFIX", PREFIX)
            .env("PAASTA_DEMO_SUBNET", SUBNET)
    }

    /// Runs a line of shell as a user does who has evaluated `demo.sh env`.
    fn shell(&self, line: &str) -> Result<String> {
        let script = format!("eval \"$(deploy/demo/demo.sh env)\"; {line}");
        let mut command = bounded(LIMIT, "bash");
        let command = self.environment(&mut command).current_dir(root());
        text(command.args(["-euo", "pipefail", "-c", &script]))
    }

    fn containers(&self) -> Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        for index in 1..=3 {
            let socket = self
                .state
                .join(format!("hosts/{PREFIX}-{index}/docker.sock"));
            let socket = format!("unix://{}", socket.display());
            let listed =
                text(bounded(LIMIT, "docker").args(["-H", &socket, "ps", "-q", "--no-trunc"]))?;
            ids.extend(listed.lines().map(str::to_owned));
        }
        Ok(ids)
    }

    fn kill_daemon(&self, name: &str) -> Result<()> {
        let record = fs::read_to_string(self.state.join("run").join(name))?;
        let pid = record.split(' ').next().context("a pid")?;
        text(bounded(LIMIT, "kill").args(["-KILL", pid])).map(drop)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Down already is as good.
        let _ = self.script(LIMIT, &["down"]);
    }
}

#[test]
fn the_demo_comes_up_and_goes_without_a_trace() {
    binaries().unwrap();
    let before = traces(PREFIX).unwrap();
    let demo = Demo {
        state: root().join(".demo/tests").join(PREFIX),
    };
    demo.script(LIMIT, &["down"]).unwrap();
    first_time(&demo).unwrap();
    second_time(&demo).unwrap();
    guide(&demo).unwrap();
    demo.script(LIMIT, &["down"]).unwrap();
    assert_eq!(traces(PREFIX).unwrap(), before);
    assert!(!demo.state.exists(), "{} is there", demo.state.display());
    demo.script(LIMIT, &["down"]).unwrap();
}

fn first_time(demo: &Demo) -> Result<()> {
    let started = Instant::now();
    let said = demo.script(UP_LIMIT, &["up"])?;
    ensure!(
        started.elapsed() < UP_LIMIT / 2,
        "the demo took {:?}",
        started.elapsed()
    );
    ensure!(
        said.contains("requests during the bounce: ") && said.contains("; failed: 0"),
        "{said}"
    );
    let bodies = demo.shell(
        "paasta status -s hello -i main -v --json \
         | jq -r '.instances[].replicas[] | \"http://\\(.address):\\(.host_port)/\"' \
         | xargs -n 1 curl -fsS -m 5",
    )?;
    ensure!(
        bodies.lines().count() == 3 && bodies.lines().all(|line| line.starts_with("bonjour ")),
        "{bodies}"
    );
    demo.shell("paasta status").map(drop)
}

/// After a crash of a coordinator and an agent `up` repairs, and touches no container.
fn second_time(demo: &Demo) -> Result<()> {
    let before = demo.containers()?;
    ensure!(before.len() == 4, "three of main and a worker: {before:?}");
    demo.kill_daemon("coordinator-2")?;
    demo.kill_daemon("agent-3")?;
    let said = demo.script(UP_LIMIT, &["up"])?;
    ensure!(said.contains("nothing new was deployed"), "{said}");
    demo.shell("paasta metastatus")?;
    let after = demo.containers()?;
    ensure!(before == after, "{before:?} became {after:?}");
    let said = demo.script(UP_LIMIT, &["deploy", "ciao"])?;
    ensure!(said.contains("; failed: 0"), "{said}");
    Ok(())
}

/// The guide for authors, command by command, on the demo that it is written for.
fn guide(demo: &Demo) -> Result<()> {
    let path = root().join("docs/author/guide.md");
    let blocks = guide::blocks(&fs::read_to_string(&path)?)?;
    ensure!(blocks.len() > 5, "the guide has {} blocks", blocks.len());
    let temporary = tempfile::tempdir()?;
    let mut command = bounded(GUIDE_LIMIT, "bash");
    let command = demo.environment(&mut command).current_dir(root());
    for (name, value) in [("AUTHOR", "Ann"), ("COMMITTER", "Ann")] {
        command.env(format!("GIT_{name}_NAME"), value);
        command.env(format!("GIT_{name}_EMAIL"), "ann@example.com");
    }
    let output = command
        .env("TMPDIR", temporary.path())
        .args(["-c", &guide::script(&blocks)])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "the guide ended with {}:\n{said}",
        output.status
    );
    guide::check(&blocks, &said)
}
