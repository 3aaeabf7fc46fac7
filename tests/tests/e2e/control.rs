//! A service author's day: mark, wait, stop, start, restart, roll back, and a broken version that
//! goes back by itself; the coordinators follow git, and nobody runs `generate-deployments`.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use paasta_proto::v1::{DeployStatus, InstanceStatus, OverrideKind};
use paasta_tests::cluster::{Cluster, operator::Said};

use super::scene::{BOUNCE, MAIN, SOON, Story, WORKER, ids};

const GROUP: &str = "demo.everything";

#[test]
fn an_authors_day() {
    let (story, mut cluster) = Story::begin("control", "zdh");
    cluster.follow_git().unwrap();
    let first = a_first_version(&story, &mut cluster).unwrap();
    stopped_started_restarted(&story, &cluster).unwrap();
    let second = there_and_back(&story, &mut cluster, &first).unwrap();
    a_broken_version(&story, &mut cluster, &second).unwrap();
    an_emergency(&story, &cluster).unwrap();
    what_was_asked(&story, &cluster, &first).unwrap();
    story.phase("done");
}

/// `paasta VERB -s hello -d SOA ...`.
fn run(cluster: &Cluster, verb: &str, more: &[&str]) -> Result<Said> {
    let soa = cluster.service.soa().display().to_string();
    let words = [&[verb, "-s", "hello", "-d", &soa], more].concat();
    cluster.operator.paasta(&words)
}

fn succeed(cluster: &Cluster, verb: &str, more: &[&str]) -> Result<Said> {
    let said = run(cluster, verb, more)?;
    ensure!(said.code == Some(0), "paasta {verb} {more:?}: {said:#?}");
    Ok(said)
}

fn a_first_version(story: &Story, cluster: &mut Cluster) -> Result<String> {
    story.phase("mark a version, wait until it runs");
    let sha = cluster.service.build(&[])?;
    // Short, as it is typed; the coordinators are told at once.
    succeed(
        cluster,
        "mark-for-deployment",
        &["-l", GROUP, "-k", &sha[..10]],
    )?;
    let waited = ["-l", GROUP, "-k", &sha, "-t", "25"];
    let said = succeed(cluster, "wait-for-deployment", &waited)?;
    for line in ["demo.main: Complete", "demo.worker: Complete"] {
        ensure!(said.stdout.contains(line), "no {line} in {said:#?}");
    }
    cluster.settled(BOUNCE, MAIN, 3)?;
    cluster.settled(BOUNCE, WORKER, 1)?;
    Ok(sha)
}

fn stopped_started_restarted(story: &Story, cluster: &Cluster) -> Result<()> {
    story.phase("stop, start, restart");
    let (before, worker) = (ids(cluster, MAIN)?, ids(cluster, WORKER)?);
    let which = ["-c", "demo", "-i", "main"];
    succeed(cluster, "stop", &which)?;
    let stopped = |status: &InstanceStatus| status.deploy_status() == DeployStatus::Stopped;
    cluster.wait_until(BOUNCE, MAIN, "it is stopped", stopped)?;
    ensure!(ids(cluster, MAIN)?.is_empty(), "containers are left");
    succeed(cluster, "start", &which)?;
    cluster.settled(BOUNCE, MAIN, 3)?;
    let started = ids(cluster, MAIN)?;
    let traffic = cluster.traffic(MAIN);
    let app = cluster.operator.status(MAIN)?.desired_app;
    succeed(cluster, "restart", &which)?;
    let changed = |status: &InstanceStatus| status.desired_app != app;
    cluster.wait_until(SOON, MAIN, "it is restarted", changed)?;
    cluster.settled(BOUNCE, MAIN, 3)?;
    let seen = traffic.stop()?;
    seen.happy(3)?;
    let restarted = ids(cluster, MAIN)?;
    let all: BTreeSet<&String> = before.iter().chain(&started).chain(&restarted).collect();
    ensure!(all.len() == 9, "{before:?}, {started:?}, {restarted:?}");
    ensure!(
        ids(cluster, WORKER)? == worker,
        "another instance is not concerned"
    );
    Ok(())
}

fn there_and_back(story: &Story, cluster: &mut Cluster, first: &str) -> Result<String> {
    story.phase("another version, then back, then forth again");
    let second = cluster.service.build(&[])?;
    let mark = [
        "-l",
        GROUP,
        "-k",
        &second,
        "--wait-for-deployment",
        "-t",
        "25",
    ];
    let said = succeed(cluster, "mark-for-deployment", &mark)?;
    let back = format!("paasta rollback -s hello -l {GROUP} -k {first}");
    ensure!(said.stdout.contains(&back), "no {back} in {said:#?}");
    succeed(cluster, "rollback", &["-l", GROUP, "-k", first])?;
    let at = |sha: &str| {
        let sha = sha.to_owned();
        move |status: &InstanceStatus| status.git_sha == sha && status.bounce.is_none()
    };
    cluster.wait_until(BOUNCE, MAIN, "it is back", at(first))?;
    succeed(cluster, "rollback", &["-l", GROUP, "-k", &second])?;
    cluster.wait_until(BOUNCE, MAIN, "it is forth again", at(&second))?;
    cluster.settled(BOUNCE, MAIN, 3)?;
    Ok(second)
}

fn a_broken_version(story: &Story, cluster: &mut Cluster, good: &str) -> Result<()> {
    story.phase("a version that is never healthy, and one without an image, go back by themselves");
    let containers = ids(cluster, MAIN)?;
    let sick = cluster.service.build(&[("UNHEALTHY", 1)])?;
    let imageless = cluster.service.commit()?;
    for broken in [sick, imageless] {
        let mark = [
            "-l",
            GROUP,
            "-k",
            &broken,
            "--wait-for-deployment",
            "--auto-rollback",
        ];
        let mark = [&mark[..], &["-t", "10"]].concat();
        let said = run(cluster, "mark-for-deployment", &mark)?;
        ensure!(said.code == Some(1), "{said:#?}");
        ensure!(
            said.stdout.contains("demo.main: still bouncing"),
            "no reason in {said:#?}"
        );
        let back = format!("Rolled back: marked {good}");
        ensure!(said.stdout.contains(&back), "no {back} in {said:#?}");
        let latest = succeed(cluster, "get-latest-deployment", &["-l", GROUP])?;
        ensure!(latest.stdout.trim() == good, "{latest:#?}");
        let status = cluster.settled(BOUNCE, MAIN, 3)?;
        ensure!(status.git_sha == good, "{status:#?}");
    }
    ensure!(
        ids(cluster, MAIN)? == containers,
        "the good version was never touched"
    );
    story.phase("a commit without an image is refused when asked for");
    let nothing = cluster.service.commit()?;
    let mark = ["-l", GROUP, "-k", &nothing, "--verify-image-exists"];
    let refused = run(cluster, "mark-for-deployment", &mark)?;
    ensure!(
        refused.code == Some(1) && refused.stderr.contains("is not in the registry"),
        "{refused:#?}"
    );
    let mark = ["-l", GROUP, "-k", good, "--verify-image-exists"];
    succeed(cluster, "mark-for-deployment", &mark).map(drop)
}

fn an_emergency(story: &Story, cluster: &Cluster) -> Result<()> {
    story.phase("an emergency: other numbers at once, until the next deploy");
    let which = ["-s", "hello", "-i", "main"];
    let act = |verb: &str, more: &[&str]| {
        let words = [&[verb], &which[..], more].concat();
        cluster.operator.succeed(&words)
    };
    act("emergency-scale", &["--delta", "1"])?;
    let status = cluster.settled(BOUNCE, MAIN, 4)?;
    let known = status
        .overridden
        .map(|known| (known.kind(), known.instances));
    ensure!(known == Some((OverrideKind::Scale, Some(4))), "{known:?}");
    let said = cluster
        .operator
        .paasta(&["status", "-s", "hello", "-i", "main"])?;
    ensure!(
        said.stdout.contains("scaled to 4 replicas by "),
        "{said:#?}"
    );
    act("emergency-stop", &[])?;
    let stopped = |status: &InstanceStatus| status.deploy_status() == DeployStatus::Stopped;
    cluster.wait_until(BOUNCE, MAIN, "it is stopped", stopped)?;
    act("autoscale", &["--clear"])?;
    cluster.settled(BOUNCE, MAIN, 3).map(drop)
}

fn what_was_asked(story: &Story, cluster: &Cluster, first: &str) -> Result<()> {
    story.phase("the history tells all of it");
    let said = cluster.operator.succeed(&["history", MAIN])?;
    for words in [
        "[declared",
        "[stop]",
        "[start]",
        "[restart]",
        "[deploy",
        "[override]",
    ] {
        ensure!(said.contains(words), "no {words} in {said}");
    }
    ensure!(
        said.contains(&first[..8]) && said.contains("-deploy"),
        "{said}"
    );
    let status = cluster
        .operator
        .succeed(&["generate-deployments", "--status"])?;
    ensure!(status.contains("1 repositories, 0 failing"), "{status}");
    Ok(())
}
