//! The verbs that speak through git, against a real repository, and waiting, against a coordinator
//! that follows a script.

mod commits;
mod owned;
mod secrets;

use std::{
    fmt::Write as _,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use paasta_proto::v1::{
    AppStatus, Counts, DeployStatus, DesiredState, InstanceStatus, Waiting, WaitingKind,
};
use tempfile::TempDir;

use crate::{
    fake::{Fake, Script},
    paasta::{Ran, paasta_in},
};

/// A yelpsoa-configs directory, a system configuration, a bare repository and a clone of it.
struct World {
    dir: TempDir,
    coordinators: String,
}

impl World {
    fn new() -> Self {
        let world = Self {
            dir: tempfile::tempdir().expect("a directory"),
            coordinators: String::new(),
        };
        let url = world.url();
        world.write(
            "etc/paasta.yaml",
            "cluster: demo\ndocker_registry: localhost:1\n",
        );
        world.write("soa/hello/service.yaml", &format!("git_url: {url}\n"));
        world.write("soa/other/service.yaml", &format!("git_url: {url}\n"));
        world.write(
            "soa/hello/marathon-demo.yaml",
            "main: {deploy_group: demo.all}\nworker: {deploy_group: demo.all}\nold: {}\n",
        );
        git(world.dir.path(), &["init", "-q", "--bare", "remote.git"]);
        git(world.dir.path(), &["init", "-q", "services-hello"]);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn url(&self) -> String {
        format!("file://{}", self.path("remote.git").display())
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it has a parent")).expect("make the directory");
        fs::write(path, text).expect("write the file");
    }

    /// A commit that is the tip of the remote's `main`.
    fn commit(&self, message: &str) -> String {
        let clone = self.path("services-hello");
        git(&clone, &["commit", "-q", "--allow-empty", "-m", message]);
        git(&clone, &["push", "-q", &self.url(), "HEAD:refs/heads/main"]);
        git(&clone, &["rev-parse", "HEAD"])
    }

    /// Runs `paasta` beside the clone, so that it has no commit at hand.
    fn run(&self, args: &[&str]) -> Ran {
        self.run_in(self.dir.path(), args)
    }

    fn run_in(&self, at: &Path, args: &[&str]) -> Ran {
        let soa = self.path("soa");
        let mut all = args.to_vec();
        let soa = soa.to_string_lossy();
        all.extend(["-d", &*soa]);
        self.run_plainly(at, &all)
    }

    /// Runs `paasta` without naming the yelpsoa-configs directory.
    fn run_plainly(&self, at: &Path, args: &[&str]) -> Ran {
        let etc = self.path("etc");
        let etc = etc.to_string_lossy();
        let none = "127.0.0.1:1".to_owned();
        let named = if self.coordinators.is_empty() {
            &none
        } else {
            &self.coordinators
        };
        let env = [
            ("PAASTA_SYSTEM_CONFIG_DIR", &*etc),
            ("PAASTA_COORDINATORS", named),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ];
        paasta_in(at, args, &env)
    }

    fn tags(&self) -> Vec<String> {
        let names = git(
            &self.path("remote.git"),
            &["for-each-ref", "--format=%(refname)"],
        );
        let tags = names
            .lines()
            .filter_map(|name| name.strip_prefix("refs/tags/"));
        tags.map(str::to_owned).collect()
    }

    /// What deployments.json would say of `demo.main`: sha and state.
    fn generated(&self, instance: &str) -> (String, String) {
        self.run(&["generate-deployments", "-s", "hello"]).exits(0);
        let text =
            fs::read_to_string(self.path("soa/hello/deployments.json")).expect("it is there");
        let json: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let entry = &json["v1"][format!("hello:paasta-demo.{instance}")];
        let image = entry["docker_image"].as_str().unwrap_or_default();
        let state = entry["desired_state"].as_str().unwrap_or_default();
        (
            image.rsplit('-').next().unwrap_or_default().to_owned(),
            state.to_owned(),
        )
    }
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=T", "-c", "user.email=t@example.com"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("run git");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {complaint}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn mark<'a>(sha: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mark = [
        "mark-for-deployment",
        "-s",
        "hello",
        "-l",
        "demo.all",
        "-k",
        sha,
    ];
    [&mark, more].concat()
}

#[test]
fn a_deploy_is_marked_listed_and_rolled_back() {
    let world = World::new();
    let first = world.commit("one");
    let none = world
        .run(&["get-latest-deployment", "-s", "hello", "-l", "demo.al"])
        .exits(1);
    assert!(none.stderr.contains("did you mean demo.all"), "{none:?}");
    let empty = world.run(&["list-deployments", "-s", "hello"]).exits(1);
    assert!(empty.stderr.contains("ever marked"), "{empty:?}");

    let marked = world.run(&mark(&first[..7], &[])).exits(0);
    assert!(
        marked.stdout.contains(&format!("Marked {first}")),
        "{marked:?}"
    );
    assert!(
        !marked.stdout.contains("rollback"),
        "nothing to go back to: {marked:?}"
    );
    assert_eq!(world.generated("main"), (first.clone(), "start".to_owned()));

    // From within the clone, whose name says the service; at once after the first.
    let second = world.commit("two");
    let at = world.path("services-hello");
    let again = ["mark-for-deployment", "-l", "demo.all", "-k", &second];
    let marked = world.run_in(&at, &again).exits(0);
    let back = format!("paasta rollback -s hello -l demo.all -k {first}");
    assert!(marked.stdout.contains(&back), "{marked:?}");
    let latest = world
        .run(&["get-latest-deployment", "-s", "hello", "-l", "demo.all"])
        .exits(0);
    assert_eq!(
        latest.stdout,
        format!("{second}\n"),
        "also within one second"
    );

    let same = world.run(&mark(&second, &["--json"])).exits(0);
    assert!(same.stderr.contains("runs already"), "{same:?}");
    assert_eq!(same.json()["sha"], *second);
    let listed = world
        .run(&["list-deployments", "-s", "hello", "--json"])
        .exits(0)
        .json();
    let shas: Vec<&str> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| line["sha"].as_str().expect("a sha"))
        .collect();
    assert_eq!(shas, [&second, &second, &first]);
    assert_eq!(
        (&listed[0]["current"], &listed[1]["current"]),
        (&true.into(), &false.into())
    );

    let offered = world.run(&["rollback", "-s", "hello"]).exits(1);
    assert!(
        offered.stdout.contains(&first) && offered.stderr.contains(&back),
        "{offered:?}"
    );
    let never = "1".repeat(40);
    for (commit, words) in [
        (&first[..8], "not a full git sha"),
        (&never, "never deployed"),
    ] {
        let refused = world
            .run(&["rollback", "-s", "hello", "-k", commit])
            .exits(1);
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    let groups = [
        "rollback",
        "-s",
        "hello",
        "-k",
        &first,
        "-l",
        "demo.all,demo.none",
    ];
    let rolled = world.run(&groups).exits(0);
    assert!(
        rolled.stderr.contains("no deploy group demo.none"),
        "{rolled:?}"
    );
    assert_eq!(world.generated("main").0, first);
    let forced = world
        .run(&["rollback", "-s", "hello", "-k", &never, "-f"])
        .exits(1);
    assert!(
        forced.stderr.contains("does not give out the commit"),
        "{forced:?}"
    );
}

#[test]
fn a_stop_lasts_until_the_next_deploy_and_comes_back_with_its_commit() {
    let world = World::new();
    let first = world.commit("one");
    let never = world
        .run(&["stop", "-s", "hello", "-c", "demo", "-i", "old"])
        .exits(1);
    assert!(
        never.stderr.contains("was it deployed there yet?"),
        "{never:?}"
    );
    world.run(&mark(&first, &[])).exits(0);
    let state = || world.generated("main").1;
    let act = |verb: &str| {
        world
            .run(&[verb, "-s", "hello", "-c", "demo", "-i", "main"])
            .exits(0)
    };
    let stopped = act("stop");
    assert!(
        stopped.stdout.contains("Stopped hello.main in demo"),
        "{stopped:?}"
    );
    assert!(
        stopped.stderr.contains("until the next deploy"),
        "{stopped:?}"
    );
    assert_eq!(state(), "stop");
    assert_eq!(world.generated("worker").1, "start");
    act("start");
    assert_eq!(state(), "start", "a start within the same second is later");
    act("stop");
    assert_eq!(state(), "stop");
    let second = world.commit("two");
    world.run(&mark(&second, &[])).exits(0);
    assert_eq!(state(), "start", "a deploy forgets it");
    world
        .run(&["rollback", "-s", "hello", "-k", &first])
        .exits(0);
    assert_eq!(
        world.generated("main"),
        (first, "stop".to_owned()),
        "and it comes back"
    );
    let before = world.tags().len();
    act("restart");
    assert_eq!(state(), "start");
    // All of a group, by one push; nobody is asked without a terminal.
    world
        .run(&["restart", "-s", "hello", "-l", "demo.all"])
        .exits(0);
    assert_eq!(world.tags().len(), before + 3);

    for (args, words) in [
        (&["stop", "-s", "helo"][..], "did you mean hello?"),
        (
            &["stop", "-s", "hello", "-i", "wrker"],
            "did you mean worker?",
        ),
        (&["stop", "-s", "hello", "-c", "prod"], "has no cluster"),
        (&["stop", "-s", "hello", "-i", "größe/x"], "has no instance"),
        (
            &[
                "stop", "-s", "hello", "-c", "demo", "-i", "old", "-l", "demo.all",
            ],
            "no instance of",
        ),
    ] {
        let refused = world.run(args).exits(1);
        assert!(refused.stderr.contains(words), "{args:?}: {refused:?}");
    }
}

#[test]
fn the_branch_of_the_seed_era_is_what_runs_where_no_tag_is() {
    let world = World::new();
    let sha = world.commit("one");
    let to = "HEAD:refs/heads/paasta-demo.old";
    git(
        &world.path("services-hello"),
        &["push", "-q", &world.url(), to],
    );
    let latest = world
        .run(&["get-latest-deployment", "-s", "hello", "-l", "demo.old"])
        .exits(0);
    assert_eq!(latest.stdout.trim(), sha);
    world
        .run(&["stop", "-s", "hello", "-c", "demo", "-i", "old"])
        .exits(0);
    assert_eq!(world.generated("old"), (sha, "stop".to_owned()));
}

#[test]
fn what_git_or_a_person_gets_wrong_is_said_and_marks_nothing() {
    let world = World::new();
    let sha = world.commit("one");
    let quick = ["--retry-pause", "10ms"];
    let unknown = [
        "mark-for-deployment",
        "-s",
        "hello",
        "-l",
        "demo.ll",
        "-k",
        &sha,
    ];
    let warned = world.run(&unknown).exits(0);
    assert!(
        warned.stderr.contains("did you mean demo.all"),
        "{warned:?}"
    );
    let slashes = [
        "mark-for-deployment",
        "-s",
        "hello",
        "-l",
        "größe/x",
        "-k",
        &sha,
    ];
    world.run(&slashes).exits(0);
    assert!(
        world
            .tags()
            .iter()
            .any(|tag| tag.starts_with("paasta-größe/x-"))
    );
    let tags = world.tags();

    let bad_group = [
        "mark-for-deployment",
        "-s",
        "hello",
        "-l",
        "a b",
        "-k",
        &sha,
    ];
    for (args, words) in [
        (mark("xyz1", &[]), "not a git sha"),
        (mark("1111", &[]), "no branch or tag"),
        (
            mark(&"1".repeat(40), &quick),
            "does not give out the commit",
        ),
        (bad_group.to_vec(), "cannot be a deploy group"),
        (
            mark(&sha, &["--verify-image-exists"]),
            "cannot ask the registry",
        ),
        (mark(&sha, &["--auto-rollback"]), "--wait-for-deployment"),
        (
            mark(&sha, &["--git-url=--upload-pack=x"]),
            "is not the URL of a git repository",
        ),
        (
            mark(&sha, &["-u", "/nonexistent/x.git"]),
            "not appear to be a git repository",
        ),
    ] {
        let refused = world.run(&args).exits(1);
        assert!(refused.stderr.contains(words), "{args:?}: {refused:?}");
    }
    // A server that accepts and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
    let url = format!("git://{}/x.git", mute.local_addr().expect("its address"));
    let hangs = world
        .run(&mark(&sha, &["-u", &url, "--git-timeout", "300ms"]))
        .exits(1);
    assert!(
        hangs.stderr.contains("was still running after"),
        "{hangs:?}"
    );
    // One that says no is asked three times.
    let hook = world.path("remote.git/hooks/pre-receive");
    fs::create_dir_all(hook.parent().expect("a parent")).expect("make the directory");
    fs::write(&hook, "#!/bin/sh\necho you may not >&2\nexit 1\n").expect("write the hook");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("make it run");
    let denied = world.run(&mark(&sha, &quick)).exits(1);
    assert!(denied.stderr.contains("attempt 2/3 failed"), "{denied:?}");
    assert!(denied.stderr.contains("you may not"), "{denied:?}");
    assert_eq!(world.tags(), tags);
}

#[test]
fn a_hundred_thousand_refs_are_no_trouble() {
    let world = World::new();
    let sha = world.commit("one");
    let mut packed = String::from("# pack-refs with: peeled fully-peeled sorted\n");
    for number in 0..100_000 {
        writeln!(packed, "{sha} refs/tags/build-{number:06}").expect("text");
    }
    fs::write(world.path("remote.git/packed-refs"), packed).expect("write the refs");
    world.run(&mark(&sha[..10], &[])).exits(0);
    assert_eq!(world.generated("main").0, sha);
}

/// One instance as a coordinator would tell of it.
fn status(instance: &str, sha: &str, happy: u32) -> InstanceStatus {
    let app = AppStatus {
        desired: true,
        replicas: 3,
        counts: Some(Counts {
            happy,
            ..Counts::default()
        }),
        ..AppStatus::default()
    };
    InstanceStatus {
        service: "hello".to_owned(),
        instance: instance.to_owned(),
        git_sha: sha.to_owned(),
        desired_state: DesiredState::Start.into(),
        wanted: 3,
        needed: 3,
        deploy_status: DeployStatus::Running.into(),
        apps: vec![app],
        waiting: vec![Waiting {
            kind: WaitingKind::Happy.into(),
            what: "waiting for r7 to become happy".to_owned(),
            ..Waiting::default()
        }],
        ..InstanceStatus::default()
    }
}

#[test]
fn waiting_ends_when_all_run_it_or_time_is_over() {
    let mut world = World::new();
    let first = world.commit("one");
    world.run(&mark(&first, &[])).exits(0);
    let sha = world.commit("two");
    let wait = |sha, more: &[&'static str]| {
        let wait = [
            "wait-for-deployment",
            "-s",
            "hello",
            "-l",
            "demo.all",
            "-k",
            sha,
        ];
        [&wait, more].concat()
    };
    let other = world.run(&wait(&sha, &[])).exits(1);
    assert!(other.stderr.contains("is not what is marked"), "{other:?}");
    world.run(&mark(&sha, &[])).exits(0);

    let script = |happy| Script {
        instances: vec![status("main", &sha, 3), status("worker", &sha, happy)],
        page: 10,
        ..Script::default()
    };
    let all = Fake::start(script(3));
    world.coordinators = all.address.clone();
    let done = world.run(&wait(&sha, &["-t", "10"])).exits(0);
    assert_eq!(done.stdout, "demo.main: Complete\ndemo.worker: Complete\n");

    let some = Fake::start(script(1));
    world.coordinators = some.address.clone();
    let short = ["-t", "300ms", "--every", "50ms"];
    let late = world.run(&wait(&sha, &short)).exits(1);
    assert_eq!(
        late.stdout,
        "demo.main: Complete\ndemo.worker: 1 of 3 needed replicas are happy; \
         waiting for r7 to become happy\n"
    );
    assert!(late.stderr.contains("paasta why hello.worker"), "{late:?}");

    // A broken version: the one before is marked again.
    let third = world.commit("three");
    let more = [&["--wait-for-deployment", "--auto-rollback"], &short[..]].concat();
    let broken = world.run(&mark(&third, &more)).exits(1);
    assert!(
        broken
            .stdout
            .contains(&format!("Rolled back: marked {sha}")),
        "{broken:?}"
    );
    assert_eq!(world.generated("main").0, sha);

    world.write(
        "soa/hello/marathon-prod.yaml",
        "main: {deploy_group: demo.all}\n",
    );
    let foreign = world.run(&wait(&sha, &short)).exits(1);
    assert!(foreign.stderr.contains("cli.clusters"), "{foreign:?}");
}

#[test]
fn an_interrupt_ends_with_1() {
    let mut world = World::new();
    let sha = world.commit("one");
    world.run(&mark(&sha, &[])).exits(0);
    let fake = Fake::start(Script {
        page: 10,
        ..Script::default()
    });
    world.coordinators = fake.address.clone();
    let soa = world.path("soa").display().to_string();
    let mut waiting = Command::new(env!("CARGO_BIN_EXE_paasta"))
        .args([
            "wait-for-deployment",
            "-s",
            "hello",
            "-l",
            "demo.all",
            "-k",
            &sha,
            "-d",
            &soa,
        ])
        .args(["--coordinators", &world.coordinators])
        .env("PAASTA_SYSTEM_CONFIG_DIR", world.path("etc"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("start paasta");
    // It has told its first line: it waits.
    let mut line = [0];
    let output = waiting.stdout.as_mut().expect("a pipe");
    std::io::Read::read_exact(output, &mut line).expect("it says something");
    let interrupted = Command::new("kill")
        .args(["-INT", &waiting.id().to_string()])
        .status();
    assert!(interrupted.expect("run kill").success());
    assert_eq!(waiting.wait().expect("it ends").code(), Some(1));
}
