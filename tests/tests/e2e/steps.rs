//! The steps of a pipeline on the example service, in its own repository: real git, make, docker
//! and registry. Each step passes, and each fails in its own words when what it needs is spoilt.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use paasta_tests::cluster::binaries::binaries;
use paasta_tests::git::Repository;
use paasta_tests::hosts::Hosts;
use paasta_tests::registry::Registry;
use paasta_tests::run::{bounded, eventually, text};
use paasta_tests::tidy::root;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(300);
const SHORT: Duration = Duration::from_secs(30);

/// An author with a repository, on a host with docker.
struct Author {
    hosts: Hosts,
    registry: Registry,
    repository: Repository,
    dir: tempfile::TempDir,
}

/// What a command said, both streams together, and its exit code.
struct Said {
    code: Option<i32>,
    text: String,
}

impl Said {
    fn with(self, code: i32, words: &[&str]) -> Result<String> {
        ensure!(
            self.code == Some(code),
            "{:?}, not {code}: {}",
            self.code,
            self.text
        );
        for word in words {
            ensure!(self.text.contains(word), "no {word:?} in: {}", self.text);
        }
        Ok(self.text)
    }
}

impl Author {
    fn new() -> Result<Self> {
        let hosts = Hosts::up("zst", 1)?;
        let registry = Registry::up(&hosts)?;
        let dir = tempfile::tempdir()?;
        let repository = Repository::create(dir.path())?;
        let author = Self {
            hosts,
            registry,
            repository,
            dir,
        };
        let soa = author.path("soa");
        let example = root().join("deploy/example/soa");
        text(bounded(SHORT, "cp").arg("-a").arg(&example).arg(&soa))?;
        let service = format!("git_url: {}\n", author.repository.url());
        fs::write(soa.join("hello/service.yaml"), service)?;
        fs::create_dir(author.path("etc"))?;
        author.configure("")?;
        Ok(author)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self, more: &str) -> Result<()> {
        let registry = self.registry.address();
        let soa = self.path("soa");
        let soa = soa.display();
        let text = format!("cluster: demo\ndocker_registry: {registry}\nsoa_dir: {soa}\n{more}");
        Ok(fs::write(self.path("etc/paasta.yaml"), text)?)
    }

    fn command(&self, words: &[&str]) -> Result<std::process::Command> {
        let paasta = binaries()?.join("paasta");
        let mut command = self.hosts.command_in(1, "timeout");
        command.args(["--kill-after=5", &LIMIT.as_secs().to_string()]);
        command.arg(paasta).args(words);
        let socket = self.hosts.host(1).socket.display().to_string();
        let target = root().join("deploy/example/target");
        command
            .current_dir(self.repository.work())
            .env("PAASTA_SYSTEM_CONFIG_DIR", self.path("etc"))
            .env("DOCKER_HOST", format!("unix://{socket}"))
            .env("DOCKER_CONFIG", self.path("docker"))
            // What was compiled once need not be again.
            .env("CARGO_TARGET_DIR", target)
            .env(
                "MAKEFLAGS",
                format!("CONTEXT={}", self.path("image").display()),
            )
            .env("USER", "ann");
        Ok(command)
    }

    fn paasta(&self, words: &[&str]) -> Result<Said> {
        let output = self.command(words)?.output()?;
        let all = [output.stdout, output.stderr].concat();
        Ok(Said {
            code: output.status.code(),
            text: String::from_utf8_lossy(&all).into_owned(),
        })
    }

    fn docker(&self, words: &[&str]) -> Result<String> {
        self.hosts.docker(1, words)
    }

    fn edit(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let path = self.repository.work().join(file);
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(from), "no {from:?} in {file}");
        Ok(fs::write(path, text.replace(from, to))?)
    }
}

#[test]
fn an_author_takes_a_commit_from_a_check_to_a_local_run() {
    story().unwrap();
}

fn story() -> Result<()> {
    text(&mut bounded(LIMIT, root().join("deploy/demo/install.sh")))?;
    let mut author = Author::new()?;
    eprintln!("check");
    check(&author)?;
    let sha = author.repository.commit("As it shall run")?;
    eprintln!("cook, test, push");
    author
        .paasta(&["cook-image"])?
        .with(0, &["paasta-cook-image-hello-ann"])?;
    tested(&mut author, &sha)?;
    pushed(&author, &sha)?;
    eprintln!("local run");
    described(&author, &sha)?;
    healthy(&author, &sha)?;
    stopped(&author, &sha)?;
    ended(&author)?;
    let left = author.docker(&["ps", "--all", "--quiet"])?;
    ensure!(left.is_empty(), "containers are left: {left}");
    author.hosts.down()
}

fn check(author: &Author) -> Result<()> {
    let wanted = [
        "✓ the Makefile has the target itest",
        "✓ git answers at file://",
        "✓ deploy.yaml has a security-check",
        "✓ hello/marathon-demo.yaml",
    ];
    author.paasta(&["check"])?.with(0, &wanted)?;
    let makefile = author.repository.work().join("Makefile");
    let good = fs::read_to_string(&makefile)?;
    author.edit("Makefile", "itest: cook-image", "tests: cook-image")?;
    let bad = author.paasta(&["check", "-s", "hello"])?;
    bad.with(
        1,
        &[
            "the Makefile has no target itest",
            "✓ the Makefile has the target cook-image",
        ],
    )?;
    fs::write(&makefile, good)?;
    let typo = author.paasta(&["check", "-s", "helo"])?;
    typo.with(1, &["did you mean hello?"]).map(drop)
}

/// The image is there afterwards, and is missed where it is not.
fn tested(author: &mut Author, sha: &str) -> Result<()> {
    let itest = ["itest", "-s", "hello", "-c", sha];
    let image = author.registry.image(sha);
    author
        .paasta(&itest)?
        .with(0, &["is good", &format!("{image} is tested")])?;
    author
        .paasta(&["itest", "-c", "0123abc"])?
        .with(1, &["hexadecimal digits", "git rev-parse HEAD"])?;

    let makefile = author.repository.work().join("Makefile");
    let good = fs::read_to_string(&makefile)?;
    fs::write(&makefile, "itest:\n\ttrue\n")?;
    let other = "0".repeat(40);
    let none = author.paasta(&["itest", "-c", &other])?;
    none.with(1, &["ended well, but there is no image", "$(DOCKER_TAG)"])?;
    fs::write(&makefile, "itest:\n\tsleep 600\n")?;
    let slow = author.paasta(&["itest", "-c", sha, "--step-timeout", "1s"])?;
    slow.with(1, &["still running after 1s"])?;
    fs::write(&makefile, "itest:\n\texit 7\n")?;
    // make's own exit code for a failed recipe.
    author
        .paasta(&["itest", "-c", sha])?
        .with(2, &["failed with exit code 2"])?;
    fs::write(&makefile, good)?;

    let step = ["security-check", "-c", sha];
    author.paasta(&step)?.with(0, &["not configured"])?;
    author.configure("security_check_command: /bin/echo looked at\n")?;
    author
        .paasta(&step)?
        .with(0, &[&format!("looked at hello {sha}")])?;
    author.configure("security_check_command: /bin/ls /nonexistent\n")?;
    author
        .paasta(&step)?
        .with(2, &["failed with exit code 2"])?;
    author.configure("")
}

/// Pushed once; afterwards it stays as it is.
fn pushed(author: &Author, sha: &str) -> Result<()> {
    let push = ["push-to-registry", "-s", "hello", "-c", sha];
    author.registry.stop()?;
    author
        .paasta(&push)?
        .with(1, &["cannot ask the registry"])?;
    author.registry.start()?;
    author.paasta(&push)?.with(0, &["digest: sha256:"])?;
    author
        .paasta(&push)?
        .with(0, &["is in the registry already"])?;
    let forced = [&push[..], &["--force"]].concat();
    author.paasta(&forced)?.with(0, &["digest: sha256:"])?;
    let never = ["push-to-registry", "-c", &"1".repeat(40)];
    author
        .paasta(&never)?
        .with(1, &["failed with exit code 1"])
        .map(drop)
}

/// What would be run is what would be typed.
fn described(author: &Author, sha: &str) -> Result<()> {
    let dry = ["local-run", "-i", "main", "--sha", sha, "--dry-run"];
    let output = author.command(&dry)?.output()?;
    let words: Vec<String> = serde_json::from_slice(&output.stdout)?;
    let image = author.registry.image(sha);
    ensure!(
        words.starts_with(&["docker".to_owned(), "run".to_owned()]),
        "{words:?}"
    );
    for flag in [
        "--cpu-shares=102",
        "--memory=67108864",
        "--init",
        "--cap-drop=MKNOD",
        &image,
    ] {
        ensure!(
            words.iter().any(|word| word == flag),
            "no {flag} in {words:?}"
        );
    }
    let dict = [&dry[..], &["--json-dict"]].concat();
    let output = author.command(&dict)?.output()?;
    let dict: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(dict["env"]["PAASTA_INSTANCE"] == "main", "{dict}");
    for (words, said) in [
        (
            &["local-run", "--sha", sha][..],
            "which instance? hello/marathon-demo.yaml declares main, worker",
        ),
        (
            &["local-run", "-i", "mian", "--sha", sha],
            "did you mean main?",
        ),
        (
            &["local-run", "-i", "main", "-c", "nowhere", "--sha", sha],
            "declares no instance main",
        ),
        (
            &["local-run", "-i", "main", "-p"],
            "was never deployed (deploy group demo.everything)",
        ),
    ] {
        author.paasta(words)?.with(1, &[said])?;
    }
    Ok(())
}

/// The health check has the last word, either way.
fn healthy(author: &Author, sha: &str) -> Result<()> {
    let run = ["local-run", "-i", "main", "-t"];
    author
        .paasta(&[&run[..], &["--sha", sha]].concat())?
        .with(0, &["healthy after"])?;
    author
        .paasta(&[&run[..], &["--build"]].concat())?
        .with(0, &["healthy after"])?;
    let sick = "f".repeat(40);
    author.registry.push_variant(&sick, &[("UNHEALTHY", 1)])?;
    let config = author.path("soa/hello/marathon-demo.yaml");
    let text = fs::read_to_string(&config)?;
    fs::write(
        &config,
        text.replace("grace_period_seconds: 10", "grace_period_seconds: 1"),
    )?;
    let never = author.paasta(&[&run[..], &["--sha", &sick]].concat())?;
    never.with(
        1,
        &[
            "health check failed, 3 of 3",
            "an agent would replace the container now",
        ],
    )?;
    Ok(fs::write(&config, text)?)
}

/// Runs until it is interrupted; meanwhile it is the container that an agent would have made.
fn stopped(author: &Author, sha: &str) -> Result<()> {
    let running = author
        .command(&["local-run", "-i", "main", "--sha", sha])?
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let id = eventually(SHORT, "it runs", || {
        let id = author.docker(&["ps", "--quiet", "--filter", "label=paasta_service=hello"])?;
        ensure!(!id.is_empty(), "no container yet");
        Ok(id)
    })?;
    let inspected: Value = serde_json::from_str(&author.docker(&["inspect", &id])?)?;
    for (path, wanted) in [
        ("/0/HostConfig/Privileged", Value::from(false)),
        ("/0/HostConfig/CpuShares", Value::from(102)),
        ("/0/HostConfig/MemorySwap", Value::from(128 << 20)),
        ("/0/HostConfig/RestartPolicy/Name", Value::from("no")),
        ("/0/Config/Tty", Value::from(false)),
        ("/0/Config/WorkingDir", Value::from("/mnt/mesos/sandbox")),
        ("/0/Config/Labels/paasta_instance", Value::from("main")),
    ] {
        let found = inspected.pointer(path).unwrap_or(&Value::Null);
        ensure!(*found == wanted, "{path}: {found}, not {wanted}");
    }
    let agents = inspected.pointer("/0/Config/Labels/paasta_host");
    ensure!(
        agents.is_none(),
        "an agent would take it for its own: {agents:?}"
    );
    // `timeout` passes it on.
    let pid = running.id().to_string();
    text(bounded(SHORT, "kill").args(["-TERM", &pid]))?;
    let output = running.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // nsenter has become `timeout`, which ends with 124 when it was told to end.
    ensure!(!output.status.success(), "{said}");
    eventually(SHORT, "its container is gone", || {
        let left = author.docker(&["ps", "--all", "--quiet"])?;
        ensure!(left.is_empty(), "{left}\n{said}");
        Ok(())
    })
}

/// A container that ends by itself: its code is ours.
fn ended(author: &Author) -> Result<()> {
    let short = "e".repeat(40);
    author
        .registry
        .push_variant(&short, &[("CRASH_AFTER_MS", 300), ("EXIT_CODE", 9)])?;
    let run = ["local-run", "-i", "worker", "--sha", &short];
    author.paasta(&run)?.with(9, &[])?;
    let told = author.paasta(&[&run[..], &["-t"]].concat())?;
    told.with(1, &["has no health check"])?;
    let missing = "d".repeat(40);
    let run = ["local-run", "-i", "worker", "--sha", &missing];
    author
        .paasta(&run)?
        .with(1, &["docker pull", "failed with exit code 1"])
        .map(drop)
}
