//! From nothing to a version, from version to version, up and down in number; and a version that
//! is broken.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use paasta_proto::v1::{BounceMethod, InstanceStatus, ReplicaHealth};
use paasta_tests::cluster::Cluster;
use paasta_tests::cluster::containers::running_by_host;
use paasta_tests::http::get;
use paasta_tests::run::throughout;

use super::flags;
use super::scene::{BOUNCE, MAIN, SOON, Story, WORKER, first_deploy, ids, still};

/// How long a broken version is left to its deploy.
const BROKEN: Duration = Duration::from_secs(32);
const ALSO_BROKEN: Duration = Duration::from_secs(15);

#[test]
fn versions_come_and_go() {
    let (story, mut cluster) = Story::begin("deploys", "zda");
    from_nothing(&story, &mut cluster).unwrap();
    settings_that_do_not_bounce(&story, &cluster).unwrap();
    a_setting_that_bounces(&story, &cluster).unwrap();
    up_and_down(&story, &cluster).unwrap();
    every_coordinator_answers(&story, &cluster).unwrap();
    broken_versions(&story, &mut cluster).unwrap();
    story.phase("done");
}

fn from_nothing(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story.phase("deploy from nothing: placed on distinct hosts, started with the right flags");
    let sha = first_deploy(cluster)?;
    let status = cluster.operator.status(MAIN)?;
    ensure!(status.git_sha == sha, "deployed {sha}: {status:#?}");
    ensure!(
        status
            .desired_app
            .starts_with(&format!("{MAIN}.git{}.config", &sha[..8])),
        "the app id: {}",
        status.desired_app
    );
    let found = cluster.containers(MAIN)?;
    let spread = running_by_host(&found);
    ensure!(
        spread.len() == 3 && spread.values().all(|count| *count == 1),
        "not spread: {spread:?}"
    );
    for container in &found {
        let address = container.address.context("a published port")?;
        let body = get(address, "/")?;
        ensure!(
            body.contains("service=hello instance=main") && body.contains(&sha[..8]),
            "{address} said {body}"
        );
        flags::check(cluster, &status, container)?;
    }
    Ok(())
}

fn settings_that_do_not_bounce(story: &Story, cluster: &Cluster) -> Result<()> {
    story.phase("change the bounce method: no new app, no new container");
    let (before, containers) = (cluster.operator.status(MAIN)?, ids(cluster, MAIN)?);
    cluster
        .service
        .replace("bounce_method: crossover", "bounce_method: downthenup")?;
    let method =
        |wanted: BounceMethod| move |status: &InstanceStatus| status.bounce_method() == wanted;
    let after = cluster.wait_until(
        SOON,
        MAIN,
        "the new method",
        method(BounceMethod::Downthenup),
    )?;
    ensure!(
        after.desired_app == before.desired_app,
        "another app: {} instead of {}",
        after.desired_app,
        before.desired_app
    );
    cluster
        .service
        .replace("bounce_method: downthenup", "bounce_method: crossover")?;
    cluster.wait_until(
        SOON,
        MAIN,
        "the old method",
        method(BounceMethod::Crossover),
    )?;
    still(cluster, MAIN, &containers)
}

fn a_setting_that_bounces(story: &Story, cluster: &Cluster) -> Result<()> {
    story.phase("change mem: a new app, a crossover bounce that never has fewer than three");
    let before = cluster.operator.status(MAIN)?;
    let worker = ids(cluster, WORKER)?;
    let traffic = cluster.traffic(MAIN);
    cluster
        .service
        .replace("  instances: 3\n", "  instances: 3\n  mem: 72\n")?;
    cluster.wait_until(SOON, MAIN, "a bounce", |status| {
        status.desired_app != before.desired_app
    })?;
    let after = cluster.settled(BOUNCE, MAIN, 3)?;
    let seen = traffic.stop()?;
    seen.answered(3)?;
    seen.happy(3)?;
    ensure!(
        after.git_sha == before.git_sha && after.apps.len() == 1,
        "{after:#?}"
    );
    let made = seen.containers.get(&after.desired_app).map(BTreeSet::len);
    ensure!(
        made == Some(3),
        "{made:?} containers of the new app were made"
    );
    still(cluster, WORKER, &worker).context("another instance is not concerned")
}

fn up_and_down(story: &Story, cluster: &Cluster) -> Result<()> {
    story.phase("scale 3 -> 5 -> 2 -> 3: no bounce");
    let (app, three) = (
        cluster.operator.status(MAIN)?.desired_app,
        ids(cluster, MAIN)?,
    );
    cluster
        .service
        .replace("instances: 3\n", "instances: 5\n")?;
    let status = cluster.settled(BOUNCE, MAIN, 5)?;
    let five = ids(cluster, MAIN)?;
    ensure!(
        status.desired_app == app && five.is_superset(&three),
        "three became {five:?} of {}",
        status.desired_app
    );
    cluster
        .service
        .replace("instances: 5\n", "instances: 2\n")?;
    let status = cluster.settled(BOUNCE, MAIN, 2)?;
    let two = ids(cluster, MAIN)?;
    ensure!(
        status.desired_app == app && two.is_subset(&five),
        "five became {two:?} of {}",
        status.desired_app
    );
    cluster
        .service
        .replace("instances: 2\n", "instances: 3\n")?;
    cluster.settled(BOUNCE, MAIN, 3)?;
    ensure!(
        ids(cluster, MAIN)?.is_superset(&two),
        "the two are not kept"
    );
    Ok(())
}

fn every_coordinator_answers(story: &Story, cluster: &Cluster) -> Result<()> {
    story.phase("init once more, and ask each coordinator alone");
    let (main, worker) = (ids(cluster, MAIN)?, ids(cluster, WORKER)?);
    let before = cluster.operator.metastatus()?.cluster_id;
    cluster.init()?;
    let after = cluster.operator.metastatus()?.cluster_id;
    ensure!(
        !before.is_empty() && before == after,
        "{before} became {after}"
    );
    let mut answers = BTreeSet::new();
    for id in 1..=3 {
        let alone = cluster.operator.asking(&cluster.coordinator_address(id));
        let status = alone.status(MAIN)?;
        answers.insert((status.desired_app, status.wanted, status.replicas.len()));
        ensure!(alone.metastatus()?.cluster_id == before, "coordinator {id}");
    }
    ensure!(answers.len() == 1, "they do not agree: {answers:?}");
    still(cluster, MAIN, &main)?;
    still(cluster, WORKER, &worker)
}

fn broken_versions(story: &Story, cluster: &mut Cluster) -> Result<()> {
    let good = cluster.operator.status(MAIN)?;
    let containers = ids(cluster, MAIN)?;
    for (what, behaviour, window) in [
        ("crashes", ("CRASH_AFTER_MS", 300), BROKEN),
        ("is never healthy", ("UNHEALTHY", 1), ALSO_BROKEN),
    ] {
        story.phase(&format!("deploy a version that {what}: the old one stays"));
        let sha = cluster.service.build(&[behaviour])?;
        let traffic = cluster.traffic(MAIN);
        cluster.service.deploy(&sha)?;
        cluster.wait_until(
            BOUNCE,
            MAIN,
            "the new version is tried and fails",
            |status| {
                status.git_sha == sha
                    && status
                        .bounce
                        .as_ref()
                        .is_some_and(|bounce| bounce.old_happy == 3)
                    && status.replicas.iter().any(|replica| {
                        replica.app == status.desired_app
                            && (replica.failures > 0
                                || replica.health() == ReplicaHealth::Unhealthy)
                    })
            },
        )?;
        throughout(window, "the old version serves", || {
            let found = ids(cluster, MAIN)?;
            ensure!(
                containers.is_subset(&found),
                "{containers:?} became {found:?}"
            );
            Ok(())
        })?;
        let seen = traffic.stop()?;
        seen.app_answered(&good.desired_app, 3)?;
        seen.happy(3)?;
    }
    story.phase("back to the good version: nothing of it was ever restarted");
    cluster.service.deploy(&good.git_sha)?;
    let status = cluster.settled(BOUNCE, MAIN, 3)?;
    ensure!(
        status.desired_app == good.desired_app,
        "back at {} instead of {}",
        status.desired_app,
        good.desired_app
    );
    still(cluster, MAIN, &containers)
}
