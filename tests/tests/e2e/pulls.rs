//! Images, on a real registry that wants a login: what comes of wrong credentials, of a missing
//! image and of a registry that is down; one fetch for several replicas; and which images go.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use paasta_proto::{
    v1::{ImageProblem, InstanceStatus},
    words::Words as _,
};
use paasta_tests::cluster::{Cluster, ClusterOptions};
use paasta_tests::registry::{LOGIN, WRONG_LOGIN};
use paasta_tests::run::{bounded, eventually, text};

use super::scene::{BOUNCE, MAIN, SOON, Story};

/// An image that failed is asked for again within this.
const REFETCH: std::time::Duration = std::time::Duration::from_secs(130);

#[test]
fn an_image_is_fetched_once_with_credentials_and_removed_when_nothing_needs_it() {
    let story = Story::named("pulls");
    story.phase("bring up a host, a coordinator, an agent");
    let options = ClusterOptions {
        prefix: "zpl",
        hosts: 1,
        coordinators: 1,
    };
    let mut cluster = Cluster::up(options).expect("bring up the cluster");
    let first = cluster.service.release().unwrap();
    cluster.settled(BOUNCE, MAIN, 3).unwrap();
    credentials(&story, &mut cluster).unwrap();
    missing_and_unreachable(&story, &mut cluster).unwrap();
    collection(&story, &mut cluster, &first).unwrap();
    story.phase("done");
}

/// Waits until a replica of the app with this sha cannot have its image, for this reason.
fn until_problem(cluster: &Cluster, sha: &str, problem: ImageProblem) -> Result<InstanceStatus> {
    let git = format!(".git{}.", &sha[..8]);
    cluster.wait_until(BOUNCE, MAIN, problem.word(), |status| {
        status.replicas.iter().any(|replica| {
            let image = replica.image.as_ref();
            replica.app.contains(&git) && image.is_some_and(|image| image.problem() == problem)
        })
    })
}

/// Makes a version whose image is like no other, and in the registry only, not also where it was
/// built.
fn build(cluster: &mut Cluster, start_delay_ms: u32) -> Result<String> {
    let behaviour = [("START_DELAY_MS", start_delay_ms)];
    let sha = cluster.service.build(&behaviour)?;
    let image = cluster.service.registry().image(&sha);
    cluster.hosts.docker(1, &["rmi", &image])?;
    Ok(sha)
}

fn write_login(cluster: &Cluster, auth: &str) -> Result<()> {
    let file = cluster.config_dir().join("dockercfg");
    fs::write(file, cluster.service.registry().docker_login(auth))?;
    Ok(())
}

fn restart_agent(cluster: &mut Cluster) -> Result<()> {
    cluster.stop_agent(1)?;
    cluster.start_agent(1)
}

fn credentials(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story.phase("a registry that wants a login: a wrong one is denied, with the registry's words");
    cluster.service.require_login()?;
    let config = cluster.config_dir();
    let location = config.join("dockercfg").display().to_string();
    let paasta = fs::read_to_string(config.join("paasta.yaml"))?;
    let extended = format!("{paasta}dockercfg_location: file://{location}\n");
    fs::write(config.join("paasta.yaml"), extended)?;
    write_login(cluster, WRONG_LOGIN)?;
    restart_agent(cluster)?;
    let sha = build(cluster, 1)?;
    cluster.service.deploy(&sha)?;
    until_problem(cluster, &sha, ImageProblem::Denied)?;
    let why = cluster.operator.why(MAIN);
    ensure!(why.contains("image denied: "), "{why}");
    let registry = cluster.service.registry().address();
    ensure!(why.contains(registry), "{why}");
    let shown = cluster.operator.paasta(&["status", "-s", "hello", "-v"])?;
    ensure!(shown.stdout.contains("image-denied"), "{}", shown.stdout);
    story.phase("with the right one all replicas have the image, from one fetch");
    write_login(cluster, LOGIN)?;
    let status = cluster.settled(REFETCH, MAIN, 3)?;
    let digests: Vec<String> = status
        .replicas
        .iter()
        .filter_map(|replica| Some(replica.image.as_ref()?.digest.clone()))
        .collect();
    ensure!(digests.len() == 3, "{digests:?}");
    ensure!(
        digests[0].starts_with("sha256:") && digests.iter().all(|one| *one == digests[0]),
        "{digests:?}"
    );
    let log = fs::read_to_string(cluster.log("agent-1"))?;
    let image = cluster.service.registry().image(&sha);
    let fetched = log
        .lines()
        .filter(|line| line.contains("image fetched") && line.contains(&image));
    ensure!(fetched.count() == 1, "{log}");
    Ok(())
}

fn missing_and_unreachable(story: &Story, cluster: &mut Cluster) -> Result<()> {
    story.phase("a version without an image: the old one serves, the state is 'missing'");
    let before = cluster.operator.status(MAIN)?.desired_app;
    let sha = cluster.service.commit()?;
    cluster.service.deploy(&sha)?;
    let status = until_problem(cluster, &sha, ImageProblem::Missing)?;
    let serving = status.replicas.iter().filter(|one| one.app == before);
    ensure!(serving.count() == 3, "{status:#?}");
    let why = cluster.operator.why(MAIN);
    ensure!(
        why.contains("image missing: ") && why.contains("not found"),
        "{why}"
    );
    story.phase("a registry that is down, and back");
    let sha = build(cluster, 2)?;
    cluster.service.registry().stop()?;
    cluster.service.deploy(&sha)?;
    until_problem(cluster, &sha, ImageProblem::RegistryUnreachable)?;
    let why = cluster.operator.why(MAIN);
    ensure!(why.contains("connection refused"), "{why}");
    cluster.service.registry().start()?;
    cluster.settled(REFETCH, MAIN, 3)?;
    Ok(())
}

fn collection(story: &Story, cluster: &mut Cluster, first: &str) -> Result<()> {
    story.phase("images beyond the budget go, but those in use and strangers'");
    let config = cluster.config_dir();
    let none = "agent:\n  image_budget_bytes: 0\n  image_min_age_seconds: 0\n  \
                image_keep_per_service: 0\n";
    fs::write(config.join("zz-images.yaml"), none)?;
    let registry = cluster.service.registry();
    let (first, all) = (registry.image(first), images(cluster)?);
    let host = cluster.hosts.host(1).clone();
    // One of the old ones belongs to somebody else too, another to a container that is no more.
    let sha = cluster.operator.status(MAIN)?.git_sha;
    let used = registry.image(&sha);
    host.docker(&["tag", &used, "stranger:1"])?;
    ensure!(all.contains(&first) && all.contains(&used), "{all:?}");
    let judged = agent_images(cluster, &["--dry-run"])?;
    ensure!(
        judged.contains(&format!("would remove {first}")),
        "{judged}"
    );
    ensure!(
        images(cluster)?.contains(&first),
        "a dry run removes nothing"
    );
    let beside = agent_images(cluster, &[]).expect_err("the agent runs");
    ensure!(
        format!("{beside:#}").contains("stop the agent"),
        "{beside:#}"
    );
    restart_agent(cluster)?;
    eventually(SOON, "the first image is removed", || {
        let left = images(cluster)?;
        ensure!(!left.contains(&first), "{left:?}");
        Ok(())
    })?;
    let left = images(cluster)?;
    ensure!(
        left.contains(&used) && left.contains(&"stranger:1".to_owned()),
        "{left:?}"
    );
    cluster.settled(SOON, MAIN, 3)?;
    Ok(())
}

fn images(cluster: &Cluster) -> Result<Vec<String>> {
    let words = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
    let listed = cluster.hosts.docker(1, &words)?;
    Ok(listed.lines().map(str::to_owned).collect())
}

/// `paasta-agent images`, on the host's own ledger.
fn agent_images(cluster: &Cluster, more: &[&str]) -> Result<String> {
    let host = cluster.hosts.host(1);
    let state = cluster
        .config_dir()
        .parent()
        .context("it has a parent")?
        .join("data/agent-1");
    let mut command = bounded(SOON, cluster.program("paasta-agent"));
    command
        .arg("images")
        .arg(format!("--config-dir={}", cluster.config_dir().display()))
        .arg(format!("--host-id={}", host.name))
        .arg(format!("--docker-socket={}", host.socket.display()))
        .arg(format!("--state-dir={}", state.display()))
        .args(more);
    text(&mut command)
}
