//! `paasta plan` against real coordinators: what a copy of yelpsoa-configs would change, and that
//! nothing does.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use paasta_tests::run::{bounded, eventually};

use super::{PATIENCE, Plane, deployed_repository};

const FILE: &str = "hello/marathon-demo.yaml";
const DECLARED: &str = "main: {cpus: 0.1, mem: 64, deploy_group: all, instances: 2}\n";

/// Writes the proposed file, and holds the plan against an exit code and words.
fn planned(plane: &Plane, text: &str, code: i32, words: &[&str]) -> Result<()> {
    let proposed = plane.dir.path().join("proposed");
    fs::write(proposed.join(FILE), text)?;
    let dir = proposed.display().to_string();
    let said = plane.operator.paasta(&["plan", "-y", &dir])?;
    ensure!(said.code == Some(code), "{text}: {said:?}");
    for word in words {
        ensure!(
            said.stdout.contains(word),
            "{text}: no {word:?} in {said:?}"
        );
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut command = bounded(PATIENCE, "cp");
    let status = command.arg("-r").arg(from).arg(to).status()?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}

#[test]
fn a_plan_names_bounces_numbers_removals_and_refusals_and_changes_nothing() -> Result<()> {
    let plane = Plane::start("")?;
    let repository = plane.dir.path().join("hello.git");
    deployed_repository(&repository, "all")?;
    let url = format!("git_url: file://{}\n", repository.display());
    plane.write("hello/service.yaml", &url)?;
    plane.write(FILE, DECLARED)?;
    let before = eventually(PATIENCE, "the instance is known", || {
        let status = plane.operator.status("hello.main")?;
        ensure!(!status.git_sha.is_empty(), "not deployed yet");
        Ok(status)
    })?;
    copy(
        &plane.dir.path().join("soa"),
        &plane.dir.path().join("proposed"),
    )?;

    planned(
        &plane,
        DECLARED,
        0,
        &["demo: 1 instance compared, nothing would change"],
    )?;
    let more = DECLARED.replace("mem: 64", "mem: 128");
    planned(
        &plane,
        &more,
        1,
        &["hello.main: bounces 2 replicas", "64 -> 128"],
    )?;
    let scaled = DECLARED.replace("instances: 2", "instances: 5");
    planned(
        &plane,
        &scaled,
        1,
        &["hello.main: scales from 2 to 5 replicas"],
    )?;
    let another = format!("{DECLARED}worker: {{deploy_group: later}}\n");
    planned(
        &plane,
        &another,
        1,
        &["hello.worker: new", "its deploy group is later"],
    )?;
    let renamed = DECLARED.replace("main:", "web:");
    planned(
        &plane,
        &renamed,
        1,
        &["hello.main: removed, with its 2 replicas", "hello.web: new"],
    )?;
    let broken = DECLARED.replace("mem: 64", "mem: lots");
    planned(
        &plane,
        &broken,
        2,
        &["hello.main: refused", "hello/marathon-demo.yaml:1:"],
    )?;

    let proposed = plane.dir.path().join("proposed").display().to_string();
    let markdown = plane
        .operator
        .paasta(&["plan", "-y", &proposed, "--markdown"])?;
    ensure!(
        markdown.stdout.contains("| `hello.main` | refused;"),
        "{markdown:?}"
    );
    let other = plane
        .operator
        .paasta(&["plan", "-y", &proposed, "-c", "prod"])?;
    ensure!(
        other.code == Some(1) && other.stderr.contains("not of prod"),
        "{other:?}"
    );
    let after = plane.operator.status("hello.main")?;
    ensure!(after.desired_app == before.desired_app, "{after:?}");
    Ok(())
}
