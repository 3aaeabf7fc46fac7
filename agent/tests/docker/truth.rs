//! What the agent says of runs is what happened to them: on a real dockerd, with an image of a
//! static busybox.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use paasta_common::{
    app::{AppSpec, HealthCheck, Probe},
    assignment::Want,
    report::{EndCause, Health, Phase, Trouble},
};

use crate::world::{World, docker};

/// Where Debian's busybox-static puts it.
const BUSYBOX: &str = "/bin/busybox";

/// An image of busybox with every applet, changed like a Dockerfile would; it goes with its world.
pub(crate) struct Busybox(pub(crate) String);

impl Busybox {
    pub(crate) fn new(world: &World, changes: &[&str], files: &[(&str, &str)]) -> Self {
        let image = world.image.replace(":paasta", "-busybox:paasta");
        let tar = pack(world.dir.path(), files);
        let mut words = vec!["import"];
        for change in changes {
            words.extend(["--change", change]);
        }
        let tar = tar.to_string_lossy().into_owned();
        words.extend([tar.as_str(), image.as_str()]);
        docker(&words);
        world.owns(&image);
        Self(image)
    }

    pub(crate) fn app(&self, world: &World, cmd: &str) -> AppSpec {
        AppSpec {
            image: self.0.clone(),
            cmd: Some(cmd.to_owned()),
            health: None,
            ..world.minimal()
        }
    }
}

/// A tar of busybox with every applet and these executable files.
pub(crate) fn pack(dir: &Path, files: &[(&str, &str)]) -> PathBuf {
    let root = dir.join("busybox");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::create_dir_all(root.join("tmp")).unwrap();
    std::fs::copy(BUSYBOX, root.join("bin/busybox"))
        .expect("these tests need a static busybox; install busybox-static");
    let applets = Command::new(BUSYBOX).arg("--list").output().unwrap().stdout;
    for applet in String::from_utf8(applets).unwrap().lines() {
        if applet != "busybox" {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
    }
    for (path, text) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    let tar = dir.join("busybox.tar");
    let packed = Command::new("tar")
        .arg("-cf")
        .arg(&tar)
        .arg("-C")
        .arg(&root)
        .arg(".")
        .status();
    assert!(packed.unwrap().success());
    std::fs::remove_dir_all(&root).unwrap();
    tar
}

#[tokio::test(flavor = "multi_thread")]
async fn the_working_directory_of_the_image_counts_and_the_sandbox_is_mounted() {
    let mut world = World::new(3_600_000);
    let script = "#!/bin/sh\npwd >$MESOS_SANDBOX/where\nexec sleep 1000\n";
    let image = Busybox::new(
        &world,
        &["WORKDIR /app", r#"CMD ["./start.sh"]"#],
        &[("app/start.sh", script)],
    );
    let app = AppSpec {
        cmd: None,
        ..image.app(&world, "")
    };
    world.assign(&[(1, Want::Run, app)]).await;
    let report = world
        .until(1, "running", |report| report.phase == Phase::Running)
        .await;
    let sandbox = world
        .dir
        .path()
        .join(format!("sandboxes/{}-1/where", report.id));
    until("the script ran", || {
        std::fs::read_to_string(&sandbox).is_ok_and(|text| text == "/app\n")
    })
    .await;
    let report = world.until(1, "running", |_| true).await;
    assert_eq!((report.run, report.failures), (1, 0), "{}", report.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_command_that_hangs_is_killed_with_its_children_and_there_is_one_at_a_time() {
    let mut world = World::new(3_600_000);
    let image = Busybox::new(&world, &[], &[]);
    let command = "echo is the database up?; setsid sh -c 'sleep 501 & sleep 502' & \
                   sh -c \"sleep 500\"; true";
    let app = AppSpec {
        health: Some(HealthCheck {
            probe: Probe::Cmd {
                command: command.to_owned(),
            },
            grace_ms: 600_000,
            interval_ms: 1_000,
            timeout_ms: 1_000,
            max_consecutive_failures: 5,
        }),
        ..image.app(&world, "sleep 1000")
    };
    world.assign(&[(1, Want::Run, app)]).await;
    let report = world
        .until(1, "failing its check", |report| {
            report.message.contains("was killed")
        })
        .await;
    assert!(
        report.message.ends_with("was killed: is the database up?"),
        "{}",
        report.message
    );
    let container = report.container.unwrap();
    let count = || docker(&["top", &container, "-o", "pid"]).lines().count() - 1;
    let (mut most, mut least) = (0, usize::MAX);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(12) {
        let now = count();
        (most, least) = (most.max(now), least.min(now));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The init process and the service; and of one command a shell, the shell that it starts, its
    // sleep, and the three that it sends off, with one more while it begins.
    assert!(most <= 2 + 7, "{most} processes at once");
    assert!(least <= 2, "never less than {least} processes");

    // An agent that is gone in the middle of a command leaves one: the next agent ends it.
    world.restart().await;
    until("the former one's command has ended", || count() <= 2 + 7).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let now = count();
    assert!(now <= 2 + 7, "{now} processes after a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_started_by_exec_is_all_that_a_timeout_kills() {
    let mut world = World::new(3_600_000);
    let image = Busybox::new(&world, &[], &[]);
    let app = AppSpec {
        health: Some(HealthCheck {
            probe: Probe::Cmd {
                command: "test -e /tmp/ok || { echo no /tmp/ok here >&2; exit 4; }".to_owned(),
            },
            grace_ms: 0,
            interval_ms: 300,
            timeout_ms: 2_000,
            max_consecutive_failures: 0,
        }),
        ..image.app(&world, "sleep 1000")
    };
    world.assign(&[(1, Want::Run, app)]).await;
    let report = world
        .until(1, "unhealthy", |report| report.health == Health::Unhealthy)
        .await;
    assert_eq!(
        report.message,
        "health check failed: the command exited with 4: no /tmp/ok here"
    );
    let container = report.container.unwrap();
    docker(&["exec", "-d", &container, "sleep", "777"]);
    docker(&["exec", &container, "touch", "/tmp/ok"]);
    world.until_healthy(1).await;
    assert!(docker(&["top", &container]).contains("sleep 777"));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_the_reason_only_of_a_run_whose_main_process_was_killed_for_it() {
    let mut world = World::new(3_600_000);
    let image = Busybox::new(&world, &[], &[]);
    let of = |cmd: &str| {
        let mut app = image.app(&world, cmd);
        app.resources.mem_mb = 40;
        app
    };
    let eat = "tail -c 300m /dev/zero >/dev/null";
    let child = of(&format!("sh -c '{eat}'; sleep 4; exit 3"));
    let main = of(&format!("exec {eat}"));
    let killed = of(&format!("sh -c '{eat}'; sleep 4; kill -9 $$"));
    world
        .assign(&[
            (1, Want::Run, child),
            (2, Want::Run, main),
            (3, Want::Run, killed),
        ])
        .await;
    let lives = world
        .until(1, "outliving its child", |report| {
            report.message.contains("the run goes on")
        })
        .await;
    assert_eq!((lives.phase, lives.run), (Phase::Running, 1));
    let ended = |report: &paasta_common::report::ReplicaReport| {
        report
            .last_end
            .as_ref()
            .is_some_and(|end| end.exit_code.is_some())
    };
    for (id, exit_code, memory, others) in [(1, 3, false, 1), (2, 137, true, 0), (3, 137, false, 1)]
    {
        let report = world.until(id, "ended", ended).await;
        let end = report.last_end.unwrap();
        assert_eq!(
            (end.cause, end.exit_code, end.out_of_memory),
            (EndCause::Exited, Some(exit_code), memory),
            "{id}: {end}"
        );
        assert!(end.memory_kills >= others, "{id}: {end}");
        assert_eq!(end.memory_kills == 0, others == 0, "{id}: {end}");
        let expected = if memory {
            Trouble::Memory
        } else {
            Trouble::Exited
        };
        assert!(report.troubles.of(expected) >= 1, "{:?}", report.troubles);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_container_is_not_happy_and_a_renamed_one_is_ended() {
    let mut world = World::new(3_600_000);
    let app = world.minimal();
    world.assign(&[(1, Want::Run, app.clone())]).await;
    let report = world.until_healthy(1).await;
    let container = report.container.unwrap();
    docker(&["pause", &container]);
    let paused = world
        .until(1, "shown as paused", |report| {
            report.health == Health::Unhealthy
        })
        .await;
    assert!(paused.message.contains("paused"), "{}", paused.message);
    docker(&["unpause", &container]);
    let healthy = world.until_healthy(1).await;
    assert_eq!((healthy.run, healthy.message.as_str()), (1, ""));
    docker(&["rename", &container, &format!("{}-renamed", world.host)]);
    docker(&["pause", &container]);
    world.assign(&[(1, Want::Stop, app)]).await;
    world
        .until(1, "gone", |report| report.phase == Phase::Gone)
        .await;
    assert_eq!(world.containers(), Vec::<String>::new());
}

/// Waits for something that only this machine shows.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
