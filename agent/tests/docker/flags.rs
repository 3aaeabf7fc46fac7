//! The flags of PaaSTA, as `docker inspect` shows them: a container that asks for nothing and one
//! that asks for everything, and both again by hand, from the words of `explain`.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use paasta_agent::mounts::Mounts;
use paasta_agent_core::{
    compose::{RunOf, compose},
    docker_run::docker_run,
};
use paasta_common::{
    app::{AppSpec, DockerArgs, HealthCheck, Probe, Resources, Ulimit, Volume},
    assignment::Want,
    config::SystemConfig,
    container::CAP_DROP,
    report::ReplicaReport,
};
use serde_json::{Value, json};

use crate::world::{World, docker, get};

#[tokio::test(flavor = "multi_thread")]
async fn containers_have_the_flags_of_paasta() {
    let mut world = World::asleep();
    let minimal = world.minimal();
    let shared = world.dir.path().join("configs");
    std::fs::create_dir(&shared).unwrap();
    let full = full(&minimal, &shared.to_string_lossy());
    // Given by the operator to everyone, it is mounted as it is written.
    let mut system = SystemConfig::default();
    system.volumes.clone_from(&full.volumes);
    world.mounts = Mounts::new(&system);
    world.start();
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
            inspected[which].pointer(path).unwrap_or(&Value::Null),
            &expected,
            "{which} {path}"
        );
    }
    let kept = ["CHOWN"];
    let dropped: Vec<_> = CAP_DROP
        .into_iter()
        .filter(|name| !kept.contains(name))
        .collect();
    assert_eq!(inspected[0]["HostConfig"]["CapDrop"], json!(CAP_DROP));
    assert_eq!(inspected[1]["HostConfig"]["CapDrop"], json!(dropped));
    mounts(&world, &inspected, &reports, &shared.to_string_lossy());
    inside(&world, &reports[1]);
    for (found, report) in inspected.iter().zip(&reports) {
        by_hand_it_is_the_same(&world, found, report);
    }
}

fn the_same_for_all(world: &World, found: &Value, report: &ReplicaReport) {
    let port = report.host_port.unwrap().to_string();
    let name = format!("/paasta-hello_svc.main-{}-1", report.id);
    for (path, expected) in [
        ("/Name", json!(name)),
        ("/Config/Image", json!(world.image)),
        ("/Config/Tty", json!(false)),
        ("/Config/OpenStdin", json!(false)),
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
        ("/Config/Labels/paasta_host_port", json!(port)),
        ("/HostConfig/Privileged", json!(false)),
        ("/HostConfig/RestartPolicy/Name", json!("no")),
        ("/HostConfig/AutoRemove", json!(false)),
        ("/HostConfig/NetworkMode", json!("bridge")),
        ("/HostConfig/PidMode", json!("")),
        ("/HostConfig/Init", json!(true)),
        ("/HostConfig/SecurityOpt", json!(["no-new-privileges"])),
        ("/HostConfig/PidsLimit", json!(4096)),
        ("/HostConfig/LogConfig/Type", json!("json-file")),
        ("/HostConfig/LogConfig/Config/max-size", json!("10485760")),
        ("/HostConfig/LogConfig/Config/max-file", json!("5")),
        (
            "/HostConfig/PortBindings",
            json!({"8888/tcp": [{"HostIp": "", "HostPort": port}]}),
        ),
    ] {
        assert_eq!(found.pointer(path), Some(&expected), "{} {path}", report.id);
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
        (0, "/HostConfig/ReadonlyRootfs", json!(false)),
        (0, "/HostConfig/Ulimits", json!([])),
        (0, "/HostConfig/CapAdd", json!([])),
        (0, "/HostConfig/ExtraHosts", Value::Null),
        (0, "/Config/User", json!("")),
        (0, "/Args", json!([])),
        (1, "/HostConfig/CpuShares", json!(512)),
        (1, "/HostConfig/CpuPeriod", json!(50_000)),
        (1, "/HostConfig/CpuQuota", json!(75_000)),
        (1, "/HostConfig/Memory", json!(96 << 20)),
        (1, "/HostConfig/MemorySwap", json!(160 << 20)),
        (1, "/HostConfig/ReadonlyRootfs", json!(true)),
        (1, "/HostConfig/ShmSize", json!(8 << 20)),
        (1, "/HostConfig/CapAdd", json!(["CHOWN"])),
        (1, "/HostConfig/Dns", json!(["10.0.0.2"])),
        (1, "/HostConfig/DnsOptions", json!(["ndots:1"])),
        (1, "/HostConfig/DnsSearch", json!(["example.com"])),
        (1, "/HostConfig/ExtraHosts", json!(["db:10.0.0.3"])),
        (1, "/Config/Labels/team", json!("a")),
        (1, "/Config/StopSignal", json!("SIGINT")),
        (1, "/Config/User", json!("1000:1000")),
        (1, "/Args", json!(["--verbose"])),
        (
            1,
            "/HostConfig/Ulimits",
            json!([{"Name": "nofile", "Soft": 1024, "Hard": 2048}]),
        ),
        (2, "/Path", json!("/bin/sh")),
        (2, "/Args", json!(["-c", "serve in a shell"])),
    ]
}

fn mounts(world: &World, inspected: &[Value], reports: &[ReplicaReport], shared: &str) {
    let sandbox = |at: usize| {
        let root = world.dir.path().join("sandboxes");
        let path = root.join(format!("{}-1", reports[at].id));
        ("/mnt/mesos/sandbox", path.display().to_string(), true)
    };
    let nail = ("/nail/etc", shared.to_owned(), false);
    for (at, expected) in [
        (0, vec![sandbox(0)]),
        (1, vec![sandbox(1), nail]),
        (2, vec![sandbox(2)]),
    ] {
        let found = inspected[at]["Mounts"].as_array().unwrap().iter();
        let mut found: Vec<_> = found
            .map(|mount| {
                (
                    mount["Destination"].as_str().unwrap(),
                    mount["Source"].as_str().unwrap().to_owned(),
                    mount["RW"].as_bool().unwrap(),
                )
            })
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}

/// What the program itself sees: every variable of PaaSTA's list, with the user's winning.
fn inside(world: &World, report: &ReplicaReport) {
    let port = report.host_port.unwrap();
    let (id, app) = (report.id, "hello--svc.main.git3f2a9c0d.config94232c5b");
    let env = get(port, "/env");
    for line in [
        "PAASTA_SERVICE=hello_svc".to_owned(),
        format!("PAASTA_HOST={}", world.host),
        "HOST=127.0.0.1".to_owned(),
        format!("MARATHON_PORT={port}"),
        format!("MARATHON_PORT0={port}"),
        format!("MARATHON_PORTS={port}"),
        format!("MARATHON_PORT_8888={port}"),
        "MARATHON_HOST=the user's".to_owned(),
        format!("MARATHON_APP_ID=/{app}"),
        "MARATHON_APP_VERSION=git3f2a9c0d.config94232c5b".to_owned(),
        format!("MARATHON_APP_DOCKER_IMAGE={}", world.image),
        "PAASTA_PORT=8888".to_owned(),
        "PAASTA_RESOURCE_CPUS=0.5".to_owned(),
        "PAASTA_RESOURCE_MEM=96".to_owned(),
        "PAASTA_RESOURCE_DISK=0".to_owned(),
        "MARATHON_APP_RESOURCE_CPUS=0.5".to_owned(),
        "MARATHON_APP_RESOURCE_MEM=96.0".to_owned(),
        "MARATHON_APP_RESOURCE_DISK=0.0".to_owned(),
        "MARATHON_APP_RESOURCE_GPUS=0".to_owned(),
        "MARATHON_APP_LABELS=PAASTA_SERVICE PAASTA_INSTANCE".to_owned(),
        "MARATHON_APP_LABEL_PAASTA_SERVICE=hello_svc".to_owned(),
        "MARATHON_APP_LABEL_PAASTA_INSTANCE=main".to_owned(),
        format!("MESOS_TASK_ID={app}.{id}-1"),
        "MESOS_SANDBOX=/mnt/mesos/sandbox".to_owned(),
        format!("MESOS_CONTAINER_NAME=paasta-hello_svc.main-{id}-1"),
    ] {
        assert!(
            env.lines().any(|held| held == line),
            "{line} is not in {env}"
        );
    }
    // Its file system is read-only; the sandbox is not.
    assert_eq!(get(port, "/write"), "/mnt/mesos/sandbox");
    let note = world
        .dir
        .path()
        .join(format!("sandboxes/{}-1/note", report.id));
    assert_eq!(std::fs::read_to_string(note).unwrap(), "written");
}

/// Docker's own client, told what `explain` prints, makes a container that differs in its name
/// only.
fn by_hand_it_is_the_same(world: &World, found: &Value, report: &ReplicaReport) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let assignment = world.assignment();
    let run = RunOf {
        number: 1,
        host_port: report.host_port,
        image_working_dir: None,
    };
    let (cluster, id) = (&assignment.fence.cluster_id, report.id);
    let replica = &assignment.replicas[&id];
    let mut spec = compose(&world.settings(), cluster, id, replica, run);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    spec.name = format!("{}-by-hand-{number}", world.host);
    let words = docker_run(&spec);
    // Made, not run: its port is taken by the other.
    let mut words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
    words[0] = "create";
    let made = docker(&words);
    let by_hand = world.inspect(&made);
    docker(&["rm", &made]);
    for part in ["HostConfig", "Config", "Path", "Args"] {
        assert_eq!(plain(&by_hand[part]), plain(&found[part]), "{id} {part}");
    }
}

/// Without what is empty, which the client writes in other ways, and without what only says to
/// what the client itself is attached.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(name, _)| !name.starts_with("Attach"))
            .map(|(name, value)| match name.as_str() {
                "CapAdd" | "CapDrop" => (name.clone(), sorted(value, "CAP_")),
                // The client gives volumes in no order.
                "Binds" | "Env" => (name.clone(), sorted(value, "")),
                _ => (name.clone(), plain(value)),
            })
            .filter(|(_, value)| !matches!(value, Value::Null))
            .collect(),
        Value::Array(items) if items.is_empty() => Value::Null,
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Number(number) if number.as_i64() == Some(0) => Value::Null,
        Value::Bool(false) => Value::Null,
        value => value.clone(),
    }
}

/// The client and the daemon put them in orders of their own, and capabilities with or without
/// `CAP_`.
fn sorted(words: &Value, prefix: &str) -> Value {
    let words = words.as_array().into_iter().flatten();
    let words = words.filter_map(Value::as_str);
    let mut words: Vec<String> = words
        .map(|word| format!("{prefix}{}", word.strip_prefix(prefix).unwrap_or(word)))
        .collect();
    words.sort_unstable();
    plain(&json!(words))
}

fn full(minimal: &AppSpec, shared: &str) -> AppSpec {
    let words = |word: &str| vec![word.to_owned()];
    AppSpec {
        resources: Resources {
            cpus_milli: 500,
            mem_mb: 96,
            ..Resources::default()
        },
        cpu_burst_milli: 1_000,
        cfs_period_us: 50_000,
        args: words("--verbose"),
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
        cap_add: words("CHOWN"),
        docker: DockerArgs {
            add_hosts: words("db:10.0.0.3"),
            dns: words("10.0.0.2"),
            dns_options: words("ndots:1"),
            dns_search: words("example.com"),
            labels: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
            read_only: true,
            shm_bytes: 8 << 20,
            stop_signal: Some("SIGINT".to_owned()),
            user: Some("1000:1000".to_owned()),
        },
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
