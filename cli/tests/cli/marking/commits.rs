//! What is marked is a commit, and a mark that is made is one that counts.

use super::*;

const IMPOSSIBLE: &str = "paasta-demo.all-99999999T999999-deploy";

#[test]
fn a_tag_with_a_time_that_is_none_never_wins_and_the_last_time_of_all_is_in_the_way() {
    let world = World::new();
    let first = world.commit("one");
    let second = world.commit("two");
    let remote = world.path("remote.git");
    git(&remote, &["tag", IMPOSSIBLE, &first]);
    let marked = world.run(&mark(&second, &[])).exits(0);
    assert!(
        marked.stderr.contains(IMPOSSIBLE) && marked.stderr.contains("counts for nothing"),
        "{marked:?}"
    );
    assert_eq!(world.generated("main").0, second);
    let args = ["list-deployments", "-s", "hello", "--json"];
    let listed = world.run(&args).exits(0).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    // A time that there is, and after which there is none.
    let last = "paasta-demo.all-99991231T235959-deploy";
    git(&remote, &["tag", last, &first]);
    let tags = world.tags();
    for args in [
        mark(&second, &[]),
        vec!["rollback", "-s", "hello", "-l", "demo.all", "-k", &second],
    ] {
        let refused = world.run(&args).exits(1);
        assert!(
            refused.stderr.contains(last) && refused.stderr.contains("git push --delete"),
            "{refused:?}"
        );
    }
    let last = "paasta-demo.main-99991231T235959-stop";
    git(&remote, &["tag", last, &first]);
    let stop = ["stop", "-s", "hello", "-c", "demo", "-i", "main"];
    let refused = world.run(&stop).exits(1);
    assert!(refused.stderr.contains(last), "{refused:?}");
    assert_eq!(world.tags().len(), tags.len() + 1, "nothing was pushed");
}

#[test]
fn the_id_of_a_tag_stands_for_its_commit() {
    let mut world = World::new();
    let sha = world.commit("one");
    let remote = world.path("remote.git");
    git(&remote, &["tag", "-a", "-m", "x", "v1", &sha]);
    let object = git(&remote, &["rev-parse", "refs/tags/v1"]);
    assert_ne!(object, sha);
    let mut args = mark(&object, &[]);
    args.push("--json");
    let marked = world.run(&args).exits(0).json();
    assert_eq!(marked["sha"], sha.as_str());
    let tag = marked["tag"].as_str().expect("it names the tag");
    assert_eq!(git(&remote, &["cat-file", "-t", tag]), "commit");
    // Waiting takes the id of the tag, too.
    let fake = Fake::start(Script {
        instances: vec![status("main", &sha, 3), status("worker", &sha, 3)],
        page: 10,
        ..Script::default()
    });
    world.coordinators = fake.address.clone();
    let wait = [
        "wait-for-deployment",
        "-s",
        "hello",
        "-l",
        "demo.all",
        "-t",
        "10",
        "-k",
        &object,
    ];
    world.run(&wait).exits(0);
    let rolled = [
        "rollback", "-s", "hello", "-l", "demo.all", "-k", &object, "--json",
    ];
    assert_eq!(world.run(&rolled).exits(0).json()["sha"], sha.as_str());
    // What is no commit is refused, and nothing is pushed.
    let clone = world.path("services-hello");
    fs::write(clone.join("file"), "content").expect("write the file");
    let blob = git(&clone, &["hash-object", "-w", "file"]);
    git(&clone, &["tag", "blob", &blob]);
    git(&clone, &["push", "-q", &world.url(), "blob"]);
    let tags = world.tags();
    for at in [clone.as_path(), world.dir.path()] {
        let refused = world.run_in(at, &mark(&blob, &[])).exits(1);
        assert!(refused.stderr.contains("no commit"), "{refused:?}");
    }
    assert_eq!(world.tags(), tags);
}

#[test]
fn a_repository_of_the_longer_shas_is_marked() {
    let world = World::new();
    for name in ["remote.git", "services-hello"] {
        fs::remove_dir_all(world.path(name)).expect("remove it");
    }
    let format = "--object-format=sha256";
    git(
        world.dir.path(),
        &["init", "-q", "--bare", format, "remote.git"],
    );
    git(world.dir.path(), &["init", "-q", format, "services-hello"]);
    let sha = world.commit("one");
    assert_eq!(sha.len(), 64);
    world.run(&mark(&sha, &[])).exits(0);
    assert_eq!(world.generated("main").0, sha);
    world.run(&mark(&sha[..12], &[])).exits(0);
}

#[test]
fn a_service_without_git_url_has_the_repository_of_the_operators_template_or_none() {
    let world = World::new();
    let sha = world.commit("one");
    world.write("soa/hello/service.yaml", "description: x\n");
    for args in [
        mark(&sha, &[]),
        vec!["list-deployments", "-s", "hello"],
        vec!["generate-deployments", "-s", "hello"],
    ] {
        let refused = world.run(&args).exits(1);
        let words = "deployments.git_url_template";
        assert!(refused.stderr.contains(words), "{args:?}: {refused:?}");
    }
    let info = world.run(&["info", "-s", "hello"]).exits(1);
    assert!(
        info.stdout.contains("none (git_url in service.yaml)"),
        "{info:?}"
    );
    git(
        world.dir.path(),
        &["clone", "-q", "--bare", "remote.git", "hello.git"],
    );
    let template = format!("file://{}/{{service}}.git", world.dir.path().display());
    world.write(
        "etc/git.yaml",
        &format!("deployments: {{git_url_template: \"{template}\"}}\n"),
    );
    world.run(&mark(&sha, &[])).exits(0);
    let tags = git(&world.path("hello.git"), &["tag", "-l", "paasta-*"]);
    assert_eq!(tags.lines().count(), 1, "{tags}");
}
