//! Files that nobody means to write: each costs little, is named with its place, and hurts nobody
//! else (I10).

use std::{
    fs,
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use paasta_common::{
    config::SystemConfig,
    id::ServiceName,
    problem::{Problem, Rule, Severity},
    soa::{SoaDir, validate::validate},
};

use crate::{cluster, load, name, service, soa, system, write};

/// What `validate` says of a service.
fn said(soa: &SoaDir, name: &str, system: &SystemConfig) -> Vec<Problem> {
    let name = ServiceName::new(name).unwrap();
    let checked = validate(soa, &name, system, false).unwrap();
    checked.into_iter().flat_map(|one| one.problems).collect()
}

#[test]
fn ten_thousand_lines_are_read_at_once_and_the_last_fault_has_its_line() {
    let mut text = String::from("_base: &base\n  cpus: 1\n");
    for n in 0..498 {
        text.push_str(&format!("i{n}:\n  <<: *base\n  mem: 64\n  env:\n"));
        for variable in 0..16 {
            text.push_str(&format!("    V{variable}: 'x'\n"));
        }
    }
    while text.lines().count() < 9_999 {
        text.push_str("# so that it is long\n");
    }
    text.push_str("last: {mem: 1}\n");
    let begun = Instant::now();
    let load = load(&[("web/marathon-prod.yaml", &text)]);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(load.instances.len(), 499);
    let fault = &load.instances[&name("last")].as_ref().unwrap_err()[0];
    assert_eq!((fault.line, fault.rule), (Some(10_000), Rule::Range));
    assert!(load.instances[&name("i497")].is_ok());
}

#[test]
fn what_cannot_be_read_hurts_its_own_service_only() {
    let laughs: String = (1..30)
        .map(|n| format!("_a{n}: &a{n} [*a{0}, *a{0}, *a{0}, *a{0}, *a{0}]\n", n - 1))
        .collect();
    let laughs = format!("_a0: &a0 [ha]\n{laughs}");
    let (root, soa) = soa(&[
        ("web/marathon-prod.yaml", "main: {cpus: 1}\n"),
        ("laughs/marathon-prod.yaml", &laughs),
        ("cycle/marathon-prod.yaml", "main: &a\n  env: {A: *a}\n"),
        ("tabs/marathon-prod.yaml", "main:\n\tcpus: 1\n"),
        ("crlf/marathon-prod.yaml", "\u{feff}main:\r\n  cpus: 1\r\n"),
        ("folder/marathon-prod.yaml/inside", ""),
        ("locked/port", ""),
        ("looped/port", ""),
    ]);
    // Readable by nobody, root included.
    let at = |file: &str| root.path().join(file);
    symlink("/proc/self/mem", at("locked/marathon-prod.yaml")).unwrap();
    symlink("marathon-prod.yaml", at("looped/marathon-prod.yaml")).unwrap();
    let system = SystemConfig::default();
    for (service, rule, words) in [
        ("laughs", Rule::Syntax, "do not nest aliases"),
        ("cycle", Rule::Syntax, "a value that contains it"),
        ("tabs", Rule::Syntax, "malformed YAML"),
        ("folder", Rule::Unreadable, "is a directory"),
        ("locked", Rule::Forbidden, "not in the soa directory"),
        ("looped", Rule::Unreadable, "cannot be read"),
    ] {
        let id = ServiceName::new(service).unwrap();
        let load = soa.load(&id, &cluster(), &system);
        assert!(!load.complete && load.instances.is_empty(), "{service}");
        let found = said(&soa, service, &system);
        let problem = found.first().unwrap_or_else(|| panic!("{service}"));
        assert_eq!(problem.file, format!("{service}/marathon-prod.yaml"));
        assert_eq!(problem.rule, rule, "{problem}");
        assert!(problem.message.contains(words), "{problem}");
    }
    for fine in ["web", "crlf"] {
        let id = ServiceName::new(fine).unwrap();
        let load = soa.load(&id, &cluster(), &system);
        assert!(load.instances[&name("main")].is_ok(), "{fine}");
        assert_eq!(said(&soa, fine, &system), [], "{fine}");
    }
}

#[test]
fn names_that_nothing_may_have_are_never_paths() {
    let (_root, soa) = soa(&[
        (
            "web/marathon-prod.yaml",
            "main: {cpus: 1, env: {A: SECRET(key)}}\n",
        ),
        ("web/marathon-pr\u{f6}d.yaml", "main: {cpus: 1}\n"),
        ("w\u{eb}b/marathon-prod.yaml", "main: {cpus: 1}\n"),
    ]);
    let services = soa.services().unwrap();
    assert_eq!(services, [service()]);
    let found = said(&soa, "web", &SystemConfig::default());
    let rules: Vec<Rule> = found.iter().map(|one| one.rule).collect();
    assert!(rules.contains(&Rule::Name), "{found:#?}");
    let secret = found.iter().find(|one| one.rule == Rule::Reference);
    let message = &secret.unwrap().message;
    assert!(
        message.contains("web/secrets/key.json, which does not exist"),
        "{message}"
    );
}

#[test]
fn files_are_checked_against_each_other() {
    let (root, soa) = soa(&[
        (
            "web/marathon-SHARED.yaml",
            "main: {deploy_group: '{cluster}.all', registrations: [web.mian], mem: 5}\nother: {deploy_group: prod.al, security: {outbound_firewall: block}, dependencies_reference: mian, registrations: [web.mian]}\n",
        ),
        (
            "web/adhoc-prod.yaml",
            "main: {cmd: x, mem: 64, deploy_group: prod.all}\n",
        ),
        ("web/tron-prod.yaml", "other: {node: x}\n"),
        (
            "web/deploy.yaml",
            "pipeline:\n- step: prod.all\n- step: dev.all\n",
        ),
        ("web/smartstack.yaml", "main: {proxy_port: 20001}\n"),
        ("web/dependencies.yaml", "main: []\n"),
        ("web/marathon-prod.yml", "x: {cpus: 1}\n"),
    ]);
    for cluster in ["prod", "dev"] {
        let link = root.path().join(format!("web/marathon-{cluster}.yaml"));
        symlink("marathon-SHARED.yaml", link).unwrap();
    }
    let checked = validate(&soa, &service(), &SystemConfig::default(), false).unwrap();
    let notes: Vec<String> = checked
        .iter()
        .filter_map(|one| Some(format!("{} {}", one.file, one.note.as_ref()?)))
        .collect();
    assert_eq!(
        notes,
        [
            "web/marathon-dev.yaml is web/marathon-SHARED.yaml",
            "web/marathon-prod.yaml is web/marathon-SHARED.yaml",
            "web/tron-prod.yaml left alone: tron instances are not run here",
        ]
    );
    let of = |file: &str| {
        let one = checked.iter().find(|one| one.file == file).unwrap();
        let lines = one.problems.iter().map(ToString::to_string);
        lines.collect::<Vec<_>>().join("\n")
    };
    let shared = of("web/marathon-SHARED.yaml");
    for words in [
        "main.mem: must be more than 32",
        "other.deploy_group: deploy group \"prod.al\" is not a step of deploy.yaml (prod.all, dev.all); did you mean \"prod.all\"?",
        "other.dependencies_reference: \"mian\" is not in web/dependencies.yaml; did you mean \"main\"?",
        "other.registrations: there is no namespace \"mian\" in web/smartstack.yaml",
    ] {
        let times = shared.matches(words).count();
        assert_eq!(times, 1, "{words}:\n{shared}");
    }
    assert!(!shared.contains("main.deploy_group"), "{shared}");
    assert!(
        of("web/tron-prod.yaml").contains("other: is declared in web/marathon-prod.yaml"),
        "{}",
        of("web/tron-prod.yaml")
    );
    assert!(of("web/marathon-prod.yml").contains("did you mean \"marathon-prod.yaml\"?"));
}

#[test]
fn what_the_operator_allows_is_checked_where_it_is_known() {
    let (_root, soa) = soa(&[(
        "web/marathon-prod.yaml",
        "main: {extra_volumes: [{containerPath: /a, hostPath: /etc, mode: RO}]}\n",
    )]);
    assert_eq!(said(&soa, "web", &SystemConfig::default()), []);
    let here = system("cluster: prod\ndocker_registry: r\nallowed_extra_volumes: [/data]\n");
    let found = said(&soa, "web", &here);
    assert_eq!(
        (found.len(), found[0].rule),
        (1, Rule::Forbidden),
        "{found:?}"
    );
    let allowed = system("cluster: prod\ndocker_registry: r\nallowed_extra_volumes: [/etc]\n");
    assert_eq!(said(&soa, "web", &allowed), []);
    let elsewhere = system("cluster: dev\ndocker_registry: r\n");
    assert_eq!(said(&soa, "web", &elsewhere), []);
}

#[test]
fn a_mount_that_the_operator_gives_read_only_is_warned_of() {
    for (asked, given, warned) in [
        ("RW", "RO", true),
        ("RO", "RO", false),
        ("RW", "RW", false),
        ("RO", "RW", false),
    ] {
        let text = format!(
            "main: {{extra_volumes: [{{containerPath: /a/, hostPath: /nail, mode: {asked}}}]}}\n"
        );
        let (_root, soa) = soa(&[("web/marathon-prod.yaml", &text)]);
        let here = system(&format!(
            "cluster: prod\ndocker_registry: r\n\
             volumes: [{{containerPath: /a, hostPath: /nail, mode: {given}}}]\n"
        ));
        let found = said(&soa, "web", &here);
        assert_eq!(
            found.len(),
            usize::from(warned),
            "{asked} {given}: {found:?}"
        );
        for problem in found {
            assert_eq!(problem.severity, Severity::Warning);
            assert!(problem.message.contains("/a is mounted RO"), "{problem}");
        }
        let elsewhere = system("cluster: dev\ndocker_registry: r\n");
        assert_eq!(said(&soa, "web", &elsewhere), []);
    }
}

#[test]
fn monitoring_of_an_instance_is_refused_only_where_sensu_would_refuse_it() {
    for (value, severity, rule) in [
        ("priority: 1", Severity::Warning, Rule::Unsupported),
        ("irc_channels: x", Severity::Warning, Rule::Unsupported),
        ("page: 5", Severity::Error, Rule::Type),
        ("team: 5", Severity::Error, Rule::Type),
    ] {
        let text = format!("main: {{monitoring: {{{value}}}}}\n");
        let (_root, soa) = soa(&[("web/marathon-prod.yaml", &text)]);
        let found = said(&soa, "web", &SystemConfig::default());
        let found: Vec<(Severity, Rule)> =
            found.iter().map(|one| (one.severity, one.rule)).collect();
        assert_eq!(found, [(severity, rule)], "{value}");
    }
}

#[test]
fn files_that_hold_nothing_and_groups_without_a_pipeline_are_said() {
    let main = ("web/marathon-prod.yaml", "main: {deploy_group: prod.all}\n");
    let own = ("web/marathon-prod.yaml", "main: {cpus: 1}\n");
    let empty = ["", "---\n", "null\n", "{}\n"];
    for text in empty {
        for file in ["web/adhoc-prod.yaml", "web/marathon-dev.yaml"] {
            let (_root, soa) = soa(&[own, (file, text)]);
            let found = said(&soa, "web", &SystemConfig::default());
            let found: Vec<(&str, Rule)> = found
                .iter()
                .map(|one| (one.file.as_str(), one.rule))
                .collect();
            assert_eq!(found, [(file, Rule::Empty)], "{text:?}");
        }
    }
    for text in [None, Some("pipeline: []\n"), Some("slack_channels: []\n")] {
        let deploy = text.map(|text| ("web/deploy.yaml", text));
        let files = |main| Vec::from_iter([main].into_iter().chain(deploy));
        let (_root, group) = soa(&files(main));
        let found = said(&group, "web", &SystemConfig::default());
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        let (severity, rule) = (found[0].severity, found[0].rule);
        assert_eq!((severity, rule), (Severity::Warning, Rule::Undeployed));
        assert_eq!(
            found[0].to_string(),
            "web/marathon-prod.yaml:1:22: main.deploy_group: \"prod.all\" is no step of \
             web/deploy.yaml, which has no pipeline: PaaSTA refuses that"
        );
        let (_root, none) = soa(&files(own));
        assert_eq!(said(&none, "web", &SystemConfig::default()), [], "{text:?}");
    }
}

#[test]
fn a_directory_that_vanishes_is_an_error_and_no_empty_declaration() {
    let (root, soa) = soa(&[("web/marathon-prod.yaml", "main: {cpus: 1}\n")]);
    fs::remove_dir_all(root.path().join("web")).unwrap();
    let system = SystemConfig::default();
    let gone = validate(&soa, &service(), &system, false).unwrap_err();
    assert!(
        gone.to_string().contains("cannot read the directory"),
        "{gone}"
    );
    write(root.path(), "other/marathon-prod.yaml", "main: {cpus: 1}\n");
    assert_eq!(said(&soa, "other", &system), []);
    fs::remove_dir_all(root.path()).unwrap();
    assert!(soa.services().is_err());
}

#[test]
fn instances_that_are_run_by_hand_have_interactive_among_them() {
    let (_root, soa) = soa(&[
        ("web/adhoc-prod.yaml", "batch: {cmd: x, mem: 64}\n"),
        ("own/adhoc-prod.yaml", "interactive: {mem: 100}\n"),
        ("none/port", ""),
    ]);
    let system = SystemConfig::default();
    let of = |service: &str| {
        let load = soa.adhoc(&ServiceName::new(service).unwrap(), &cluster(), &system);
        assert!(load.all_problems().is_empty(), "{:?}", load.all_problems());
        load.instances
    };
    let web = of("web");
    assert_eq!(web.len(), 2);
    assert_eq!(web[&name("batch")].as_ref().unwrap().mem, 64.0);
    let interactive = web[&name("interactive")].as_ref().unwrap();
    assert_eq!(
        (interactive.cpus, interactive.mem, interactive.disk),
        (4.0, 10_240.0, 1024.0)
    );
    assert_eq!(interactive.deploy_group, "prod.interactive");
    let own = of("own");
    assert_eq!(own[&name("interactive")].as_ref().unwrap().mem, 100.0);
    assert_eq!(of("none").len(), 1);
}
