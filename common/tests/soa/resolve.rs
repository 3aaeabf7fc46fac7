//! Declared, deployed and configured, brought together.

use paasta_common::{
    app::{Constraint, HealthCheck, Operator, Probe},
    config::SystemConfig,
    deployments::Deployment,
    id::InstanceId,
    problem::{Problem, Rule},
    soa,
    spec::{Autoscaling, DesiredState, DrainMethod, InstanceSpec},
};

use crate::{cluster, name, said, service, system, write};

const SHA: &str = "3f2a9c0d1e2b4a5968778695a4b3c2d1e0f1a2b3";
const SYSTEM: &str = "cluster: prod\ndocker_registry: registry:443\n";

fn deployment() -> Deployment {
    Deployment {
        docker_image: format!("services-web:paasta-{SHA}"),
        git_sha: SHA.to_owned(),
        desired_state: DesiredState::Start,
        force_bounce: None,
    }
}

fn id() -> InstanceId {
    InstanceId::new(service(), name("main"))
}

/// Resolves `main` of these files; the marathon file's first line is `main:`.
fn resolve_in(
    files: &[(&str, &str)],
    deployment: &Deployment,
    system: &SystemConfig,
) -> Result<InstanceSpec, Vec<Problem>> {
    let (root, soa) = crate::soa(&[("web/monitoring.yaml", "team: websters\n")]);
    for (name, text) in files {
        write(root.path(), name, text);
    }
    let load = soa.load(&service(), &cluster(), system);
    let config = load.instances[&name("main")]
        .as_ref()
        .expect("declared well");
    soa::resolve(&id(), config, deployment, system)
}

pub(crate) fn resolve(lines: &str, more: &str) -> Result<InstanceSpec, Vec<Problem>> {
    let indented: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    let marathon = format!("main:\n  backoff_factor: 2\n{indented}");
    let files = [("web/marathon-prod.yaml", marathon.as_str())];
    resolve_in(&files, &deployment(), &system(&format!("{SYSTEM}{more}")))
}

/// With a namespace for `main`.
fn announced(lines: &str, smartstack: &str) -> Result<InstanceSpec, Vec<Problem>> {
    let indented: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    let marathon = format!("main:\n  cpus: 1\n{indented}");
    let namespace = format!("main: {smartstack}\n");
    let files = [
        ("web/marathon-prod.yaml", marathon.as_str()),
        ("web/smartstack.yaml", namespace.as_str()),
    ];
    resolve_in(&files, &deployment(), &system(SYSTEM))
}

#[test]
fn a_plain_instance_is_resolved_whole() {
    let spec = resolve("cpus: 0.1\nmem: 100.5\nenv: {A: b}", "").unwrap();
    let app = &spec.app;
    assert_eq!(app.image, format!("registry:443/services-web:paasta-{SHA}"));
    assert_eq!(app.git_sha, SHA);
    assert!(
        spec.app_id
            .as_str()
            .starts_with("web.main.git3f2a9c0d.config")
    );
    assert_eq!((app.resources.cpus_milli, app.resources.mem_mb), (100, 101));
    assert_eq!((app.cpu_burst_milli, app.cfs_period_us), (1000, 100_000));
    assert_eq!(
        (app.pool.as_str(), app.constraints.len(), &app.health),
        ("default", 0, &None)
    );
    assert_eq!((spec.instances, spec.wanted()), (1, 1));
    assert_eq!(spec.team.as_deref(), Some("websters"));
    assert_eq!(spec.run.registrations, ["web.main"]);
    assert_eq!(spec.run.drain, DrainMethod::Noop);
    assert!(!spec.bounce.check_load_balancer);
    let env: Vec<String> = app
        .env
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(
        env,
        [
            "A=b".to_owned(),
            "PAASTA_CLUSTER=prod".to_owned(),
            "PAASTA_DEPLOY_GROUP=prod.main".to_owned(),
            format!("PAASTA_DOCKER_IMAGE=services-web:paasta-{SHA}"),
            "PAASTA_INSTANCE=main".to_owned(),
            "PAASTA_INSTANCE_TYPE=marathon".to_owned(),
            "PAASTA_MONITORING_TEAM=websters".to_owned(),
            "PAASTA_SERVICE=web".to_owned(),
        ]
    );
    let own = resolve("env: {PAASTA_CLUSTER: mine}", "").unwrap();
    assert_eq!(own.app.env["PAASTA_CLUSTER"], "mine");
}

#[test]
fn what_the_operator_does_not_allow_is_refused_with_the_name_of_the_setting() {
    let limit = "ulimit: {nofile: {soft: 10, hard: 2000000}}";
    for (lines, more, words) in [
        (
            "net: host",
            "allow_host_network: true",
            "allow_host_network",
        ),
        (
            "cap_add: [CAP_SYS_NICE]",
            "allowed_cap_add: [CAP_SYS_NICE, BPF]",
            "allowed_cap_add",
        ),
        (
            "extra_docker_args: {shm-size: 2g}",
            "max_shm_size_mb: 2048",
            "max_shm_size_mb",
        ),
        (limit, "max_ulimits: {nofile: 2000000}", "max_ulimits"),
        (
            "ulimit: {nproc: {soft: -1}}",
            "max_ulimits: {nproc: -1}",
            "max_ulimits",
        ),
        (
            "ulimit: {core: {soft: 0, hard: -1}}",
            "max_ulimits: {core: -1}",
            "max_ulimits",
        ),
        (
            "ulimit: {rtprio: {soft: 1}}",
            "max_ulimits: {rtprio: 5}",
            "max_ulimits",
        ),
    ] {
        let problems = resolve(lines, "").unwrap_err();
        assert_eq!(problems.len(), 1, "{lines}: {problems:?}");
        let (field, _) = lines.split_once(':').unwrap();
        let problem = &problems[0];
        assert!(
            problem.message.contains(words)
                && problem.line == Some(3)
                && problem.field == format!("main.{field}")
                && problem.rule == Rule::Forbidden,
            "{problem}"
        );
        resolve(lines, more).unwrap_or_else(|found| panic!("{lines} with {more}: {found:?}"));
    }
    for fine in [
        "ulimit: {nofile: {soft: 1048576}, memlock: {soft: -1}}",
        "extra_docker_args: {shm-size: 1g}",
        "cap_add: [CHOWN, NET_RAW]",
    ] {
        resolve(fine, "").unwrap();
    }
}

#[test]
fn the_name_of_the_image_is_one_that_docker_takes() {
    for registry in ["localhost", "r.example.com/team", "127.0.0.1:5000", "acme"] {
        let system = system(&format!("cluster: prod\ndocker_registry: {registry}/\n"));
        let files = [("web/marathon-prod.yaml", "main: {cpus: 1}\n")];
        let spec = resolve_in(&files, &deployment(), &system).unwrap();
        assert_eq!(
            spec.app.image,
            format!("{registry}/services-web:paasta-{SHA}")
        );
        for image in [
            "services-web:",
            "Services:a",
            "services-web:-a",
            "a@sha256:1",
            "../a:b",
        ] {
            let mut odd = deployment();
            odd.docker_image = image.to_owned();
            let problems = resolve_in(&files, &odd, &system).unwrap_err();
            let told = &problems[0].message;
            assert!(told.contains("is not the name of an image: "), "{told}");
        }
    }
    let files = [
        ("web/marathon-prod.yaml", "main: {cpus: 1}\n"),
        (
            "web/service.yaml",
            "docker_registry: 'https://r.example.com'\n",
        ),
    ];
    let (root, soa) = crate::soa(&files);
    let load = soa.load(&service(), &cluster(), &system(SYSTEM));
    let told = load.problems[0].to_string();
    assert!(
        told.contains("service.yaml:1:18: docker_registry: must be HOST[:PORT]"),
        "{told}"
    );
    drop(root);
}

#[test]
fn the_registry_is_the_services_else_the_clusters() {
    let files = [
        ("web/marathon-prod.yaml", "main: {cpus: 1}\n"),
        ("web/service.yaml", "docker_registry: other:5000/\n"),
    ];
    let spec = resolve_in(&files, &deployment(), &system(SYSTEM)).unwrap();
    assert!(spec.app.image.starts_with("other:5000/services-web:"));
    let none = system("cluster: prod");
    let problems = resolve_in(&files[..1], &deployment(), &none).unwrap_err();
    assert!(said(&problems)[0].starts_with("1:1: main: docker_registry is set neither"));
    let mut odd = deployment();
    odd.docker_image = "services-web:latest".to_owned();
    let problems = resolve_in(&files, &odd, &none).unwrap_err();
    assert!(problems[0].message.contains("app id"), "{}", problems[0]);
}

#[test]
fn scaling_and_bouncing_settings_leave_the_id_alone() {
    let base = resolve("instances: 2", "").unwrap();
    let hidden = "instances: 7\nbounce_method: brutal\nbounce_margin_factor: 0.5\n\
                  drain_method: hacheck\nreplication_threshold: 10\nregistrations: [web.other]\n\
                  bounce_on_deadline: hold\nmonitoring: {page: true, team: websters}\nmin_instances: 2";
    assert_eq!(resolve(hidden, "").unwrap().app_id, base.app_id);
    assert_eq!(resolve("max_instances: 5", "").unwrap().app_id, base.app_id);
    let volumes = "volumes: [{hostPath: /nail, containerPath: /nail, mode: RO}]\n";
    for (lines, more) in [
        ("mem: 2048", ""),
        ("env: {A: b}", ""),
        ("cmd: x", ""),
        ("deploy_group: prod.all", ""),
        ("monitoring: {team: others}", ""),
        ("pool: gpu", ""),
        ("healthcheck_mode: tcp", ""),
        ("max_launch_delay_seconds: 5", ""),
        ("instances: 2", volumes),
        ("instances: 2", "deploy_blacklist: [[region, us]]\n"),
    ] {
        let other = resolve(lines, more).unwrap().app_id;
        assert_ne!(other, base.app_id, "{lines} {more}");
    }
    let mut restarted = deployment();
    restarted.force_bounce = Some("20190321T101500".to_owned());
    restarted.desired_state = DesiredState::Stop;
    let files = [("web/marathon-prod.yaml", "main: {instances: 2}\n")];
    let stopped = resolve_in(&files, &restarted, &system(SYSTEM)).unwrap();
    assert_ne!(stopped.app_id, base.app_id);
    assert_eq!((stopped.instances, stopped.wanted()), (2, 0));
}

#[test]
fn backoff_begins_by_the_size_of_the_instance() {
    for (instances, seconds) in [(0, 1), (1, 10), (3, 4), (10, 1), (100, 1)] {
        let spec = resolve(&format!("instances: {instances}"), "").unwrap();
        assert_eq!(spec.run.backoff_base_ms, seconds * 1000, "{instances}");
    }
    let spec = resolve("instances: 1\nmax_instances: 5", "").unwrap();
    assert_eq!((spec.instances, spec.run.backoff_base_ms), (5, 2_000));
}

#[test]
fn the_bounds_of_an_autoscaler_go_with_the_instance() {
    let bounds = |lines: &str| resolve(lines, "").unwrap().autoscaling;
    let known = |min, max| Some(Autoscaling { min, max });
    assert_eq!(bounds("min_instances: 2\nmax_instances: 5"), known(2, 5));
    assert_eq!(bounds("max_instances: 5"), known(1, 5));
    assert_eq!(bounds("instances: 3\nmin_instances: 2"), None);
    // They contradict each other, which is warned of.
    assert_eq!(bounds("min_instances: 6\nmax_instances: 5"), None);

    // What a version wrote that did not know them is read all the same.
    let spec = resolve("max_instances: 5", "").unwrap();
    let mut written = serde_json::to_value(&spec).unwrap();
    assert!(
        written
            .as_object_mut()
            .unwrap()
            .remove("autoscaling")
            .is_some()
    );
    let read: InstanceSpec = serde_json::from_value(written).unwrap();
    assert_eq!(
        read,
        InstanceSpec {
            autoscaling: None,
            namespaces: Default::default(),
            ..spec
        }
    );
}

#[test]
fn health_is_the_instances_else_the_namespaces() {
    let probe = |spec: InstanceSpec| spec.app.health.as_ref().map(|check| check.probe.clone());
    let http = |uri: &str| {
        Some(Probe::Http {
            uri: uri.to_owned(),
        })
    };
    let port = "{proxy_port: 20001}";
    assert_eq!(probe(announced("", port).unwrap()), http("/status"));
    assert_eq!(
        probe(announced("healthcheck_mode: tcp", port).unwrap()),
        Some(Probe::Tcp)
    );
    assert_eq!(
        probe(announced("healthcheck_uri: /own", port).unwrap()),
        http("/own")
    );
    let uri = "{proxy_port: 20001, healthcheck_uri: /shared}";
    assert_eq!(probe(announced("", uri).unwrap()), http("/shared"));
    let tcp = "{proxy_port: 20001, mode: tcp}";
    assert_eq!(probe(announced("", tcp).unwrap()), Some(Probe::Tcp));
    let check = "{proxy_port: 20001, mode: http, healthcheck_mode: tcp}";
    assert_eq!(probe(announced("", check).unwrap()), Some(Probe::Tcp));
    assert_eq!(probe(announced("", "{}").unwrap()), None);
    let command = "healthcheck_mode: cmd\nhealthcheck_cmd: 'true'";
    let spec = announced(command, port).unwrap();
    assert_eq!(
        spec.app.health,
        Some(HealthCheck {
            probe: Probe::Cmd {
                command: "true".to_owned()
            },
            grace_ms: 60_000,
            interval_ms: 10_000,
            timeout_ms: 10_000,
            max_consecutive_failures: 30,
        })
    );
    let problems = announced("", "{healthcheck_mode: cmd}").unwrap_err();
    assert!(
        problems[0].message.contains("give healthcheck_mode"),
        "{}",
        problems[0]
    );
}

#[test]
fn being_announced_changes_bounce_and_drain() {
    let spec = announced("", "{proxy_port: 20001}").unwrap();
    assert!(spec.bounce.check_load_balancer);
    assert_eq!(spec.run.drain, DrainMethod::hacheck(60_000));
    assert_eq!(spec.run.drain_timeout_ms, 120_000);
    assert_eq!(spec.run.stop_grace_ms, 10_000);
    let lines = "bounce_health_params: {min_task_uptime: 120}\ndrain_timeout: 5";
    let spec = announced(lines, "{proxy_port: 20001}").unwrap();
    assert!(!spec.bounce.check_load_balancer);
    assert_eq!(
        (spec.bounce.min_task_uptime_ms, spec.run.drain_timeout_ms),
        (120_000, 5_000)
    );
}

#[test]
fn a_replica_is_not_happy_before_one_interval_of_its_check_unless_told_so() {
    for (lines, uptime_ms) in [
        ("", 10_000),
        ("healthcheck_interval_seconds: 3", 3_000),
        ("bounce_health_params: {min_task_uptime: 0}", 0),
    ] {
        let spec = announced(lines, "{proxy_port: 20001}").unwrap();
        assert_eq!(spec.bounce.min_task_uptime_ms, uptime_ms, "{lines}");
    }
}

fn constraint(attribute: &str, operator: Operator, value: &str) -> Constraint {
    Constraint {
        attribute: attribute.to_owned(),
        operator,
        value: (!value.is_empty()).then(|| value.to_owned()),
    }
}

const HOSTS: &str = "expected_slave_attributes:\n\
    - {region: us, habitat: a}\n- {region: us, habitat: b}\n- {region: eu, habitat: c}\n";

#[test]
fn constraints_are_computed_in_paastas_order() {
    use Operator::{GroupBy, Like, Unique, Unlike};
    let lines = "instances: 3\nextra_constraints: [[rack, UNIQUE]]\n\
                 deploy_blacklist: [[habitat, a]]\ndeploy_whitelist: [region, [us, eu]]";
    let more = format!(
        "{HOSTS}deploy_blacklist: [[region, ap]]\ndeploy_whitelist: [habitat, [a, b, c]]\n\
         auto_hostname_unique_size: 3\n"
    );
    let spec = resolve(lines, &more).unwrap();
    assert_eq!(
        spec.app.constraints,
        [
            constraint("rack", Unique, ""),
            constraint("region", GroupBy, "2"),
            constraint("habitat", Unlike, "a"),
            constraint("region", Like, "us|eu"),
            constraint("region", Unlike, "ap"),
            constraint("habitat", Like, "a|b|c"),
            constraint("hostname", Unique, ""),
        ]
    );
    let larger = resolve("instances: 4", "auto_hostname_unique_size: 3\n").unwrap();
    assert_eq!(larger.app.constraints, []);
}

#[test]
fn spreading_counts_the_locations_that_are_left() {
    let group_by = |lines: &str, more: &str| {
        let spec = resolve(lines, &format!("{HOSTS}{more}")).unwrap();
        let found = spec
            .app
            .constraints
            .iter()
            .find(|one| one.operator == Operator::GroupBy);
        found.map(|one| (one.attribute.clone(), one.value.clone().unwrap()))
    };
    let region = |count: &str| Some(("region".to_owned(), count.to_owned()));
    assert_eq!(group_by("instances: 1", ""), region("2"));
    assert_eq!(
        group_by("deploy_blacklist: [[region, eu]]", ""),
        region("1")
    );
    assert_eq!(
        group_by("deploy_whitelist: [habitat, [c]]", ""),
        region("1")
    );
    assert_eq!(
        group_by("instances: 1", "deploy_blacklist: [[region, us]]\n"),
        region("1")
    );
    assert_eq!(group_by("constraints: [[rack, UNIQUE]]", ""), None);
    let problems = resolve("deploy_whitelist: [region, [ap]]", HOSTS).unwrap_err();
    let said = said(&problems);
    assert!(
        said[0].starts_with("3:21: main.deploy_whitelist: no host can be eligible"),
        "{said:?}"
    );
    let habitat = announced("", "{discover: habitat}").unwrap();
    assert_eq!(
        habitat.app.constraints,
        [],
        "nothing is expected of hosts by default"
    );
}

#[test]
fn explicit_constraints_replace_every_computed_one() {
    let more = format!("{HOSTS}auto_hostname_unique_size: 9\n");
    let spec = resolve(
        "constraints: [[rack, UNIQUE]]\ndeploy_blacklist: [[region, eu]]",
        &more,
    );
    assert_eq!(
        spec.unwrap().app.constraints,
        [constraint("rack", Operator::Unique, "")]
    );
    for (lines, pool) in [
        ("pool: gpu", "gpu"),
        ("constraints: [[pool, LIKE, gpu]]", "gpu"),
        ("pool: a\nconstraints: [[pool, CLUSTER, b]]", "b"),
        ("pool: a\nconstraints: [[pool, LIKE, 'b|c']]", "a"),
        ("pool: a\nextra_constraints: [[pool, LIKE, b]]", "a"),
    ] {
        assert_eq!(resolve(lines, "").unwrap().app.pool, pool, "{lines}");
    }
}

const VOLUMES: &str = "volumes:\n\
    - {hostPath: /nail/srv/, containerPath: /nail/srv, mode: RO}\n\
    - {hostPath: /nail/etc, containerPath: /nail/etc, mode: RO}\n\
    allowed_extra_volumes: [/data, /opt/shared/]\n";

fn extra(container: &str, host: &str, mode: &str) -> String {
    format!("extra_volumes:\n- {{containerPath: {container}, hostPath: {host}, mode: {mode}}}")
}

#[test]
fn the_operators_volumes_and_the_allowed_ones_are_mounted() {
    let mounts = |lines: &str| -> Vec<String> {
        let spec = resolve(lines, VOLUMES).unwrap();
        let mode = |read_only| if read_only { "ro" } else { "rw" };
        let volumes = spec.app.volumes.iter();
        volumes
            .map(|one| {
                format!(
                    "{}:{}:{}",
                    one.host_path,
                    one.container_path,
                    mode(one.read_only)
                )
            })
            .collect()
    };
    let system = ["/nail/etc:/nail/etc:ro", "/nail/srv:/nail/srv:ro"];
    assert_eq!(mounts("cpus: 1"), system);
    assert_eq!(
        mounts(&extra("/cache", "/data/cache/", "RW")),
        ["/data/cache:/cache:rw", system[0], system[1]]
    );
    assert_eq!(mounts(&extra("/x", "/opt/shared", "RO")).len(), 3);
    // What everyone has may be asked for again; the operator's mode stands.
    assert_eq!(mounts(&extra("/nail/etc/", "/nail/etc", "RW")), system);
}

#[test]
fn a_volume_outside_the_operators_list_is_refused() {
    let refused = |lines: &str, more: &str| {
        let problems = resolve(lines, more).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].line, Some(4));
        problems[0].message.clone()
    };
    for path in ["/etc", "/", "/database", "/data2", "/opt"] {
        let message = refused(&extra("/x", path, "RO"), VOLUMES);
        let known = message.contains("is not allowed (allowed are /data, /opt/shared/)")
            || message.contains("Docker's socket");
        assert!(known, "{path}: {message}");
    }
    let message = refused(&extra("/x", "/data", "RO"), "");
    assert!(message.contains("(none are)") && message.contains("allowed_extra_volumes"));
    let message = refused(&extra("/nail/etc", "/data/etc", "RO"), VOLUMES);
    assert!(
        message.contains("is already where /nail/etc is mounted"),
        "{message}"
    );
    // Not even an operator's slip hands out the socket.
    let everything = "allowed_extra_volumes: [/]\nagent: {docker_socket: /srv/d.sock}\n";
    for path in [
        "/",
        "/var/run",
        "/run",
        "/var/run/docker.sock",
        "/srv",
        "/srv/d.sock",
    ] {
        let message = refused(&extra("/x", path, "RO"), everything);
        assert!(message.contains("Docker's socket"), "{path}: {message}");
    }
    assert!(resolve(&extra("/x", "/etc", "RO"), everything).is_ok());
}

#[test]
fn replicas_are_counted_by_location_where_clients_look_for_them() {
    let smartstack = (
        "web/smartstack.yaml",
        "main: {proxy_port: 20001, discover: habitat}\nquiet: {}\n",
    );
    let location = |lines: &str| {
        let marathon = format!("main: {{{lines}}}\n");
        let files = [("web/marathon-prod.yaml", marathon.as_str()), smartstack];
        let found = resolve_in(&files, &deployment(), &system(SYSTEM)).unwrap();
        found.monitoring.location
    };
    assert_eq!(location("mem: 100").as_deref(), Some("habitat"));
    assert_eq!(location("registrations: [web.quiet]"), None);
    assert_eq!(location("registrations: [web.other, web.main]"), None);
}

#[test]
fn what_a_team_is_told_by_is_resolved() {
    let lines = "monitoring: {team: a, page: true, runbook: y/r, alert_after: 5m, tags: [x]}";
    let found = resolve(lines, "").unwrap();
    assert_eq!(found.team.as_deref(), Some("a"));
    let told = found.monitoring;
    assert_eq!((told.page, told.runbook.as_deref()), (true, Some("y/r")));
    assert_eq!(
        (told.alert_after_ms, told.tags),
        (Some(300_000), vec!["x".to_owned()])
    );
    assert_eq!(told.location, None);
}
