//! Mistakes in what people write: each is named with its place, hurts one instance and touches no
//! running container.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use paasta_proto::v1::{Problem, Severity};
use paasta_tests::cluster::Cluster;
use paasta_tests::cluster::release::{DEPLOYMENTS, INSTANCES};
use paasta_tests::run::{eventually, throughout};

use super::scene::{BOUNCE, MAIN, SOON, Story, WORKER, first_deploy, ids, still};

/// Long enough to see what a mistake would do at once.
const A_WHILE: Duration = Duration::from_secs(3);

#[test]
fn mistakes_are_named_and_touch_nothing() {
    let (story, mut cluster) = Story::begin("bad input", "zdc");
    first_deploy(&mut cluster).unwrap();
    mistakes_in_yaml(&story, &cluster).unwrap();
    the_other_instance_goes_on(&story, &cluster).unwrap();
    deployments_that_are_not_json(&story, &cluster).unwrap();
    a_version_without_image(&story, &mut cluster).unwrap();
    story.phase("done");
}

/// A mistake: what is written instead of what, and where the problem must point to.
struct Mistake {
    what: &'static str,
    from: &'static str,
    to: &'static str,
    /// The line with this text is named, unless the parser may choose.
    at: Option<&'static str>,
    /// Named as the field or in the message.
    word: &'static str,
}

const MISTAKES: [Mistake; 5] = [
    Mistake {
        what: "an unknown bounce method",
        from: "bounce_method: crossover",
        to: "bounce_method: crossfade",
        at: Some("crossfade"),
        word: "bounce_method",
    },
    Mistake {
        what: "negative memory",
        from: "  instances: 3\n",
        to: "  instances: 3\n  mem: -64\n",
        at: Some("mem: -64"),
        word: "mem",
    },
    Mistake {
        what: "two instances of one name",
        from: "# No port",
        to: "main:\n  instances: 2 # twice\n\n# No port",
        at: None,
        word: "main",
    },
    Mistake {
        what: "an instance by the name of another",
        from: "worker:\n",
        to: "main:\n",
        at: None,
        word: "main",
    },
    Mistake {
        what: "malformed YAML",
        from: "worker:\n",
        to: "worker: [\n",
        at: None,
        word: "",
    },
];

fn mistakes_in_yaml(story: &Story, cluster: &Cluster) -> Result<()> {
    let (main, worker) = (ids(cluster, MAIN)?, ids(cluster, WORKER)?);
    let good = cluster.service.read(INSTANCES)?;
    for mistake in &MISTAKES {
        story.phase(mistake.what);
        cluster.service.replace(mistake.from, mistake.to)?;
        let problem = named(cluster, mistake).context(mistake.what)?;
        refused(cluster, &problem).context(mistake.what)?;
        throughout(A_WHILE, mistake.what, || {
            still(cluster, MAIN, &main)?;
            still(cluster, WORKER, &worker)
        })?;
        cluster.service.write(INSTANCES, &good)?;
        forgotten(cluster).context(mistake.what)?;
    }
    still(cluster, MAIN, &main)?;
    still(cluster, WORKER, &worker)
}

/// Every problem that `paasta status` shows.
fn problems(cluster: &Cluster) -> Result<Vec<Problem>> {
    let status = cluster.operator.whole_status()?;
    let own = status.instances.into_iter().flat_map(|one| one.problems);
    Ok(own.chain(status.problems).collect())
}

fn named(cluster: &Cluster, mistake: &Mistake) -> Result<Problem> {
    let text = cluster.service.read(INSTANCES)?;
    let line = mistake.at.and_then(|at| {
        let found = text.lines().position(|line| line.contains(at))?;
        u32::try_from(found + 1).ok()
    });
    eventually(SOON, "status names the mistake", || {
        let all = problems(cluster)?;
        let found = all.iter().find(|problem| {
            let place = problem.line.is_some() && (line.is_none() || problem.line == line);
            place
                && problem.severity() == Severity::Error
                && problem.file.contains("hello/marathon-")
                && (problem.field.contains(mistake.word) || problem.message.contains(mistake.word))
        });
        found
            .cloned()
            .with_context(|| format!("no problem at line {line:?} in {all:#?}"))
    })
}

/// The text of status shows it, and `paasta validate` refuses with the same words.
fn refused(cluster: &Cluster, problem: &Problem) -> Result<()> {
    let shown = cluster.operator.paasta(&["status", "-s", "hello"])?;
    // Tables wrap lines.
    let flat = |text: &str| text.split_whitespace().collect::<String>();
    ensure!(
        shown.code == Some(2) && flat(&shown.stdout).contains(&flat(&problem.message)),
        "{problem:?} is not in {shown:?}"
    );
    let soa = cluster.service.soa().display().to_string();
    let said = cluster
        .operator
        .paasta(&["validate", "--strict", "-y", &soa])?;
    let text = format!("{}{}", said.stdout, said.stderr);
    ensure!(
        said.code == Some(1) && flat(&text).contains(&flat(&problem.message)),
        "{problem:?}: paasta validate said {said:?}"
    );
    Ok(())
}

fn forgotten(cluster: &Cluster) -> Result<()> {
    eventually(SOON, "a mended mistake is forgotten", || {
        let left = problems(cluster)?;
        ensure!(left.is_empty(), "{left:#?}");
        Ok(())
    })?;
    let soa = cluster.service.soa().display().to_string();
    cluster
        .operator
        .succeed(&["validate", "-y", &soa])
        .map(drop)
}

fn the_other_instance_goes_on(story: &Story, cluster: &Cluster) -> Result<()> {
    story.phase("a mistake in main, a change of worker: worker is deployed");
    let (main, app) = (
        ids(cluster, MAIN)?,
        cluster.operator.status(MAIN)?.desired_app,
    );
    let before = cluster.operator.status(WORKER)?.desired_app;
    cluster.service.edit(INSTANCES, |text| {
        text.replace("bounce_method: crossover", "bounce_method: crossfade")
            .replace("  args: [worker]\n", "  args: [worker]\n  mem: 80\n")
    })?;
    cluster.wait_until(BOUNCE, WORKER, "a new app", |status| {
        status.desired_app != before
    })?;
    cluster.settled(BOUNCE, WORKER, 1)?;
    let status = cluster.operator.status(MAIN)?;
    ensure!(
        status.desired_app == app && !status.problems.is_empty(),
        "{status:#?}"
    );
    still(cluster, MAIN, &main)?;
    story.phase("mended: main goes on");
    cluster.service.edit(INSTANCES, |text| {
        text.replace("bounce_method: crossfade", "bounce_method: crossover")
            .replace("  instances: 3\n", "  instances: 3\n  mem: 72\n")
    })?;
    cluster.wait_until(BOUNCE, MAIN, "a new app", |status| {
        status.desired_app != app
    })?;
    cluster.settled(BOUNCE, MAIN, 3).map(drop)
}

fn deployments_that_are_not_json(story: &Story, cluster: &Cluster) -> Result<()> {
    story.phase("a deployments.json that is not JSON");
    let (main, worker) = (ids(cluster, MAIN)?, ids(cluster, WORKER)?);
    let good = cluster.service.read(DEPLOYMENTS)?;
    cluster.service.write(DEPLOYMENTS, "{\"v2\":\n oops}\n")?;
    eventually(SOON, "status names the file", || {
        let all = problems(cluster)?;
        let named = all.iter().any(|problem| {
            problem.file.ends_with(DEPLOYMENTS)
                && problem.line == Some(2)
                && problem.severity() == Severity::Error
        });
        ensure!(named, "{all:#?}");
        Ok(())
    })?;
    throughout(A_WHILE, "not JSON", || {
        still(cluster, MAIN, &main)?;
        still(cluster, WORKER, &worker)
    })?;
    cluster.service.write(DEPLOYMENTS, &good)?;
    forgotten(cluster)?;
    still(cluster, MAIN, &main)?;
    still(cluster, WORKER, &worker)
}

fn a_version_without_image(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story.phase("deploy a version that has no image");
    let (main, worker) = (ids(cluster, MAIN)?, ids(cluster, WORKER)?);
    let good = cluster.operator.status(MAIN)?.git_sha;
    let sha = cluster.service.commit()?;
    cluster.service.deploy(&sha)?;
    for id in [MAIN, WORKER] {
        cluster.wait_until(BOUNCE, id, "the missing image is named", |status| {
            status.git_sha == sha
                && status.replicas.iter().any(|replica| {
                    replica.app == status.desired_app
                        && replica.failures > 1
                        && replica.message.contains(&sha)
                })
        })?;
    }
    throughout(A_WHILE, "no image", || {
        still(cluster, MAIN, &main)?;
        still(cluster, WORKER, &worker)
    })?;
    story.phase("back to the version before");
    cluster.service.deploy(&good)?;
    cluster.settled(BOUNCE, MAIN, 3)?;
    cluster.settled(BOUNCE, WORKER, 1)?;
    let after: BTreeSet<String> = ids(cluster, MAIN)?
        .union(&ids(cluster, WORKER)?)
        .cloned()
        .collect();
    ensure!(
        after == main.union(&worker).cloned().collect(),
        "something was restarted: {after:?}"
    );
    Ok(())
}
