//! The verbs on files: `validate` and `generate-deployments`, the latter with a real git.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::paasta::{Ran, paasta};

/// A yelpsoa-configs directory, a system configuration and a git repository.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self {
            dir: tempfile::tempdir().expect("a directory"),
        };
        let url = world.path("hello.git").display().to_string();
        world.write(
            "etc/paasta.yaml",
            "cluster: demo\ndocker_registry: registry:5000\n",
        );
        world.write("soa/hello/service.yaml", &format!("git_url: {url}\n"));
        world.write(
            "soa/hello/marathon-demo.yaml",
            "main:\n  mem: 64\n  instances: 2\n",
        );
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it has a parent")).expect("make the directory");
        fs::write(path, text).expect("write the file");
    }

    /// A repository whose branch says that `hello.main` runs its only commit.
    fn repository(&self) -> String {
        let at = self.path("hello.git");
        let git = |args: &[&str]| git(&at, args);
        fs::create_dir(&at).expect("make the directory");
        git(&["init", "-q"]);
        git(&[
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "one",
        ]);
        git(&["branch", "paasta-demo.main"]);
        git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn run(&self, args: &[&str]) -> Ran {
        let etc = self.path("etc");
        let mut all = vec!["--config-dir", etc.to_str().expect("a path in UTF-8")];
        all.extend(args);
        paasta(&all)
    }

    fn soa(&self) -> String {
        self.path("soa").display().to_string()
    }
}

fn git(at: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(at)
        .args(args)
        .output()
        .expect("run git");
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("git's output is text")
}

#[test]
fn deployments_are_written_once_and_kept_when_git_is_away() {
    let world = World::new();
    let sha = world.repository();
    let soa = world.soa();
    let generate = ["generate-deployments", "-d", &soa];
    assert_eq!(world.run(&generate).exits(0).stdout, "hello: written\n");
    let file = world.path("soa/hello/deployments.json");
    let written = fs::read_to_string(&file).expect("read what was written");
    assert!(
        written.contains(&format!("services-hello:paasta-{sha}")),
        "{written}"
    );
    assert_eq!(world.run(&generate).exits(0).stdout, "hello: unchanged\n");

    fs::rename(world.path("hello.git"), world.path("away.git")).expect("take git away");
    let failed = world.run(&generate).exits(1);
    assert_eq!(failed.stdout, "hello: failed\n");
    assert!(failed.stderr.contains("hello: "), "{failed:?}");
    assert_eq!(
        fs::read_to_string(&file).expect("it is still there"),
        written
    );
    let json = world
        .run(&["generate-deployments", "-d", &soa, "--json"])
        .exits(1)
        .json();
    assert_eq!(
        (&json[0]["service"], &json[0]["outcome"]),
        (&"hello".into(), &"failed".into())
    );
}

#[test]
fn one_failing_service_does_not_keep_the_others() {
    let world = World::new();
    world.repository();
    world.write(
        "soa/other/service.yaml",
        "git_url: /nonexistent/repository\n",
    );
    world.write("soa/other/marathon-demo.yaml", "main: {mem: 64}\n");
    let soa = world.soa();
    let both = world.run(&["generate-deployments", "-d", &soa]).exits(1);
    assert_eq!(both.stdout, "hello: written\nother: failed\n");
    world
        .run(&["generate-deployments", "-d", &soa, "-s", "hello"])
        .exits(0);
    let typo = world
        .run(&["generate-deployments", "-d", &soa, "-s", "helo"])
        .exits(1);
    assert!(typo.stderr.contains("did you mean hello?"), "{typo:?}");
    world
        .run(&["generate-deployments", "-d", "/nonexistent/soa"])
        .exits(1);
}

#[test]
fn validate_marks_every_file() {
    let world = World::new();
    let soa = world.soa();
    let fine = world.run(&["validate", "-y", &soa]).exits(0);
    assert!(
        fine.stdout.contains("✓ hello/marathon-demo.yaml\n"),
        "{fine:?}"
    );
    assert!(fine.stdout.contains("✓ hello/service.yaml\n"), "{fine:?}");

    world.write("soa/odd/service.yaml", "description: odd\n");
    world.write(
        "soa/odd/marathon-demo.yaml",
        "main:\n  mem: lots\n  instnaces: 2\n",
    );
    let bad = world.run(&["validate", "-y", &soa]).exits(1);
    assert!(
        bad.stdout.contains("✓ hello/marathon-demo.yaml\n"),
        "{bad:?}"
    );
    assert!(bad.stdout.contains("✗ odd/marathon-demo.yaml\n"), "{bad:?}");
    assert!(bad.stdout.contains("odd/marathon-demo.yaml:2:"), "{bad:?}");
    assert!(
        bad.stdout.contains("odd/marathon-demo.yaml:3:") && bad.stdout.contains("instances"),
        "{bad:?}"
    );
    world.run(&["validate", "-y", &soa, "-s", "hello"]).exits(0);
    let json = world
        .run(&["validate", "-y", &soa, "-s", "odd", "--json"])
        .exits(1)
        .json();
    let files = json["files"].as_array().expect("a list");
    assert!(
        files
            .iter()
            .any(|file| file["ok"] == false && file["problems"][0]["line"] == 2),
        "{json}"
    );
}

#[test]
fn validate_says_what_is_not_there() {
    let world = World::new();
    let soa = world.soa();
    let typo = world.run(&["validate", "-y", &soa, "-s", "helo"]).exits(1);
    assert!(typo.stderr.contains("did you mean hello?"), "{typo:?}");
    world.run(&["validate", "-y", "/nonexistent/soa"]).exits(1);
    let empty = world.path("empty");
    fs::create_dir(&empty).expect("make the directory");
    world
        .run(&["validate", "-y", empty.to_str().expect("a path in UTF-8")])
        .exits(1);
}

#[test]
fn validate_finds_directories_without_services_and_files_that_hold_nothing() {
    let world = World::new();
    let text = |path: &str| world.path(path).display().to_string();
    world.write("code/src/main.rs", "");
    world.write("code/target/x", "");
    let none = world.run(&["validate", "-y", &text("code")]).exits(1);
    assert!(
        none.stderr
            .contains("holds no service (2 directories have no file of a service)"),
        "{none:?}"
    );
    world.write("soa/docs/README.md", "");
    world.write("soa/My Service/service.yaml", "description: a\n");
    world.write("soa/.git/config", "");
    let soa = world.soa();
    let fine = world.run(&["validate", "-y", &soa]).exits(0);
    for words in [
        "passed over: docs (no file of a service is in it)",
        "passed over: My Service (use",
    ] {
        assert!(fine.stderr.contains(words), "{words}: {fine:?}");
    }
    assert!(!fine.stderr.contains(".git"), "{fine:?}");
    let json = world
        .run(&["validate", "-y", &soa, "--json"])
        .exits(0)
        .json();
    assert_eq!(
        json["passed_over"],
        serde_json::json!(["My Service", "docs"])
    );
    for (file, nothing) in [
        ("marathon-demo.yaml", "{}\n"),
        ("marathon-demo.yaml", "# nothing yet\n"),
        ("marathon-demo.yaml", ""),
        ("smartstack.yaml", "{}"),
    ] {
        world.write(&format!("soa/hello/{file}"), nothing);
        let empty = world.run(&["validate", "-y", &soa]).exits(1);
        let words = format!("✗ hello/{file}: holds nothing");
        assert!(empty.stdout.contains(&words), "{empty:?}");
    }
}

#[test]
fn validate_refuses_links_that_leave_the_directory() {
    let world = World::new();
    world.write("host/shadow", "root:hunter2\n");
    let link = world.path("soa/hello/marathon-demo.yaml");
    fs::remove_file(&link).expect("it is there");
    std::os::unix::fs::symlink(world.path("host/shadow"), &link).expect("make the link");
    let seen = world.run(&["validate", "-y", &world.soa()]).exits(1);
    assert!(
        seen.stdout.contains("which is not in the soa directory")
            && seen.stdout.contains("[forbidden]"),
        "{seen:?}"
    );
    assert!(!format!("{seen:?}").contains("hunter2"), "{seen:?}");
}

#[test]
fn validate_warns_of_capabilities_beyond_the_default_and_refuses_what_is_not_allowed() {
    let world = World::new();
    let (soa, text) = (world.soa(), "main:\n  cap_add: [SYS_NICE]\n");
    // Another cluster's operator may allow it.
    world.write("soa/hello/marathon-other.yaml", text);
    let warned = world.run(&["validate", "-y", &soa]).exits(0);
    assert!(
        warned.stdout.contains("[cap-add]") && warned.stdout.contains("allowed_cap_add"),
        "{warned:?}"
    );
    world.run(&["validate", "-y", &soa, "--strict"]).exits(1);
    world.write("soa/hello/marathon-demo.yaml", text);
    let refused = world.run(&["validate", "-y", &soa]).exits(1);
    assert!(refused.stdout.contains("[forbidden]"), "{refused:?}");
    world.write("etc/more.yaml", "allowed_cap_add: [SYS_NICE]\n");
    let other = world.path("soa/hello/marathon-other.yaml");
    fs::remove_file(other).expect("it is there");
    let fine = world.run(&["validate", "-y", &soa, "--strict"]).exits(0);
    assert!(!fine.stdout.contains("cap-add"), "{fine:?}");
}

#[test]
fn validate_judges_by_the_rule() {
    let world = World::new();
    let soa = world.soa();
    world.write(
        "soa/hello/marathon-demo.yaml",
        "main:\n  mem: 64\n  bounce_method: crosover\n",
    );
    world.write("soa/hello/tron-demo.yaml", "job: {}\n");
    let warned = world.run(&["validate", "-y", &soa]).exits(0);
    for words in [
        "✓ hello/marathon-demo.yaml\n",
        "did you mean \"crossover\"?; the coordinators refuse it [bounce-method]",
        "✓ hello/tron-demo.yaml (left alone: tron instances are not run here)",
        "3 files are fine, 1 warning",
    ] {
        assert!(warned.stdout.contains(words), "{words}: {warned:?}");
    }
    let json = world
        .run(&["validate", "-y", &soa, "--strict", "--json"])
        .exits(1)
        .json();
    let problem = &json["files"][0]["problems"][0];
    assert_eq!(
        (&problem["rule"], &problem["severity"], &problem["line"]),
        (&"bounce-method".into(), &"error".into(), &3.into()),
        "{json}"
    );
    assert_eq!(json["files"][0]["ok"], false);

    // What the operator of this machine's cluster allows.
    world.write(
        "soa/hello/marathon-demo.yaml",
        "main:\n  extra_volumes: [{containerPath: /a, hostPath: /etc, mode: RW}]\n",
    );
    let refused = world.run(&["validate", "-y", &soa]).exits(1);
    assert!(refused.stdout.contains("[forbidden]"), "{refused:?}");

    // The directory of one service, as from within it.
    let service = world.path("soa/hello").display().to_string();
    let one = world.run(&["validate", "-y", &service]).exits(1);
    assert_eq!(one.stdout, refused.stdout);
}

#[test]
fn validate_says_what_cannot_be_read_and_goes_on() {
    let world = World::new();
    let soa = world.soa();
    world.write("soa/tabs/marathon-demo.yaml", "main:\n\tmem: 64\n");
    world.write("soa/folder/marathon-demo.yaml/inside", "");
    let seen = world.run(&["validate", "-y", &soa]).exits(1);
    for words in [
        "✓ hello/marathon-demo.yaml\n",
        "✗ tabs/marathon-demo.yaml:2:",
        "[syntax]",
        "✗ folder/marathon-demo.yaml: is a directory; expected a file [unreadable]",
    ] {
        assert!(seen.stdout.contains(words), "{words}: {seen:?}");
    }
}
