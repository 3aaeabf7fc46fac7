//! What becomes of containers.

use std::sync::Arc;

use paasta_agent::engine::{Engine, docker::DockerEngine};
use paasta_agent_core::settings::HostSettings;
use paasta_common::{
    app::AppSpec,
    assignment::{AssignedReplica, Tried, Want},
    report::{Health, Phase},
    spec::RunSettings,
};

use crate::world::{SOCKET, World, docker, get};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_is_replaced_and_a_new_agent_touches_nothing() {
    let mut world = World::new(3_600_000);
    let app = world.minimal();
    world
        .assign(&[(1, Want::Run, app.clone()), (2, Want::Run, app.clone())])
        .await;
    let first = world.until_healthy(1).await;
    let other = world.until_healthy(2).await;
    // It answers nothing when it is told to exit.
    get(first.host_port.unwrap(), "/exit/3");
    let failed = world
        .until(1, "failed", |report| report.failures == 1)
        .await;
    assert!(failed.next_try_at.is_some());
    let second = world
        .until(1, "replaced", |report| {
            report.run == 2 && report.health == Health::Healthy
        })
        .await;
    assert!(second.message.contains("exit code 3"), "{}", second.message);
    assert!(
        second.message.contains("told to exit"),
        "{}",
        second.message
    );
    assert_ne!(
        (second.container.as_ref(), second.host_port),
        (first.container.as_ref(), first.host_port)
    );
    let kept = world
        .dir
        .path()
        .join(format!("state/logs/hello_svc.main/{}-1/stdout.1", first.id));
    let kept = std::fs::read_to_string(kept).unwrap();
    assert!(kept.ends_with("Z serving with []\n"), "{kept}");
    assert_eq!(kept.lines().count(), 1, "{kept}");
    docker(&["kill", other.container.as_deref().unwrap()]);
    let killed = world
        .until(2, "replaced", |report| {
            report.run == 2 && report.health == Health::Healthy
        })
        .await;
    assert!(
        killed.message.contains("exit code 137"),
        "{}",
        killed.message
    );
    assert_eq!(world.containers().len(), 2, "dead containers are removed");

    let mut before = world.containers();
    world.restart().await;
    for (id, was) in [(1, &second), (2, &killed)] {
        let now = world.until_healthy(id).await;
        assert_eq!(
            (&now.container, now.host_port, now.run),
            (&was.container, was.host_port, 2)
        );
    }
    let mut after = world.containers();
    before.sort();
    after.sort();
    assert_eq!(after, before);

    world
        .assign(&[(1, Want::Stop, app.clone()), (2, Want::Run, app)])
        .await;
    world
        .until(1, "gone", |report| report.phase == Phase::Gone)
        .await;
    assert_eq!(world.containers(), [killed.container.unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_reaped_and_strangers_live() {
    let mut world = World::new(1_000);
    let (host, cluster) = (world.host.clone(), format!("{}-cluster", world.host));
    let run = |labels: &[(&str, &str)]| {
        let mut args = vec!["run".to_owned(), "-d".to_owned()];
        args.extend(["--label".to_owned(), format!("agent_test={}", world.host)]);
        for (name, value) in labels {
            args.extend(["--label".to_owned(), format!("{name}={value}")]);
        }
        args.push(world.image.clone());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        docker(&args)
    };
    let ours = [
        ("paasta_cluster", cluster.as_str()),
        ("paasta_host", host.as_str()),
    ];
    let orphan = run(&[&ours[..], &[("paasta_replica", "r99"), ("paasta_run", "1")]].concat());
    let stranger = run(&[]);
    let other_cluster = run(&[
        ("paasta_cluster", "other"),
        ours[1],
        ("paasta_replica", "r99"),
    ]);
    let other_host = run(&[ours[0], ("paasta_host", "other-host-of-test")]);
    let is_there = |ids: &[String], id: &String| ids.contains(id);
    world.until_docker("listed", |ids| ids.len() == 2).await;
    assert!(
        is_there(&world.containers(), &orphan),
        "not before an assignment is accepted"
    );
    let app = world.minimal();
    world.assign(&[(1, Want::Run, app)]).await;
    let serving = world.until_healthy(1).await.container.unwrap();
    world
        .until_docker("reaped", |ids| !is_there(ids, &orphan))
        .await;
    let all = docker(&["ps", "-q", "--no-trunc"]);
    for alive in [&stranger, &other_cluster, &other_host, &serving] {
        assert!(all.lines().any(|id| id == alive), "{alive} was touched");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_was_made_is_found_and_a_missing_image_has_the_daemons_words() {
    let mut world = World::new(3_600_000);
    let missing = AppSpec {
        image: "localhost:1/services-none:paasta-0123abc".to_owned(),
        ..world.minimal()
    };
    let app = world.minimal();
    world
        .assign(&[(1, Want::Run, missing), (2, Want::Run, app)])
        .await;
    let waiting = world
        .until(1, "waiting", |report| report.phase == Phase::BackingOff)
        .await;
    assert!(
        waiting.message.contains("localhost:1"),
        "{}",
        waiting.message
    );
    let report = world.until_healthy(2).await;
    assert_eq!(report.run, 1, "{}", report.message);
    // Asked once more, as after an answer that was lost: the same container, not a second one.
    let engine = DockerEngine::new(SOCKET, "/nonexistent/config.json");
    let seen = engine.list(&world.host).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].host_port, report.host_port);
    let settings = HostSettings::new(
        world.host.parse().unwrap(),
        "127.0.0.1",
        &world.dir.path().join("sandboxes").to_string_lossy(),
    );
    let replica = AssignedReplica {
        instance: "hello_svc.main".parse().unwrap(),
        app: "hello--svc.main.git3f2a9c0d.config94232c5b"
            .parse()
            .unwrap(),
        spec: Arc::new(world.minimal()),
        run: Arc::new(RunSettings::default()),
        want: Want::Run,
        tried: Tried::default(),
    };
    let run = paasta_agent_core::compose::RunOf {
        number: 1,
        host_port: report.host_port,
        image_working_dir: None,
    };
    let cluster = format!("{}-cluster", world.host);
    let spec = paasta_agent_core::compose::compose(&settings, &cluster, report.id, &replica, run);
    assert_eq!(
        engine.create(&spec).await.unwrap(),
        report.container.unwrap()
    );
    let mut another = spec;
    another
        .labels
        .insert("paasta_cluster".to_owned(), "other".to_owned());
    assert!(
        engine.create(&another).await.is_err(),
        "a stranger of that name is not taken over"
    );
}
