//! Every field of an instance: what it accepts, its default, and how it refuses.

use paasta_common::{
    app::{NetworkMode, Operator},
    soa::{InstanceConfig, marathon::INSTANCE},
    typo,
};

use crate::{main_with, marathon, name, said};

/// Checks that the lines are accepted and give what `expected` says.
fn accepts(lines: &str, expected: impl Fn(&InstanceConfig) -> bool) {
    let config = main_with(lines).unwrap_or_else(|problems| panic!("{lines}: {problems:?}"));
    assert!(expected(&config), "{lines}: {config:?}");
}

/// Checks that the lines are refused with exactly these problems, each beginning with its place.
fn refuses(lines: &str, expected: &[&str]) {
    let problems = main_with(lines).expect_err(lines);
    let said = said(&problems);
    assert_eq!(said.len(), expected.len(), "{lines}: {said:#?}");
    for (line, expected) in said.iter().zip(expected) {
        assert!(line.starts_with(expected), "{lines}:\n{line}\n{expected}");
    }
}

#[test]
fn defaults_are_paastas() {
    let found = main_with("cpus: 0.25").unwrap();
    assert_eq!(
        (found.cpus, found.mem, found.disk, found.gpus),
        (0.25, 1024.0, 1024.0, 0)
    );
    assert_eq!((found.instances, found.max_instances), (1, None));
    assert_eq!((found.cpu_burst_add, found.cfs_period_us), (1.0, 100_000));
    assert_eq!(found.deploy_group, "prod.main");
    assert_eq!((found.cmd, found.args.len(), found.env.len()), (None, 0, 0));
    assert_eq!(found.health.max_consecutive_failures, 30);
    assert_eq!(
        (
            found.health.grace_ms,
            found.health.interval_ms,
            found.health.timeout_ms
        ),
        (60_000, 10_000, 10_000)
    );
    assert_eq!((found.backoff_factor, found.backoff_max_ms), (2, 300_000));
    assert_eq!(found.registrations, ["web.main"]);
    assert_eq!(
        (found.net, found.container_port, found.host_port),
        (NetworkMode::Bridge, 8888, 0)
    );
    assert_eq!(found.placement.pool, "default");
    assert_eq!(found.replication_threshold, 50);
}

#[test]
fn amounts_have_bounds() {
    accepts("cpus: 0.1", |found| found.cpus == 0.1);
    refuses("cpus: 0", &["2:9: main.cpus: must be more than 0"]);
    refuses("cpus: -1", &["2:9: main.cpus: must be more than 0"]);
    refuses(
        "cpus: '1'",
        &["2:9: main.cpus: expected a number, found the text \"1\""],
    );
    accepts("mem: 32.5", |found| found.mem == 32.5);
    refuses("mem: 32", &["2:8: main.mem: must be more than 32"]);
    refuses("mem: -100", &["2:8: main.mem: must be more than 32"]);
    refuses("mem: 1G", &["2:8: main.mem: expected a number"]);
    accepts("disk: 1", |found| found.disk == 1.0);
    refuses("disk: 0", &["2:9: main.disk: must be more than 0"]);
    accepts("gpus: 0", |found| found.gpus == 0);
    refuses("gpus: 0.5", &["2:9: main.gpus: expected a whole number"]);
    refuses("gpus: -1", &["2:9: main.gpus: must be at least 0"]);
    accepts("cfs_period_us: 1000", |found| found.cfs_period_us == 1000);
    refuses(
        "cfs_period_us: 999",
        &["2:18: main.cfs_period_us: must be at least 1000"],
    );
    refuses(
        "cfs_period_us: 1000001",
        &["2:18: main.cfs_period_us: must be at least 1000"],
    );
    accepts("cpu_burst_add: 0", |found| found.cpu_burst_add == 0.0);
    refuses(
        "cpu_burst_add: -1",
        &["2:18: main.cpu_burst_add: must be at least 0"],
    );
    accepts("cpus: 2\ncpu_burst_pct: 50", |found| {
        found.cpu_burst_add == 1.0
    });
    accepts("replication_threshold: 0", |found| {
        found.replication_threshold == 0
    });
    refuses(
        "replication_threshold: 101",
        &["2:26: main.replication_threshold: must be at least 0"],
    );
}

#[test]
fn counts_are_whole() {
    accepts("instances: 0", |found| found.instances == 0);
    refuses(
        "instances: -1",
        &["2:14: main.instances: must be at least 0"],
    );
    refuses(
        "instances: three",
        &["2:14: main.instances: expected a whole number, found the text \"three\""],
    );
    refuses(
        "instances: 1.0",
        &["2:14: main.instances: expected a whole number"],
    );
    accepts("min_instances: 2\nmax_instances: 5", |found| {
        found.max_instances == Some(5)
    });
    refuses(
        "min_instances: -1",
        &["2:18: main.min_instances: must be at least 0"],
    );
    refuses(
        "max_instances: x",
        &["2:18: main.max_instances: expected a whole number"],
    );
    accepts("backoff_factor: 3", |found| found.backoff_factor == 3);
    refuses(
        "backoff_factor: 0",
        &["2:19: main.backoff_factor: must be at least 1"],
    );
    accepts("max_launch_delay_seconds: 5", |found| {
        found.backoff_max_ms == 5_000
    });
    refuses(
        "max_launch_delay_seconds: 0",
        &["2:29: main.max_launch_delay_seconds: must be at least 1"],
    );
}

#[test]
fn a_container_has_a_command_or_arguments() {
    accepts("cmd: sleep 1", |found| {
        found.cmd.as_deref() == Some("sleep 1")
    });
    accepts("args: [a, '1']", |found| found.args == ["a", "1"]);
    refuses(
        "cmd: x\nargs: [y]",
        &["3:9: main.args: cmd and args exclude each other"],
    );
    refuses(
        "args: [a, 1]",
        &["2:13: main.args[1]: expected text, found the number 1: put it in quotes"],
    );
    refuses("args: a", &["2:9: main.args: expected a list"]);
    refuses("cmd: 5", &["2:8: main.cmd: expected text"]);
}

#[test]
fn the_environment_is_text() {
    accepts("env: {A_1: x, _b: 'on'}", |found| found.env["_b"] == "on");
    refuses("env:\n  1A: x", &["3:5: main.env.1A: use letters"]);
    refuses("env:\n  A-B: x", &["3:5: main.env.A-B: use letters"]);
    refuses(
        "env:\n  A: 8888\n  B: on\n  C: [x]",
        &[
            "3:8: main.env.A: expected text, found the number 8888: put it in quotes",
            "4:8: main.env.B: expected text, found the boolean true: put it in quotes",
            "5:8: main.env.C: expected text, found a list",
        ],
    );
    refuses("env: [x]", &["2:8: main.env: expected a map"]);
    let warned = marathon("main:\n  env: {A: SECRET(key), B: SHARED_SECRET(k-2), C: SECRET}\n");
    let said = said(&warned.problems);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with("2:12: main.env.A: secrets are not decrypted"),
        "{said:?}"
    );
    assert!(warned.instances[&name("main")].is_ok());
}

#[test]
fn health_checks_need_what_their_mode_needs() {
    accepts("healthcheck_mode: cmd\nhealthcheck_cmd: 'true'", |found| {
        found.health.command.as_deref() == Some("true")
    });
    accepts("healthcheck_mode: tcp", |found| {
        found.health.command.is_none()
    });
    refuses(
        "healthcheck_mode: cmd",
        &["2:21: main.healthcheck_mode: mode cmd needs healthcheck_cmd"],
    );
    refuses(
        "healthcheck_cmd: x",
        &["2:20: main.healthcheck_cmd: is used with healthcheck_mode: cmd only"],
    );
    refuses(
        "healthcheck_mode: htp",
        &["2:21: main.healthcheck_mode: expected one of cmd, tcp, http, https"],
    );
    accepts("healthcheck_uri: /health", |found| {
        found.health.uri.as_deref() == Some("/health")
    });
    refuses(
        "healthcheck_uri: health",
        &["2:20: main.healthcheck_uri: must begin with '/'"],
    );
    for (field, column) in [
        ("healthcheck_grace_period_seconds", 37),
        ("healthcheck_interval_seconds", 33),
        ("healthcheck_timeout_seconds", 32),
        ("healthcheck_max_consecutive_failures", 41),
    ] {
        accepts(&format!("{field}: 0"), |_| true);
        let place = format!("2:{column}: main.{field}: must be at least 0");
        refuses(&format!("{field}: -1"), &[&place]);
    }
    refuses(
        "healthcheck_max_consecutive_failures: 1.5",
        &["2:41: main.healthcheck_max_consecutive_failures: expected a whole number"],
    );
}

#[test]
fn networks_and_ports_are_checked() {
    accepts("net: host\nhost_port: 31000", |found| {
        (found.net.clone(), found.host_port) == (NetworkMode::Host, 31_000)
    });
    accepts("net: none", |found| found.net == NetworkMode::None);
    accepts("net: my_net-1", |found| {
        found.net == NetworkMode::Named("my_net-1".to_owned())
    });
    refuses(
        "net: container:abc",
        &["2:8: main.net: expected bridge, host, none or the name"],
    );
    refuses(
        "host_port: 65536",
        &["2:14: main.host_port: must be at least 0 and at most 65535"],
    );
    refuses(
        "host_port: -1",
        &["2:14: main.host_port: must be at least 0"],
    );
    accepts("container_port: 80", |found| found.container_port == 80);
    refuses(
        "container_port: 0",
        &["2:19: main.container_port: must be at least 1"],
    );
}

#[test]
fn registrations_are_services_and_namespaces() {
    accepts("registrations: [web.main, other.api]", |found| {
        found.registrations == ["web.main", "other.api"]
    });
    accepts("nerve_ns: canary", |found| {
        found.registrations == ["web.canary"]
    });
    accepts("nerve_ns: canary\nregistrations: [web.main]", |found| {
        found.registrations == ["web.main"]
    });
    refuses(
        "registrations: [main]",
        &["2:19: main.registrations[0]: must be of the form SERVICE.NAMESPACE"],
    );
    refuses(
        "registrations: [web.a, web.a]",
        &[
            "2:18: main.registrations: there is no namespace \"a\" in web/smartstack.yaml",
            "2:26: main.registrations[1]: is there already, at line 2",
        ],
    );
    refuses(
        "nerve_ns: a.b",
        &["2:13: main.nerve_ns: \"web.a.b\" is not of the form"],
    );
}

#[test]
fn constraints_are_attribute_operator_and_value() {
    accepts(
        "constraints: [[habitat, GROUP_BY, 2], [hostname, UNIQUE]]\nextra_constraints: [[region, LIKE, 'us.*']]",
        |found| {
            let own = found.placement.constraints.as_ref().unwrap();
            own[0].operator == Operator::GroupBy
                && own[0].value.as_deref() == Some("2")
                && own[1].value.is_none()
                && found.placement.extra_constraints[0].operator == Operator::Like
        },
    );
    accepts("constraints: []", |found| {
        found.placement.constraints == Some(vec![])
    });
    for (constraint, reason) in [
        ("[a]", "expected [attribute, OPERATOR, value]"),
        ("a", "expected [attribute, OPERATOR, value]"),
        ("[a, LIKE, b, c]", "expected [attribute, OPERATOR, value]"),
        ("[a, [LIKE], b]", "expected [attribute, OPERATOR, value]"),
        (
            "[a, LIK, b]",
            "operator \"LIK\" is not one of UNIQUE, CLUSTER",
        ),
        ("[a, LIKE]", "LIKE needs a regular expression"),
        ("[a, UNLIKE, '(']", "\"(\" is not a regular expression"),
        ("[a, UNIQUE, x]", "UNIQUE takes no value"),
        ("[a, MAX_PER]", "MAX_PER needs a number"),
        ("[a, MAX_PER, x]", "MAX_PER needs a number"),
        ("[a, GROUP_BY, 0]", "GROUP_BY takes a number"),
    ] {
        let expected = format!("2:17: main.constraints[0]: {reason}");
        refuses(&format!("constraints: [{constraint}]"), &[&expected]);
    }
    refuses(
        "constraints: [[a, UNIQUE], [a, UNIQUE]]",
        &["2:30: main.constraints[1]: is there already, at line 2"],
    );
}

#[test]
fn deploy_lists_have_their_shapes() {
    accepts(
        "deploy_blacklist: [[region, us], [habitat, west]]",
        |found| found.placement.blacklist.len() == 2,
    );
    accepts("deploy_whitelist: [region, [us, eu]]", |found| {
        found.placement.whitelist.as_ref().unwrap().values == ["us", "eu"]
    });
    accepts("deploy_whitelist: []", |found| {
        found.placement.whitelist.is_none()
    });
    refuses(
        "deploy_blacklist: [[region]]",
        &["2:22: main.deploy_blacklist[0]: expected [type, location]"],
    );
    refuses(
        "deploy_whitelist: [region, us]",
        &["2:21: main.deploy_whitelist: expected [type, [location"],
    );
    refuses(
        "deploy_whitelist: [region, []]",
        &["2:21: main.deploy_whitelist: expected [type, [location"],
    );
    refuses(
        "deploy_blacklist: [[a, '(']]",
        &["2:22: main.deploy_blacklist: \"(\" is not a regular"],
    );
    refuses(
        "deploy_whitelist: [a, ['(']]",
        &["2:21: main.deploy_whitelist: \"(\" is not a regular"],
    );
    refuses("pool: 5", &["2:9: main.pool: expected text"]);
}

#[test]
fn volumes_limits_and_capabilities_cannot_reach_beyond_their_shape() {
    accepts(
        "extra_volumes: [{containerPath: /a, hostPath: /b, mode: RO}]",
        |found| found.extra_volumes[0].volume.read_only,
    );
    refuses(
        "extra_volumes:\n- {containerPath: /a, hostPath: /b}",
        &["3:5: main.extra_volumes[0].mode: is missing"],
    );
    for path in ["b", "/a/../etc", "/a:/etc", "/a,b", "/./a"] {
        let lines =
            format!("extra_volumes:\n- {{containerPath: /a, hostPath: '{path}', mode: RO}}");
        refuses(
            &lines,
            &["3:35: main.extra_volumes[0].hostPath: must be an absolute path"],
        );
    }
    refuses(
        "extra_volumes:\n- {containerPath: /a, hostPath: /b, mode: RO}\n- {containerPath: /a, hostPath: /b, mode: RO}",
        &["4:5: main.extra_volumes[1]: is there already, at line 3"],
    );
    accepts(
        "ulimit: {nofile: {soft: 1024, hard: 2048}, core: {soft: 0}}",
        |found| found.ulimits["nofile"].hard == Some(2048) && found.ulimits["core"].soft == 0,
    );
    refuses(
        "ulimit: {nofile: {hard: 1}}",
        &["2:12: main.ulimit.nofile.soft: is missing"],
    );
    refuses(
        "ulimit: {nofile: 1}",
        &["2:20: main.ulimit.nofile: expected a map"],
    );
    accepts("cap_add: [CAP_SYS_NICE]", |found| {
        found.cap_add == ["SYS_NICE"]
    });
    accepts("cap_add: [CAP_KILL, KILL]", |found| {
        found.cap_add == ["KILL"]
    });
    refuses(
        "cap_add: [SYS_ADMN]",
        &["2:12: main.cap_add: \"SYS_ADMN\" is no capability; allowed to all are"],
    );
    accepts("extra_docker_args: {}", |_| true);
    refuses(
        "extra_docker_args: {privileged: 'true'}",
        &["2:35: main.extra_docker_args.privileged: is refused, as it could make"],
    );
    accepts("extra_docker_args: {dns: 10.0.0.2}", |found| {
        found.docker.dns == ["10.0.0.2"]
    });
}

#[test]
fn a_firewall_has_one_of_two_modes() {
    refuses(
        "security: {outbound_firewall: deny}",
        &["2:33: main.security.outbound_firewall: expected one of block, monitor"],
    );
    accepts(
        "security: {outbound_firewall: monitor}\ndependencies_reference: main",
        |_| true,
    );
}

/// paasta-tools 0.92.1 runs all of these.
#[test]
fn what_paasta_ignores_is_a_warning_that_names_the_key() {
    for (lines, expected) in [
        (
            "healthcheck_mode: http\nhealthcheck_cmd: x",
            "3:20: main.healthcheck_cmd: is ignored",
        ),
        (
            "drain_method: noop\ndrain_method_params: {hacheck_port: 6666}",
            "3:25: main.drain_method_params.hacheck_port: is ignored",
        ),
        (
            "drain_method: hacheck\ndrain_method_params: {delai: 1}",
            "3:25: main.drain_method_params.delai: is ignored: it is no parameter of drain_method \
             hacheck, whose are delay, expiration, hacheck_port; did you mean \"delay\"?",
        ),
        (
            "drain_method: test\ndrain_method_params: {bogus: 1}",
            "3:25: main.drain_method_params.bogus: is ignored",
        ),
        (
            "security: {outbound_firewall: block}",
            "2:13: main.security: outbound_firewall is ignored",
        ),
        (
            "registrations: []",
            "2:18: main.registrations: is empty, which counts as not given",
        ),
        (
            "deploy_blacklist: [[region, us], [region, us]]",
            "2:36: main.deploy_blacklist: \"region: us\" is ignored: it is in the list already",
        ),
    ] {
        let indented: String = lines.lines().map(|line| format!("  {line}\n")).collect();
        let load = marathon(&format!("main:\n{indented}"));
        let config = load.instances[&name("main")].as_ref().expect(lines);
        assert_eq!(config.health.command, None, "{lines}");
        assert_eq!(config.registrations, ["web.main"], "{lines}");
        assert!(config.placement.blacklist.len() <= 1, "{lines}");
        let said = said(&load.problems);
        let found = said.iter().any(|line| line.starts_with(expected));
        assert!(found, "{lines}: {said:#?}");
    }
    accepts("registrations: []\nnerve_ns: canary", |found| {
        found.registrations == ["web.canary"]
    });
}

#[test]
fn what_has_no_meaning_here_is_accepted_in_silence() {
    let lines = "accepted_resource_roles: [a]\nrole: x\nmarathon_shard: 1\n\
                 previous_marathon_shards: [1]\nbounce_priority: -1\nautoscaling: {setpoint: 0.5}\n\
                 monitoring_blacklist: [[region, us]]\nbranch: old";
    let indented: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    let load = marathon(&format!("main:\n{indented}"));
    assert!(load.all_problems().is_empty(), "{:?}", load.all_problems());
}

#[test]
fn every_field_is_missed_by_one_letter_and_found_again() {
    for field in INSTANCE.keys() {
        let typed = format!("{field}x");
        let line = format!("2:3: main.{typed}: unknown field; did you mean \"{field}\"?");
        refuses(&format!("{typed}: 1"), &[&line]);
        assert_eq!(typo::close_matches(&typed, INSTANCE.keys())[0], field);
    }
}

#[test]
fn all_faults_are_said_at_once_in_the_order_of_the_file() {
    refuses(
        "cpus: 0\nmen: 5\ninstances: x\nbounce_method: upthendwn",
        &[
            "2:9: main.cpus",
            "3:3: main.men",
            "4:14: main.instances",
            "5:18: main.bounce_method",
        ],
    );
}
