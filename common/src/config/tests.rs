//! The system configuration: defaults, bounds, names.

use super::*;
use crate::{disk::DiskLimits, overcommit::Overcommit, problem::Severity, soa::yaml};

fn decode(text: &str) -> (SystemConfig, Vec<String>) {
    let (config, problems) = SystemConfig::decode(&yaml::parse("p.yaml", text).unwrap());
    let lines = problems.iter().map(|problem| {
        let word = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        format!("{word} {problem}")
    });
    (config, lines.collect())
}

#[test]
fn nothing_configured_is_the_documented_defaults() {
    let (config, problems) = decode("");
    assert_eq!((&config, problems.len()), (&SystemConfig::default(), 0));
    assert_eq!(config.soa_dir, "/nail/etc/services");
    assert_eq!(config.sensu_host.as_deref(), Some("localhost"));
    assert_eq!(
        (config.alerts.after_seconds, config.alerts.log),
        (120, true)
    );
    assert_eq!(config.alerts.webhook, None);
    assert_eq!(config.agent.port_range, (31_000, 32_000));
    assert_eq!(config.agent.pool, "default");
    assert_eq!(config.coordinator.advertise, config.coordinator.listen);
    assert_eq!(config.cli.coordinators, [COORDINATOR_LISTEN_DEFAULT]);
    assert_eq!(config.auto_hostname_unique_size, -1);
    assert!(config.allowed_extra_volumes.is_empty());
    let error = config.require_cluster().unwrap_err().to_string();
    assert!(error.contains("cluster: is not set"), "{error}");
}

#[test]
fn paastas_keys_are_read_as_paasta_reads_them() {
    let (config, problems) = decode(
        "
cluster: prod
clusters: [prod, dev]
docker_registry: registry:443
volumes:
- {hostPath: /nail/etc, containerPath: /nail/etc, mode: RO}
zookeeper: zk://zk1:2181/mesos
deployd_number_workers: 4
sensu_host: null
deploy_blacklist: [[habitat, west]]
deploy_whitelist: [region, [us, eu]]
expected_slave_attributes: [{region: us}, {region: eu}]
",
    );
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(config.require_cluster().unwrap().as_str(), "prod");
    assert_eq!(config.clusters.len(), 2);
    assert!(config.volumes[0].read_only);
    assert_eq!(config.sensu_host, None);
    assert_eq!(config.deploy_blacklist[0].value, "west");
    assert_eq!(config.deploy_whitelist.unwrap().values, ["us", "eu"]);
    assert_eq!(config.expected_slave_attributes.unwrap()[1]["region"], "eu");
}

#[test]
fn off_is_off_with_or_without_quotes() {
    for text in ["off", "'off'", "no"] {
        let text = format!("agent: {{http_listen: {text}}}\ncoordinator: {{http_listen: {text}}}");
        let (config, problems) = decode(&text);
        assert!(problems.is_empty(), "{problems:?}");
        let found = [config.agent.http_listen, config.coordinator.http_listen];
        assert_eq!(found, ["off", "off"]);
    }
    for text in ["on", "localhost:80", "7402", "'no'", "127.0.0.1"] {
        let (_, problems) = decode(&format!("agent: {{http_listen: {text}}}"));
        assert!(
            problems.len() == 1
                && problems[0].contains("agent.http_listen: expected IP:PORT, or off"),
            "{problems:?}"
        );
    }
}

#[test]
fn disk_limits_are_one_of_three_and_off_needs_no_quotes() {
    for (text, expected) in [
        ("{}", DiskLimits::Watch),
        ("{disk_limits: watch}", DiskLimits::Watch),
        ("{disk_limits: storage-driver}", DiskLimits::StorageDriver),
        ("{disk_limits: off}", DiskLimits::Off),
        ("{disk_limits: 'off'}", DiskLimits::Off),
    ] {
        let (config, problems) = decode(&format!("agent: {text}"));
        assert!(problems.is_empty(), "{text}: {problems:?}");
        assert_eq!(config.agent.disk_limits, expected, "{text}");
        assert_eq!(config.agent.disk_look_seconds, 60);
    }
    for (text, expected) in [
        ("disk_limits: on", "expected watch, storage-driver or off"),
        ("disk_limits: hard", "expected watch, storage-driver or off"),
        ("disk_look_seconds: 4", "disk_look_seconds"),
        ("disk_look_seconds: 3601", "disk_look_seconds"),
    ] {
        let (_, problems) = decode(&format!("agent: {{{text}}}"));
        let named = problems.len() == 1 && problems[0].contains(expected);
        assert!(named, "{text}: {problems:?}");
    }
}

#[test]
fn a_registry_is_what_docker_takes_for_one() {
    let (config, problems) = decode("docker_registry: r.example.com:5000/team/");
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(
        config.docker_registry.as_deref(),
        Some("r.example.com:5000/team")
    );
    for text in [
        "'https://r'",
        "r:5000/Team",
        "'r x'",
        "r_1:5000",
        "r:5000:a",
        "'-r.x'",
    ] {
        let (config, problems) = decode(&format!("docker_registry: {text}"));
        assert_eq!(config.docker_registry, None);
        assert!(
            problems.len() == 1 && problems[0].contains("docker_registry: must be HOST[:PORT]"),
            "{problems:?}"
        );
    }
}

#[test]
fn what_authors_may_ask_for_has_ceilings() {
    let (config, problems) =
        decode("allowed_cap_add: [CAP_SYS_NICE, SYS_NICE]\nmax_ulimits: {nofile: 10, nproc: -1}\n");
    assert!(problems.is_empty(), "{problems:?}");
    let limits = &config.authors;
    assert_eq!(limits.cap_add, ["SYS_NICE"]);
    assert!(limits.allows("SYS_NICE") && limits.allows("CHOWN") && !limits.allows("SYS_ADMIN"));
    assert_eq!((limits.host_network, limits.shm_bytes), (false, 1 << 30));
    for (name, value, ceiling) in [
        ("nofile", 10, None),
        ("nofile", 11, Some(10)),
        ("nofile", -1, Some(10)),
        ("nproc", -1, None),
        ("rtprio", 1, Some(0)),
        ("memlock", -1, None),
    ] {
        assert_eq!(limits.below(name, value), ceiling, "{name} {value}");
    }
    let (_, problems) = decode("allowed_cap_add: [ALL]\nmax_ulimits: {files: 1}");
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn unknown_keys_are_warnings_with_what_was_meant() {
    let (_, problems) = decode("clustr: prod\nagent:\n  pol: gpu\n");
    assert_eq!(
        problems,
        [
            "warning p.yaml:1:1: clustr: unknown field; did you mean \"cluster\"?",
            "warning p.yaml:3:3: agent.pol: unknown field; did you mean \"pool\"?",
        ]
    );
}

#[test]
fn wrong_values_are_errors_with_file_line_and_key() {
    for (text, expected) in [
        (
            "cluster: a/b",
            "p.yaml:1:10: cluster: use letters, digits, '_' and '-' for a cluster's name",
        ),
        (
            "cluster: 5",
            "p.yaml:1:10: cluster: expected text, found the number 5",
        ),
        (
            "coordinator: {node_id: 0}",
            "coordinator.node_id: must be at least 1",
        ),
        (
            "coordinator: {lease_ms: 1}",
            "coordinator.lease_ms: must be at least 500",
        ),
        (
            "coordinator: {heartbeat_ms: 150}",
            "at least twice heartbeat_ms (150)",
        ),
        (
            "coordinator: {election_timeout_max_ms: 200}",
            "election_timeout_max_ms (200) must be more than election_timeout_min_ms (200)",
        ),
        ("coordinator: {mass_failure_percent: 101}", "at most 100"),
        (
            "agent: {port_range: [2, 1]}",
            "agent.port_range: expected [FIRST, LAST]",
        ),
        (
            "agent: {port_range: [1, 2, 3]}",
            "agent.port_range: expected [FIRST, LAST]",
        ),
        (
            "agent: {port_range: [1, 65536]}",
            "agent.port_range: expected [FIRST, LAST]",
        ),
        ("agent: {cpus: 0}", "agent.cpus: must be more than 0"),
        (
            "agent: {host_id: a b}",
            "agent.host_id: use letters, digits, '.', '_' and '-' for a host's id",
        ),
        (
            "agent: {attributes: {region: 5}}",
            "agent.attributes.region: expected text",
        ),
        ("agent: []", "agent: expected a map, found a list"),
        (
            "alerts: {command: [notify, me]}",
            "alerts.command: expected [PROGRAM, ARGUMENT, ...], the program by its absolute path",
        ),
        (
            "alerts: {webhook: \"https://x/y\"}",
            "alerts.webhook: must be an http:// URL",
        ),
        (
            "volumes: [{hostPath: /a, containerPath: b, mode: RO}]",
            "volumes[0].containerPath",
        ),
        (
            "volumes: [{hostPath: /a, containerPath: /b}]",
            "volumes[0].mode: is missing",
        ),
        (
            "deploy_blacklist: [[a]]",
            "deploy_blacklist[0]: expected [type, location]",
        ),
        (
            "allowed_extra_volumes: [data]",
            "allowed_extra_volumes[0]: must be an absolute path without '..'",
        ),
        (
            "cluster: a\ncluster: b\n",
            "cluster: given twice: first at line 1, again at line 2",
        ),
    ] {
        let (_, problems) = decode(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        let line = &problems[0];
        assert!(
            line.starts_with("error ") && line.contains(expected),
            "{text}: {line}"
        );
    }
}

#[test]
fn every_key_can_be_listed() {
    let keys = SystemConfig::keys();
    for key in [
        "cluster",
        "agent",
        "agent.port_range",
        "coordinator.lease_ms",
        "cli.coordinators",
    ] {
        assert!(keys.iter().any(|one| one == key), "{key}");
    }
}

#[test]
fn pools_are_multiplied_in_thousandths_and_what_is_wrong_is_named() {
    let text = "pools:\n  batch: {overcommit: {cpus: 2, mem: 0.8}}\n  default: {overcommit: {cpus: 1}}\n  odd: {overcommit: {cpus: 0, dsk: 2}, size: 3}\n  worse: 7\n";
    let (config, problems) = decode(text);
    let factors = Overcommit {
        cpus_milli: 2_000,
        mem_milli: 800,
        disk_milli: 1_000,
    };
    assert_eq!(config.pools, Pools::from([("batch".to_owned(), factors)]));
    for expected in [
        "pools.odd.overcommit.cpus",
        "pools.odd.overcommit.dsk",
        "pools.odd.size",
        "pools.worse: expected a map",
    ] {
        assert!(
            problems.iter().any(|one| one.contains(expected)),
            "{expected}: {problems:#?}"
        );
    }
}

#[test]
fn tls_is_three_files_by_absolute_paths() {
    let (config, problems) = decode("coordinator: {tls: {ca: /a, certificate: /b, key: /c}}\n");
    assert!(problems.is_empty(), "{problems:?}");
    let tls = config.coordinator.tls.unwrap();
    let files = [&*tls.ca, &*tls.certificate, &*tls.key];
    assert_eq!(files, ["/a", "/b", "/c"]);
    assert_eq!(config.agent.tls, None);
    for (tls, expected) in [
        ("{ca: /a, certificate: /b}", "agent.tls.key"),
        ("{ca: a, certificate: /b, key: /c}", "agent.tls.ca"),
        ("{}", "agent.tls.certificate"),
        ("/etc/tls", "agent.tls"),
    ] {
        let (config, problems) = decode(&format!("agent: {{tls: {tls}}}\n"));
        let named = problems
            .iter()
            .any(|one| one.starts_with("error ") && one.contains(expected));
        assert!(named, "{tls}: {problems:?}");
        assert!(config.agent.tls.is_some(), "{tls} is no plain text");
    }
}
