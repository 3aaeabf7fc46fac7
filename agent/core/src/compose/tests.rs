//! The table of flags, row by row.

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::{
    app::{Resources, Ulimit},
    disk::DiskLimits,
    spec::RunSettings,
};

use super::*;

fn app() -> AppSpec {
    AppSpec {
        image: "registry:5000/services-my_svc:paasta-3f2a9c0d".to_owned(),
        resources: Resources {
            cpus_milli: 1_000,
            mem_mb: 512,
            disk_mb: 1_024,
            gpus: 0,
        },
        cpu_burst_milli: 1_000,
        cfs_period_us: 100_000,
        container_port: 8888,
        ..AppSpec::default()
    }
}

fn replica(app: AppSpec) -> AssignedReplica {
    AssignedReplica {
        instance: "my_svc.main".parse().unwrap(),
        app: "my--svc.main.git3f2a9c0d.config94232c5b".parse().unwrap(),
        spec: Arc::new(app),
        run: Arc::new(RunSettings {
            stop_grace_ms: 30_000,
            ..RunSettings::default()
        }),
        want: paasta_common::assignment::Want::Run,
        tried: paasta_common::assignment::Tried::default(),
    }
}

fn host() -> HostSettings {
    HostSettings::new(
        "web_1.example.com".parse().unwrap(),
        "10.1.2.3",
        "/var/lib/paasta/sandboxes/",
    )
}

fn composed(change: impl FnOnce(&mut AppSpec)) -> ContainerSpec {
    composed_on(&host(), change)
}

fn composed_on(host: &HostSettings, change: impl FnOnce(&mut AppSpec)) -> ContainerSpec {
    let mut app = app();
    change(&mut app);
    let run = RunOf {
        number: 4,
        host_port: Some(31_337),
        image_working_dir: None,
    };
    compose(host, "c-1", ReplicaId(17), &replica(app), run)
}

#[test]
fn cpu_and_memory_are_given_as_paasta_does() {
    let spec = composed(|_| {});
    assert_eq!(
        (spec.cpu_shares, spec.cpu_period_us, spec.cpu_quota_us),
        (1024, 100_000, 200_000)
    );
    assert_eq!(
        (spec.memory_bytes, spec.memory_swap_bytes),
        (512 << 20, 576 << 20)
    );
    let small = composed(|spec| {
        spec.resources.cpus_milli = 250;
        spec.cpu_burst_milli = 0;
        spec.cfs_period_us = 50_000;
    });
    assert_eq!(
        (small.cpu_shares, small.cpu_period_us, small.cpu_quota_us),
        (256, 50_000, 12_500)
    );
    let huge = composed(|spec| spec.resources.cpus_milli = 400_000);
    assert_eq!(huge.cpu_shares, 262_144, "the kernel takes no more");
    let none = composed(|spec| *spec = AppSpec::default());
    assert_eq!(
        (none.cpu_shares, none.cpu_period_us, none.cpu_quota_us),
        (2, 100_000, 1_000)
    );
}

#[test]
fn the_port_is_published_on_a_bridge_and_only_told_elsewhere() {
    let bridge = composed(|_| {});
    assert_eq!(
        bridge.ports,
        [PortBinding {
            container_port: 8888,
            host_port: 31_337
        }]
    );
    assert_eq!(bridge.env["MARATHON_PORT_8888"], "31337");
    let host = composed(|spec| spec.net = NetworkMode::Host);
    assert!(host.ports.is_empty());
    assert_eq!(
        (host.hostname, &host.env["MARATHON_PORT"]),
        (None, &"31337".to_owned())
    );
    assert_eq!(host.labels["paasta_host_port"], "31337");
    let named = composed(|spec| spec.net = NetworkMode::Named("blue".to_owned()));
    assert_eq!(named.ports.len(), 1);
    assert!(!needs_port(&AppSpec {
        net: NetworkMode::None,
        ..AppSpec::default()
    }));
}

#[test]
fn the_environment_is_marathons_and_the_user_wins() {
    let spec = composed(|spec| {
        spec.env = BTreeMap::from([
            ("PAASTA_SERVICE".to_owned(), "my_svc".to_owned()),
            ("MARATHON_PORT0".to_owned(), "mine".to_owned()),
        ]);
    });
    for (name, value) in [
        ("HOST", "10.1.2.3"),
        ("MARATHON_HOST", "10.1.2.3"),
        ("PAASTA_HOST", "web_1.example.com"),
        ("MARATHON_PORT", "31337"),
        ("MARATHON_PORT0", "mine"),
        ("MARATHON_PORTS", "31337"),
        (
            "MARATHON_APP_ID",
            "/my--svc.main.git3f2a9c0d.config94232c5b",
        ),
        ("MARATHON_APP_VERSION", "git3f2a9c0d.config94232c5b"),
        (
            "MARATHON_APP_DOCKER_IMAGE",
            "registry:5000/services-my_svc:paasta-3f2a9c0d",
        ),
        ("MARATHON_APP_RESOURCE_CPUS", "1.0"),
        ("MARATHON_APP_RESOURCE_MEM", "512.0"),
        ("MARATHON_APP_RESOURCE_DISK", "1024.0"),
        ("MARATHON_APP_RESOURCE_GPUS", "0"),
        ("MARATHON_APP_LABELS", "PAASTA_SERVICE PAASTA_INSTANCE"),
        ("MARATHON_APP_LABEL_PAASTA_SERVICE", "my_svc"),
        ("MARATHON_APP_LABEL_PAASTA_INSTANCE", "main"),
        ("MESOS_SANDBOX", "/mnt/mesos/sandbox"),
        (
            "MESOS_TASK_ID",
            "my--svc.main.git3f2a9c0d.config94232c5b.r17-4",
        ),
        ("MESOS_CONTAINER_NAME", "paasta-my_svc.main-r17-4"),
        ("PAASTA_SERVICE", "my_svc"),
        ("PAASTA_PORT", "8888"),
        ("PAASTA_GIT_SHA", "3f2a9c0d"),
    ] {
        assert_eq!(
            spec.env.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
}

/// Right values by InstanceConfig.get_env of paasta-tools 0.92.1.
#[test]
fn resources_port_and_version_are_told_in_paastas_formats() {
    type Change = fn(&mut AppSpec);
    let rows: [(Change, &str, Option<&str>); 12] = [
        (|_| {}, "PAASTA_RESOURCE_CPUS", Some("1")),
        (
            |spec| spec.resources.cpus_milli = 250,
            "PAASTA_RESOURCE_CPUS",
            Some("0.25"),
        ),
        (
            |spec| spec.resources.cpus_milli = 12_500,
            "PAASTA_RESOURCE_CPUS",
            Some("12.5"),
        ),
        (
            |spec| spec.resources.cpus_milli = 10_000,
            "PAASTA_RESOURCE_CPUS",
            Some("10"),
        ),
        (|_| {}, "PAASTA_RESOURCE_MEM", Some("512")),
        (|_| {}, "PAASTA_RESOURCE_DISK", Some("1024")),
        (|_| {}, "PAASTA_RESOURCE_GPUS", None),
        (
            |spec| spec.resources.gpus = 2,
            "PAASTA_RESOURCE_GPUS",
            Some("2"),
        ),
        (|spec| spec.container_port = 80, "PAASTA_PORT", Some("80")),
        (
            |spec| spec.net = NetworkMode::Host,
            "PAASTA_PORT",
            Some("8888"),
        ),
        (
            |spec| spec.image = format!("r:443/services-a-b:paasta-{}", "0123456789".repeat(4)),
            "PAASTA_GIT_SHA",
            Some("01234567"),
        ),
        // Of these variables, PaaSTA sets the port after the user's own.
        (
            |spec| {
                let own = ["PAASTA_PORT", "PAASTA_GIT_SHA"];
                spec.env = own.map(|name| (name.to_owned(), "own".to_owned())).into();
            },
            "PAASTA_PORT",
            Some("8888"),
        ),
    ];
    for (change, name, value) in rows {
        let spec = composed(change);
        assert_eq!(spec.env.get(name).map(String::as_str), value, "{name}");
    }
    let own = composed(|spec| {
        spec.env = BTreeMap::from([("PAASTA_GIT_SHA".to_owned(), "own".to_owned())]);
    });
    assert_eq!(own.env["PAASTA_GIT_SHA"], "own");
}

#[test]
fn names_labels_and_the_host_name_tell_whose_it_is() {
    let spec = composed(|_| {});
    assert_eq!(spec.name, "paasta-my_svc.main-r17-4");
    assert_eq!(spec.hostname.as_deref(), Some("web-1-r17-4"));
    for (name, value) in [
        ("paasta_service", "my_svc"),
        ("paasta_instance", "main"),
        ("paasta_cluster", "c-1"),
        ("paasta_host", "web_1.example.com"),
        ("paasta_replica", "r17"),
        ("paasta_run", "4"),
        ("paasta_app", "my--svc.main.git3f2a9c0d.config94232c5b"),
    ] {
        assert_eq!(spec.labels[name], value, "{name}");
    }
    let long: HostId = "h".repeat(80).parse().unwrap();
    let name = hostname(&long, "r17-4");
    assert!(
        name.len() == HOSTNAME_MAX && name.ends_with("-r17-4"),
        "{name}"
    );
}

#[test]
fn the_engine_limits_the_disk_where_the_operator_says_so() {
    let mut host = host();
    let limit = |host: &HostSettings| composed_on(host, |_| {}).disk_limit_mb;
    assert_eq!(limit(&host), 0);
    host.disk_limits = DiskLimits::StorageDriver;
    assert_eq!(limit(&host), 1_024);
}

#[test]
fn the_operators_limits_and_name_servers_hold_where_the_author_says_nothing() {
    let words = |word: &str| vec![word.to_owned()];
    let mut host = host();
    host.pids_limit = 7;
    host.dns = words("10.0.0.2");
    host.dns_search = words("example.com");
    let plain = composed_on(&host, |_| {});
    assert_eq!((plain.pids_limit, plain.new_privileges), (7, false));
    assert_eq!(
        (plain.docker.dns, plain.docker.dns_search),
        (words("10.0.0.2"), words("example.com"))
    );
    let own = composed_on(&host, |spec| {
        spec.docker.dns = words("10.9.9.9");
        spec.docker.labels = BTreeMap::from([
            ("team".to_owned(), "a".to_owned()),
            ("paasta_host".to_owned(), "another".to_owned()),
            ("paasta_more".to_owned(), "x".to_owned()),
        ]);
    });
    assert_eq!(
        (own.docker.dns, own.docker.dns_search),
        (words("10.9.9.9"), words("example.com"))
    );
    assert_eq!(own.labels["team"], "a");
    assert_eq!(own.labels["paasta_host"], "web_1.example.com");
    assert!(!own.labels.contains_key("paasta_more"));
}

#[test]
fn an_app_is_described_outside_of_a_cluster_as_inside() {
    let (host, replica) = (host(), replica(app()));
    let place = Place {
        image_working_dir: None,
        host: &host,
        name: "paasta_local_run_me_1".to_owned(),
        task: "local-1".to_owned(),
        labels: BTreeMap::new(),
        host_port: Some(31_337),
    };
    let mut tried = container(&replica, &place);
    assert_eq!(tried.hostname.as_deref(), Some("web-1-local-1"));
    assert_eq!(tried.env["MESOS_CONTAINER_NAME"], tried.name);
    let placed = composed(|_| {});
    assert_ne!(tried, placed);
    tried.name.clone_from(&placed.name);
    tried.hostname.clone_from(&placed.hostname);
    tried.labels.clone_from(&placed.labels);
    for name in ["MESOS_CONTAINER_NAME", "MESOS_TASK_ID"] {
        tried.env.insert(name.to_owned(), placed.env[name].clone());
    }
    tried.mounts.clone_from(&placed.mounts);
    assert_eq!(tried, placed);
}

#[test]
fn capabilities_are_given_back_from_the_list_and_never_beyond_it() {
    let spec = composed(|spec| {
        spec.cap_add = ["CHOWN", "cap_net_raw", "SYS_ADMIN", "ALL"]
            .map(str::to_owned)
            .to_vec();
    });
    assert_eq!(spec.cap_add, ["CHOWN", "NET_RAW"]);
    assert_eq!(spec.cap_drop.len(), CAP_DROP.len() - 2);
    assert!(!spec.cap_drop.contains(&"CHOWN".to_owned()));
    assert_eq!(composed(|_| {}).cap_drop, CAP_DROP);
}

#[test]
fn the_sandbox_is_mounted_and_can_not_be_displaced() {
    let volume = |path: &str| Volume {
        container_path: path.to_owned(),
        host_path: "/nail/etc".to_owned(),
        read_only: true,
    };
    let spec =
        composed(|spec| spec.volumes = vec![volume("/nail/etc"), volume("/mnt/mesos/sandbox/")]);
    assert_eq!(spec.working_dir, SANDBOX);
    let mounts: Vec<_> = spec
        .mounts
        .iter()
        .map(|mount| {
            (
                mount.container_path.as_str(),
                mount.host_path.as_str(),
                mount.read_only,
            )
        })
        .collect();
    assert_eq!(
        mounts,
        [
            ("/nail/etc", "/nail/etc", true),
            (SANDBOX, "/var/lib/paasta/sandboxes/r17-4", false)
        ]
    );
}

#[test]
fn cmd_runs_in_a_shell_and_args_go_to_the_entrypoint() {
    let cmd = composed(|spec| spec.cmd = Some("exec serve -p $PORT".to_owned()));
    assert_eq!(
        (cmd.entrypoint, cmd.command),
        (
            vec!["/bin/sh".to_owned()],
            vec!["-c".to_owned(), "exec serve -p $PORT".to_owned()]
        )
    );
    let args = composed(|spec| spec.args = vec!["worker".to_owned()]);
    assert_eq!(
        (args.entrypoint.len(), args.command),
        (0, vec!["worker".to_owned()])
    );
    let limits = composed(|spec| {
        let limit = Ulimit {
            soft: 1024,
            hard: None,
        };
        spec.ulimits.insert("nofile".to_owned(), limit);
    });
    assert_eq!(limits.ulimits["nofile"].soft, 1024);
    assert_eq!(limits.stop_grace_ms, 30_000);
}
