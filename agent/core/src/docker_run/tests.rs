//! Words for words.

use std::collections::BTreeMap;

use paasta_common::{
    app::{DockerArgs, Ulimit, Volume},
    container::PortBinding,
};

use super::*;

fn spec() -> ContainerSpec {
    ContainerSpec {
        name: "paasta-hello.main-r1-1".to_owned(),
        image: "registry:5000/services-hello:paasta-3f2a9c0d".to_owned(),
        hostname: Some("web1-r1-1".to_owned()),
        entrypoint: Vec::new(),
        command: vec!["-v".to_owned()],
        env: BTreeMap::from([("A".to_owned(), "b c".to_owned())]),
        labels: BTreeMap::from([("paasta_service".to_owned(), "hello".to_owned())]),
        working_dir: "/mnt/mesos/sandbox".to_owned(),
        cpu_shares: 256,
        cpu_period_us: 100_000,
        cpu_quota_us: 125_000,
        memory_bytes: 0,
        memory_swap_bytes: 0,
        disk_limit_mb: 0,
        gpus: 0,
        network: NetworkMode::None,
        ports: Vec::new(),
        mounts: Vec::new(),
        cap_add: Vec::new(),
        cap_drop: vec!["CHOWN".to_owned()],
        ulimits: BTreeMap::new(),
        pids_limit: 0,
        new_privileges: false,
        docker: DockerArgs::default(),
        stop_grace_ms: 1_500,
        log_max_bytes: 4_096,
        log_max_files: 2,
    }
}

#[test]
fn a_small_container_takes_no_more_flags_than_it_needs() {
    let words = docker_run(&spec());
    assert_eq!(
        words,
        [
            "docker",
            "run",
            "--name=paasta-hello.main-r1-1",
            "--hostname=web1-r1-1",
            "--workdir=/mnt/mesos/sandbox",
            "--env=A=b c",
            "--label=paasta_service=hello",
            "--restart=no",
            "--init",
            "--stop-timeout=2",
            "--cpu-shares=256",
            "--cpu-period=100000",
            "--cpu-quota=125000",
            "--network=none",
            "--cap-drop=CHOWN",
            "--security-opt=no-new-privileges",
            "--log-driver=json-file",
            "--log-opt=max-size=4096",
            "--log-opt=max-file=2",
            "registry:5000/services-hello:paasta-3f2a9c0d",
            "-v",
        ]
    );
}

#[test]
fn every_other_field_has_its_flag() {
    let words = |text: &str| vec![text.to_owned()];
    let full = ContainerSpec {
        hostname: None,
        entrypoint: vec!["/bin/sh".to_owned(), "-e".to_owned()],
        command: vec!["-c".to_owned(), "exec serve".to_owned()],
        memory_bytes: 64 << 20,
        memory_swap_bytes: 128 << 20,
        disk_limit_mb: 1024,
        gpus: 2,
        network: NetworkMode::Named("blue".to_owned()),
        ports: vec![PortBinding {
            container_port: 8888,
            host_port: 31_000,
        }],
        mounts: vec![Volume {
            container_path: "/nail/etc".to_owned(),
            host_path: "/etc/nail".to_owned(),
            read_only: true,
        }],
        cap_add: words("KILL"),
        ulimits: BTreeMap::from([(
            "nofile".to_owned(),
            Ulimit {
                soft: 1024,
                hard: None,
            },
        )]),
        pids_limit: 100,
        new_privileges: true,
        docker: DockerArgs {
            add_hosts: words("db:10.0.0.1"),
            dns: words("10.0.0.2"),
            dns_options: words("ndots:1"),
            dns_search: words("example.com"),
            labels: BTreeMap::new(),
            read_only: true,
            shm_bytes: 4096,
            stop_signal: Some("SIGINT".to_owned()),
            user: Some("nobody".to_owned()),
        },
        ..spec()
    };
    let typed = docker_run(&full);
    for flag in [
        "--entrypoint=/bin/sh",
        "--memory=67108864",
        "--memory-swap=134217728",
        "--gpus=2",
        "--storage-opt=size=1024m",
        "--network=blue",
        "--publish=31000:8888/tcp",
        "--volume=/etc/nail:/nail/etc:ro",
        "--cap-add=KILL",
        "--ulimit=nofile=1024:1024",
        "--pids-limit=100",
        "--add-host=db:10.0.0.1",
        "--dns=10.0.0.2",
        "--dns-option=ndots:1",
        "--dns-search=example.com",
        "--read-only",
        "--shm-size=4096",
        "--stop-signal=SIGINT",
        "--user=nobody",
    ] {
        assert!(typed.iter().any(|word| word == flag), "{flag}: {typed:?}");
    }
    let absent = ["--hostname", "--security-opt"];
    assert!(
        !typed
            .iter()
            .any(|word| absent.iter().any(|flag| word.starts_with(flag)))
    );
    let last = &typed[typed.len() - 4..];
    assert_eq!(last, [full.image.as_str(), "-e", "-c", "exec serve"]);
}
