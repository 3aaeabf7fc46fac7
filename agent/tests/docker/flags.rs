//! The flags of PaaSTA, as `docker inspect` shows them.

use std::collections::BTreeMap;

use paasta_common::{
    app::{AppSpec, HealthCheck, Probe, Resources, Ulimit, Volume},
    assignment::Want,
    report::ReplicaReport,
};
use serde_json::{Value, json};

use crate::world::{World, get};

#[tokio::test(flavor = "multi_thread")]
async fn containers_have_the_flags_of_paasta() {
    let mut world = World::new(3_600_000);
    let minimal = world.minimal();
    let shared = world.dir.path().join("configs");
    std::fs::create_dir(&shared).unwrap();
    let full = full(&minimal, &shared.to_string_lossy());
    let shell = shell(&minimal);
    let wanted = [
        (1, Want::Run, minimal),
        (2, Want::Run, full),
        (3, Want::Run, shell),
    ];
    world.assign(&wanted).await;
    let mut reports = Vec::new();
    for id in 1..=3 {
        reports.push(world.until_healthy(id).await);
    }
    let inspected: Vec<Value> = reports
        .iter()
        .map(|report| world.inspect(report.container.as_deref().unwrap()))
        .collect();
    for (found, report) in inspected.iter().zip(&reports) {
        the_same_for_all(&world, found, report);
    }
    for (which, path, expected) in flags_of_each() {
        assert_eq!(
            inspected[which].pointer(path),
            Some(&expected),
            "{which} {path}"
        );
    }
    let drops = inspected[1]["HostConfig"]["CapDrop"].as_array().unwrap();
    assert!(
        drops.len() == 13 && !drops.contains(&json!("CHOWN")),
        "{drops:?}"
    );
    assert_eq!(
        inspected[0]["HostConfig"]["CapDrop"]
            .as_array()
            .unwrap()
            .len(),
        14
    );
    let mounted = inspected[1]["Mounts"].as_array().unwrap().iter();
    let mut mounted: Vec<_> = mounted
        .map(|mount| {
            (
                mount["Destination"].as_str().unwrap(),
                mount["RW"].as_bool().unwrap(),
            )
        })
        .collect();
    mounted.sort_unstable();
    assert_eq!(
        mounted,
        [("/mnt/mesos/sandbox", true), ("/nail/etc", false)]
    );
    inside(&world, &reports[1]);
}

fn the_same_for_all(world: &World, found: &Value, report: &ReplicaReport) {
    let port = report.host_port.unwrap().to_string();
    let name = format!("/paasta-hello_svc.main-{}-1", report.id);
    for (path, expected) in [
        ("/Name", json!(name)),
        ("/Config/Image", json!(world.image)),
        ("/Config/Tty", json!(false)),
        ("/Config/WorkingDir", json!("/mnt/mesos/sandbox")),
        ("/Config/StopTimeout", json!(2)),
        (
            "/Config/Hostname",
            json!(format!("{}-{}-1", world.host, report.id)),
        ),
        ("/Config/Labels/paasta_service", json!("hello_svc")),
        ("/Config/Labels/paasta_instance", json!("main")),
        ("/Config/Labels/paasta_host", json!(world.host)),
        (
            "/Config/Labels/paasta_replica",
            json!(report.id.to_string()),
        ),
        ("/Config/Labels/paasta_run", json!("1")),
        ("/HostConfig/Privileged", json!(false)),
        ("/HostConfig/RestartPolicy/Name", json!("no")),
        ("/HostConfig/AutoRemove", json!(false)),
        ("/HostConfig/NetworkMode", json!("bridge")),
        ("/HostConfig/Init", json!(true)),
        ("/HostConfig/SecurityOpt", json!(["no-new-privileges"])),
        ("/HostConfig/LogConfig/Type", json!("json-file")),
        ("/HostConfig/LogConfig/Config/max-file", json!("5")),
        (
            "/HostConfig/PortBindings",
            json!({"8888/tcp": [{"HostIp": "", "HostPort": port}]}),
        ),
    ] {
        assert_eq!(found.pointer(path), Some(&expected), "{} {path}", report.id);
    }
}

/// What the program itself sees.
fn inside(world: &World, report: &ReplicaReport) {
    let port = report.host_port.unwrap();
    let env = get(port, "/env");
    for line in [
        format!("MARATHON_PORT={port}"),
        format!("MARATHON_PORT_8888={port}"),
        "MARATHON_HOST=the user's".to_owned(),
        "HOST=127.0.0.1".to_owned(),
        "PAASTA_SERVICE=hello_svc".to_owned(),
        "MESOS_SANDBOX=/mnt/mesos/sandbox".to_owned(),
    ] {
        assert!(
            env.lines().any(|held| held == line),
            "{line} is not in {env}"
        );
    }
    assert_eq!(get(port, "/write"), "/mnt/mesos/sandbox");
    let note = world
        .dir
        .path()
        .join(format!("sandboxes/{}-1/note", report.id));
    assert_eq!(std::fs::read_to_string(note).unwrap(), "written");
}

fn full(minimal: &AppSpec, shared: &str) -> AppSpec {
    AppSpec {
        resources: Resources {
            cpus_milli: 500,
            mem_mb: 96,
            ..Resources::default()
        },
        cpu_burst_milli: 1_000,
        cfs_period_us: 50_000,
        args: vec!["--verbose".to_owned()],
        env: BTreeMap::from([
            ("PAASTA_SERVICE".to_owned(), "hello_svc".to_owned()),
            ("MARATHON_HOST".to_owned(), "the user's".to_owned()),
        ]),
        volumes: vec![Volume {
            container_path: "/nail/etc".to_owned(),
            host_path: shared.to_owned(),
            read_only: true,
        }],
        ulimits: BTreeMap::from([(
            "nofile".to_owned(),
            Ulimit {
                soft: 1024,
                hard: Some(2048),
            },
        )]),
        cap_add: vec!["CHOWN".to_owned()],
        ..minimal.clone()
    }
}

fn shell(minimal: &AppSpec) -> AppSpec {
    AppSpec {
        cmd: Some("serve in a shell".to_owned()),
        health: Some(HealthCheck {
            probe: Probe::Cmd {
                command: "exit 0".to_owned(),
            },
            ..minimal.health.clone().unwrap()
        }),
        ..minimal.clone()
    }
}

/// Which container, where in `docker inspect`, and what stands there.
fn flags_of_each() -> Vec<(usize, &'static str, Value)> {
    vec![
        (0, "/HostConfig/CpuShares", json!(256)),
        (0, "/HostConfig/CpuPeriod", json!(100_000)),
        (0, "/HostConfig/CpuQuota", json!(25_000)),
        (0, "/HostConfig/Memory", json!(64 << 20)),
        (0, "/HostConfig/MemorySwap", json!(128 << 20)),
        (0, "/Args", json!([])),
        (0, "/HostConfig/Ulimits", json!([])),
        (1, "/HostConfig/CpuShares", json!(512)),
        (1, "/HostConfig/CpuPeriod", json!(50_000)),
        (1, "/HostConfig/CpuQuota", json!(75_000)),
        (1, "/HostConfig/Memory", json!(96 << 20)),
        (1, "/HostConfig/MemorySwap", json!(160 << 20)),
        (1, "/Args", json!(["--verbose"])),
        (
            1,
            "/HostConfig/Ulimits",
            json!([{"Name": "nofile", "Soft": 1024, "Hard": 2048}]),
        ),
        (1, "/HostConfig/CapAdd", json!(["CHOWN"])),
        (2, "/Path", json!("/bin/sh")),
        (2, "/Args", json!(["-c", "serve in a shell"])),
    ]
}
