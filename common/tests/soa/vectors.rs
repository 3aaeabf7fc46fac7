//! Samples of every rule about the files, right and wrong: what `paasta validate` says of them, and
//! that the published JSON schemas say the same as far as schemas go.

use paasta_common::{
    config::SystemConfig,
    problem::{Problem, Rule, Severity},
    soa::{
        kinds::{FileKind, Named},
        node::Node,
        table::schema,
        validate::validate,
        yaml,
    },
};

use crate::{service, soa};

mod files;
use files::FILES;

/// What is said of a sample.
#[derive(Debug, Clone, Copy)]
pub(super) enum Said {
    /// Nothing.
    Good,
    /// An error of this rule, in this line.
    Bad(Rule, u32),
    /// A warning of this rule, which is an error when the check is strict.
    Strict(Rule),
    /// A warning of this rule, strict or not.
    Warned(Rule),
}
use Said::{Bad, Good, Strict, Warned};

/// Fields of an instance, in `marathon-prod.yaml`; the first of them stands in line 2.
const INSTANCE: &[(&str, Said)] = &[
    ("cpus: 0.1", Good),
    ("cpus: 0", Bad(Rule::Range, 2)),
    ("cpus: .nan", Bad(Rule::Type, 2)),
    ("cpus: .inf", Bad(Rule::Type, 2)),
    ("cpus: '1'", Bad(Rule::Type, 2)),
    ("cpus: ~", Bad(Rule::Empty, 2)),
    ("mem: 32.5", Good),
    ("mem: 32", Bad(Rule::Range, 2)),
    ("mem: 1.0e+300", Bad(Rule::Range, 2)),
    ("mem: 99999999999999999999999", Bad(Rule::Range, 2)),
    ("disk: 1", Good),
    ("disk: 0", Bad(Rule::Range, 2)),
    ("gpus: 0", Good),
    ("gpus: 1.5", Bad(Rule::Type, 2)),
    ("instances: 0", Good),
    ("instances: -1", Bad(Rule::Range, 2)),
    ("instances: 99999999999999999999999", Bad(Rule::Range, 2)),
    (
        "min_instances: 1\nmax_instances: 3",
        Warned(Rule::Unsupported),
    ),
    ("min_instances: 3\nmax_instances: 1", Warned(Rule::Conflict)),
    ("max_instances: many", Bad(Rule::Type, 2)),
    ("deploy_group: prod.main", Strict(Rule::Undeployed)),
    ("deploy_group: 5", Bad(Rule::Type, 2)),
    ("branch: paasta-prod.main", Good),
    ("cmd: sleep 1", Good),
    ("cmd: [sleep]", Bad(Rule::Type, 2)),
    ("args: [a, b]", Good),
    ("args: [1]", Bad(Rule::Type, 2)),
    ("cmd: a\nargs: [b]", Strict(Rule::CmdAndArgs)),
    ("env: {A_1: x}", Good),
    ("env: {A_1: 1}", Bad(Rule::Type, 2)),
    ("env: {1A: x}", Bad(Rule::Name, 2)),
    ("env: {\"\u{c4}\": x}", Bad(Rule::Name, 2)),
    ("bounce_method: upthendown", Good),
    ("bounce_method: upthendwon", Strict(Rule::BounceMethod)),
    ("bounce_method: 5", Bad(Rule::Type, 2)),
    (
        "bounce_health_params: {check_haproxy: true, min_task_uptime: 1, haproxy_min_fraction_up: 0.5}",
        Good,
    ),
    (
        "bounce_health_params: {haproxy_min_fraction_up: 0}",
        Bad(Rule::Range, 2),
    ),
    (
        "bounce_health_params: {min_uptime: 1}",
        Bad(Rule::UnknownField, 2),
    ),
    ("bounce_margin_factor: 1", Good),
    ("bounce_margin_factor: 0", Bad(Rule::Range, 2)),
    ("bounce_margin_factor: 1.01", Bad(Rule::Range, 2)),
    ("bounce_start_deadline: 0", Good),
    ("bounce_start_deadline: soon", Bad(Rule::Type, 2)),
    ("bounce_priority: -1", Good),
    ("bounce_priority: high", Bad(Rule::Type, 2)),
    ("bounce_on_deadline: hold", Good),
    ("bounce_on_deadline: wait", Bad(Rule::Choice, 2)),
    ("drain_method: noop", Good),
    ("drain_method: nop", Bad(Rule::Choice, 2)),
    (
        "drain_method: hacheck\ndrain_method_params: {delay: 5}",
        Good,
    ),
    (
        "drain_method: hacheck\ndrain_method_params: {delay: -5}",
        Bad(Rule::Range, 3),
    ),
    (
        "drain_method: noop\ndrain_method_params: {delay: 5, expiration: 10}",
        Warned(Rule::Conflict),
    ),
    (
        "drain_method: noop\ndrain_method_params: {hacheck_port: 6666}",
        Warned(Rule::Conflict),
    ),
    (
        "drain_method: hacheck\ndrain_method_params: {bogus: 1}",
        Warned(Rule::UnknownField),
    ),
    (
        "drain_method: test\ndrain_method_params: {bogus: 1}",
        Warned(Rule::UnknownField),
    ),
    (
        "drain_method: http\ndrain_method_params:\n  drain: &s {url_format: u, success_codes: 200}\n  stop_draining: *s\n  is_draining: *s\n  is_safe_to_kill: *s\n  bogus: 1",
        Bad(Rule::UnknownField, 8),
    ),
    ("drain_method: http", Bad(Rule::Conflict, 2)),
    (
        "drain_method_params:\n  drain: {url_format: u, method: GET, success_codes: 200}",
        Bad(Rule::Conflict, 3),
    ),
    (
        "drain_method: http\ndrain_method_params:\n  drain: &s {url_format: u, method: GET, success_codes: 200-399}\n  stop_draining: *s\n  is_draining: *s\n  is_safe_to_kill: *s",
        Good,
    ),
    (
        "drain_method: http\ndrain_method_params:\n  drain: &s {url_format: u, method: GET, success_codes: 200}\n  stop_draining: *s\n  is_draining: *s",
        Bad(Rule::Required, 4),
    ),
    (
        "drain_method: http\ndrain_method_params:\n  drain: &s {url_format: u, method: GET}\n  stop_draining: *s\n  is_draining: *s\n  is_safe_to_kill: *s",
        Bad(Rule::Required, 4),
    ),
    (
        "drain_method: http\ndrain_method_params:\n  drain: &s {url_format: u, method: GET, success_codes: fine}\n  stop_draining: *s\n  is_draining: *s\n  is_safe_to_kill: *s",
        Bad(Rule::Type, 4),
    ),
    ("healthcheck_mode: http\nhealthcheck_uri: /health", Good),
    ("healthcheck_mode: udp", Bad(Rule::Choice, 2)),
    ("healthcheck_uri: health", Bad(Rule::Format, 2)),
    ("healthcheck_mode: cmd\nhealthcheck_cmd: 'true'", Good),
    ("healthcheck_mode: cmd", Bad(Rule::Conflict, 2)),
    ("healthcheck_cmd: 'true'", Bad(Rule::Conflict, 2)),
    (
        "healthcheck_mode: http\nhealthcheck_cmd: 'true'",
        Warned(Rule::Conflict),
    ),
    ("healthcheck_grace_period_seconds: 0", Good),
    ("healthcheck_grace_period_seconds: -1", Bad(Rule::Range, 2)),
    ("healthcheck_interval_seconds: 0.5", Good),
    ("healthcheck_timeout_seconds: '5'", Bad(Rule::Type, 2)),
    ("healthcheck_max_consecutive_failures: 6", Good),
    (
        "healthcheck_max_consecutive_failures: 0.5",
        Bad(Rule::Type, 2),
    ),
    ("backoff_factor: 2", Good),
    ("backoff_factor: 1.5", Bad(Rule::Type, 2)),
    ("max_launch_delay_seconds: 300", Good),
    ("max_launch_delay_seconds: 0", Bad(Rule::Range, 2)),
    ("registrations: [web.main]", Bad(Rule::Reference, 2)),
    ("registrations: [main]", Bad(Rule::Format, 2)),
    ("registrations: [a.b, a.b]", Bad(Rule::Duplicate, 2)),
    ("registrations: []", Warned(Rule::Unsupported)),
    ("nerve_ns: other", Bad(Rule::Reference, 2)),
    ("net: host", Good),
    ("net: 'container:x'", Bad(Rule::Format, 2)),
    ("container_port: 80", Good),
    ("container_port: 65536", Bad(Rule::Range, 2)),
    ("host_port: 0", Good),
    ("host_port: 31000.5", Bad(Rule::Type, 2)),
    ("pool: gpu", Good),
    ("pool: [gpu]", Bad(Rule::Type, 2)),
    ("constraints: [[habitat, GROUP_BY, 2]]", Good),
    ("constraints: [[habitat]]", Bad(Rule::Type, 2)),
    (
        "constraints: [[a, UNIQUE], [a, UNIQUE]]",
        Bad(Rule::Duplicate, 2),
    ),
    ("extra_constraints: [[hostname, UNIQUE]]", Good),
    ("extra_constraints: [hostname]", Bad(Rule::Type, 2)),
    ("deploy_blacklist: [[region, us]]", Good),
    ("deploy_blacklist: [[region, us, eu]]", Bad(Rule::Type, 2)),
    (
        "deploy_blacklist: [[region, us], [region, us]]",
        Warned(Rule::Unsupported),
    ),
    ("deploy_whitelist: [region, [us, eu]]", Good),
    ("deploy_whitelist: [region, us]", Bad(Rule::Type, 2)),
    ("monitoring_blacklist: [[region, us]]", Good),
    ("monitoring: {team: a}", Good),
    ("monitoring: {component: [a]}", Good),
    ("monitoring: a", Bad(Rule::Type, 2)),
    ("replication_threshold: 0", Good),
    ("replication_threshold: 101", Bad(Rule::Range, 2)),
    (
        "extra_volumes: [{containerPath: /a, hostPath: /b, mode: RO}]",
        Good,
    ),
    (
        "extra_volumes: [{containerPath: /a, hostPath: /b, mode: ro}]",
        Bad(Rule::Choice, 2),
    ),
    (
        "extra_volumes: [{containerPath: /a, hostPath: /b}]",
        Bad(Rule::Required, 2),
    ),
    (
        "extra_volumes: [{containerPath: /a, hostPath: /../b, mode: RO}]",
        Bad(Rule::Format, 2),
    ),
    ("ulimit: {nofile: {soft: 1024, hard: 2048}}", Good),
    ("ulimit: {nofile: {hard: 2048}}", Bad(Rule::Required, 2)),
    ("ulimit: {nofile: 1024}", Bad(Rule::Type, 2)),
    ("cap_add: [KILL]", Good),
    ("cap_add: KILL", Bad(Rule::Type, 2)),
    ("cap_add: [SYS_ADMN]", Bad(Rule::Forbidden, 2)),
    ("cap_add: [CAP_SYS_NICE]", Strict(Rule::CapAdd)),
    ("ulimit: {nofiles: {soft: 1}}", Bad(Rule::Name, 2)),
    ("cfs_period_us: 1000", Good),
    ("cfs_period_us: 999", Bad(Rule::Range, 2)),
    ("cpu_burst_add: 0", Good),
    ("cpu_burst_add: -0.1", Bad(Rule::Range, 2)),
    ("cpu_burst_pct: 900", Good),
    ("extra_docker_args: {}", Good),
    (
        "extra_docker_args: {privileged: 'true'}",
        Bad(Rule::Forbidden, 2),
    ),
    ("extra_docker_args: {dns: 10.0.0.2}", Good),
    ("stop_timeout: 30", Good),
    ("stop_timeout: 3601", Bad(Rule::Range, 2)),
    ("accepted_resource_roles: [a]", Good),
    ("autoscaling: {setpoint: 0.5}", Good),
    ("autoscaling: 5", Bad(Rule::Type, 2)),
    (
        "security: {outbound_firewall: block}",
        Warned(Rule::Conflict),
    ),
    (
        "security: {outbound_firewall: deny}\ndependencies_reference: x",
        Bad(Rule::Choice, 2),
    ),
    (
        "security: {inbound_firewall: block}",
        Bad(Rule::UnknownField, 2),
    ),
    ("dependencies_reference: x", Bad(Rule::Reference, 2)),
    ("marathon_shard: 1", Good),
    ("volumes: []", Bad(Rule::UnknownField, 2)),
    ("cpuss: 1", Bad(Rule::UnknownField, 2)),
    ("mem: 64\nmem: 65", Bad(Rule::Duplicate, 3)),
];

fn samples() -> impl Iterator<Item = (String, String, Said)> {
    let instances = INSTANCE.iter().map(|(lines, said)| {
        let indented: String = lines.lines().map(|line| format!("  {line}\n")).collect();
        (
            "marathon-prod.yaml".to_owned(),
            format!("main:\n{indented}"),
            *said,
        )
    });
    let files = FILES.iter();
    let files = files.map(|(file, text, said)| ((*file).to_owned(), (*text).to_owned(), *said));
    instances.chain(files)
}

fn problems(file: &str, text: &str, strict: bool) -> Vec<Problem> {
    let (_root, soa) = soa(&[(&format!("web/{file}"), text), ("web/port", "1\n")]);
    let checked = validate(&soa, &service(), &SystemConfig::default(), strict).unwrap();
    checked.into_iter().flat_map(|one| one.problems).collect()
}

#[test]
fn every_rule_has_samples_that_keep_and_that_break_it() {
    for (file, text, said) in samples() {
        let found = problems(&file, &text, false);
        let strictly = problems(&file, &text, true);
        let errors = |found: &[Problem]| {
            let errors = found.iter().filter(|one| one.severity == Severity::Error);
            errors.map(|one| (one.rule, one.line)).collect::<Vec<_>>()
        };
        let warned = |rule: Rule| {
            found
                .iter()
                .any(|one| one.rule == rule && one.severity == Severity::Warning)
        };
        let context = || format!("{file}:\n{text}\n{said:?}: {found:#?}");
        match said {
            Good => assert!(found.is_empty() && strictly.is_empty(), "{}", context()),
            Bad(rule, line) => {
                assert!(
                    errors(&found).contains(&(rule, Some(line))),
                    "{}",
                    context()
                );
            }
            Strict(rule) => {
                assert!(errors(&found).is_empty() && warned(rule), "{}", context());
                assert_eq!(errors(&strictly).len(), 1, "{}", context());
            }
            Warned(rule) => {
                assert!(
                    errors(&strictly).is_empty() && warned(rule),
                    "{}",
                    context()
                );
            }
        }
    }
}

#[test]
fn every_field_of_an_instance_has_a_sample() {
    let missing: Vec<&str> = paasta_common::soa::marathon::INSTANCE
        .keys()
        .filter(|key| {
            !INSTANCE
                .iter()
                .any(|(lines, _)| lines.contains(&format!("{key}:")))
        })
        .filter(|key| !matches!(*key, "role" | "previous_marathon_shards"))
        .filter(|key| !matches!(*key, "drain_timeout" | "bounce_progress_deadline"))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// What a schema can know: each value by itself.
fn structural(kind: FileKind, root: &Node) -> Vec<Problem> {
    let mut found = Vec::new();
    kind.check(root, &mut found);
    // Warnings, all of them, but for keys that only look like a field, misspelt.
    let known = |one: &Problem| match one.rule {
        Rule::UnknownField => one.message.starts_with("unknown field"),
        rule => matches!(rule, Rule::Empty | Rule::Unsupported),
    };
    found.retain(|one| one.severity == Severity::Error || known(one));
    found
}

#[test]
fn the_schemas_agree_with_the_reader() {
    let mut schemas = boon::Schemas::new();
    let compiled: Vec<(FileKind, boon::SchemaIndex)> = FileKind::ALL
        .iter()
        .map(|(kind, name)| {
            let document = serde_json::from_str(&schema::document(&kind.kind(), name)).unwrap();
            let mut compiler = boon::Compiler::new();
            let place = format!("{name}.schema.json");
            compiler.add_resource(&place, document).unwrap();
            let compiled = compiler.compile(&place, &mut schemas);
            (
                *kind,
                compiled.unwrap_or_else(|error| panic!("{name}: {error:#}")),
            )
        })
        .collect();
    let mut compared = 0;
    for (file, text, _) in samples() {
        let kind = match Named::of(&file) {
            Named::Ours(kind, _) => kind,
            _ => FileKind::Secret,
        };
        let Ok(root) = yaml::parse(&file, &text) else {
            continue;
        };
        let mut faults = Vec::new();
        root.faults("", &mut faults);
        // JSON has no NaN, and no key twice.
        if !faults.is_empty() || text.contains(".nan") || text.contains(".inf") {
            continue;
        }
        let found = structural(kind, &root);
        let (_, schema) = compiled.iter().find(|(one, _)| *one == kind).unwrap();
        let valid = schemas.validate(&root.to_json(), *schema).is_ok();
        assert_eq!(valid, found.is_empty(), "{file}:\n{text}\n{found:#?}");
        compared += 1;
    }
    assert!(compared > 150, "only {compared} samples were compared");
}

/// `PAASTA_WRITE_SCHEMAS=1` (by `make schemas`) writes them instead.
#[test]
fn the_published_schemas_are_those_of_the_tables() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/schemas");
    let write = std::env::var_os("PAASTA_WRITE_SCHEMAS").is_some_and(|value| value == "1");
    let mut wanted = Vec::new();
    for (name, text) in schema::published() {
        let path = format!("{directory}/{name}.schema.json");
        if write {
            std::fs::create_dir_all(directory).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            published == text,
            "{path} is out of date: run `make schemas`"
        );
        wanted.push(format!("{name}.schema.json"));
    }
    let mut there: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    assert_eq!(there, wanted, "a schema of nothing");
}
