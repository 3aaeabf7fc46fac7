//! The directory: services, clusters, templates, layers, and who is hurt by which fault.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
};

use paasta_common::{
    config::SystemConfig,
    id::{ClusterName, ServiceName},
    problem::Severity,
    soa::{SoaDir, files::FILE_BYTES_MAX, marathon::Mode},
};

use crate::{cluster, load, marathon, name, said, service, soa, system, write};

#[test]
fn services_are_the_directories_with_a_name() {
    let (root, soa) = soa(&[
        ("web/marathon-prod.yaml", "main: {cpus: 1}\n"),
        ("api/service.yaml", ""),
        ("_shared/x.yaml", ""),
        (".git/config", ""),
        ("README", ""),
    ]);
    symlink(root.path().join("web"), root.path().join("alias")).unwrap();
    let names: Vec<String> = soa
        .services()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["alias", "api", "web"]);
    let missing = SoaDir::open(root.path().join("none"))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("check --soa-dir"), "{missing}");
}

#[test]
fn a_shared_file_is_a_file_like_any_other() {
    let (root, soa) = soa(&[("web/marathon-SHARED.yaml", "main:\n  cpus: 1\n")]);
    let directory = root.path().join("web");
    for cluster in ["prod", "dev"] {
        symlink(
            "marathon-SHARED.yaml",
            directory.join(format!("marathon-{cluster}.yaml")),
        )
        .unwrap();
    }
    let all = SystemConfig::default();
    let clusters: Vec<String> = soa
        .clusters(&service(), &all)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(clusters, ["dev", "prod"]);
    let load = soa.load(&service(), &cluster(), &all);
    assert_eq!(load.instances.len(), 1);
    assert_eq!(
        load.instances[&name("main")].as_ref().unwrap().deploy_group,
        "prod.main"
    );
    let only = system("clusters: [dev]");
    let clusters = soa.clusters(&service(), &only).unwrap();
    assert_eq!(clusters, [ClusterName::new("dev").unwrap()]);
    let load = soa.load(&service(), &cluster(), &only);
    assert!(
        !load.complete
            && load.problems[0]
                .message
                .contains("not in the configured list")
    );
}

#[test]
fn templates_are_merged_and_are_no_instances() {
    let load = marathon(
        "
_base: &base
  mem: 64
  env: {A: base}
_more: &more {instances: 3}
main:
  <<: *base
  cpus: 2
canary:
  <<: [*more, *base]
  mem: 128
",
    );
    assert!(
        load.complete && load.problems.is_empty(),
        "{:?}",
        load.problems
    );
    assert_eq!(load.instances.len(), 2);
    let get = |instance: &str| load.instances[&name(instance)].as_ref().unwrap();
    assert_eq!((get("main").mem, get("main").cpus), (64.0, 2.0));
    assert_eq!((get("canary").mem, get("canary").instances), (128.0, 3));
    assert_eq!(get("canary").env["A"], "base");
    let instances: Vec<String> = load.instances.keys().map(ToString::to_string).collect();
    assert_eq!(instances, ["canary", "main"]);
}

#[test]
fn a_fault_in_a_template_hurts_who_uses_it() {
    let load = marathon("_t: &t\n  mem: 5\nmain:\n  <<: *t\nother:\n  mem: 64\n");
    let problems = load.instances[&name("main")].as_ref().unwrap_err();
    assert!(said(problems)[0].starts_with("2:8: main.mem: must be more than 32"));
    assert!(load.instances[&name("other")].is_ok());
    let overridden = marathon("_t: &t\n  mem: 5\nmain:\n  <<: *t\n  mem: 64\n");
    assert!(overridden.instances[&name("main")].is_ok());
}

#[test]
fn a_broken_instance_hurts_only_itself() {
    let load = marathon("good:\n  cpus: 1\nbad:\n  cpus: 0\nodd: 5\nother: {}\n");
    assert!(load.complete);
    assert!(load.instances[&name("good")].is_ok());
    assert!(load.instances[&name("other")].is_ok());
    let bad = load.instances[&name("bad")].as_ref().unwrap_err();
    assert_eq!(
        (bad[0].line, bad[0].file.as_str()),
        (Some(4), "web/marathon-prod.yaml")
    );
    let odd = load.instances[&name("odd")].as_ref().unwrap_err();
    assert_eq!(said(odd), ["5:6: odd: expected a map, found the number 5"]);
    assert_eq!(load.all_problems().len(), 3);
}

#[test]
fn an_instance_declared_twice_is_refused_with_both_lines() {
    let load = marathon("main:\n  cpus: 1\nother:\n  cpus: 1\nmain:\n  cpus: 2\n");
    assert!(
        !load.complete,
        "one of the two may be another's misspelt name"
    );
    let problems = load.instances[&name("main")].as_ref().unwrap_err();
    assert_eq!(
        said(problems),
        ["5:1: main: given twice: first at line 1, again at line 5"]
    );
    assert!(load.instances[&name("other")].is_ok());
    let load = marathon("main:\n  cpus: 1\n  cpus: 2\n");
    let problems = load.instances[&name("main")].as_ref().unwrap_err();
    assert_eq!(
        said(problems),
        ["3:3: main.cpus: given twice: first at line 2, again at line 3"]
    );
    let load = marathon("_t: {}\n_t: {}\nmain: {cpus: 1}\n");
    assert!(load.instances[&name("main")].is_ok());
    assert_eq!(
        said(&load.problems),
        ["2:1: _t: given twice: first at line 1, again at line 2"]
    );
}

#[test]
fn an_empty_instance_has_defaults_and_a_warning() {
    for (text, word) in [
        ("main:\n", "null"),
        ("main: {}\n", "empty"),
        ("main: ~\n", "null"),
    ] {
        let load = marathon(text);
        assert_eq!(load.instances[&name("main")].as_ref().unwrap().mem, 1024.0);
        assert_eq!(load.problems.len(), 1, "{text:?}");
        assert_eq!(load.problems[0].severity, Severity::Warning);
        assert!(
            load.problems[0].message.contains(word),
            "{}",
            load.problems[0]
        );
    }
}

#[test]
fn names_that_no_instance_may_have_are_said() {
    let load = marathon("Main: {cpus: 1}\na.b: {cpus: 1}\nmain: {cpus: 1}\n");
    assert_eq!(load.instances.len(), 1);
    // `Main` may be what was `main2` a moment ago: it is not known what is gone.
    assert!(!load.complete);
    let said = said(&load.problems);
    assert!(
        said[0].starts_with("1:1: Main: instance name \"Main\" is not valid"),
        "{said:?}"
    );
    assert!(
        said[1].starts_with("2:1: a.b: instance name \"a.b\" is not valid"),
        "{said:?}"
    );
}

#[test]
fn a_file_that_cannot_be_read_declares_nothing_and_says_so() {
    for (text, line, word) in [
        ("main: [\n", Some(1), "malformed YAML"),
        (
            "- main\n",
            Some(1),
            "expected a map at the top, found a list",
        ),
        ("main: *x\n", Some(1), "malformed YAML"),
    ] {
        let load = marathon(text);
        assert!(!load.complete && load.instances.is_empty());
        assert_eq!(load.problems.len(), 1);
        let problem = &load.problems[0];
        assert_eq!((problem.line, problem.severity), (line, Severity::Error));
        assert!(problem.message.contains(word), "{problem}");
    }
    let large = format!(
        "main: {{cpus: 1}}\n#{}\n",
        "x".repeat(FILE_BYTES_MAX as usize)
    );
    let load = marathon(&large);
    assert!(
        !load.complete
            && load.problems[0]
                .message
                .contains("is larger than 1048576 bytes")
    );
    let many: String = (0..1001).map(|n| format!("i{n}: {{cpus: 1}}\n")).collect();
    let load = marathon(&many);
    assert!(
        !load.complete
            && load.problems[0]
                .message
                .contains("more than 1000 instances")
    );
}

#[test]
fn what_is_no_readable_file_is_named() {
    let check = |make: &dyn Fn(&std::path::Path), word: &str| {
        let (root, soa) = soa(&[("web/service.yaml", "")]);
        make(&root.path().join("web/marathon-prod.yaml"));
        let load = soa.load(&service(), &cluster(), &SystemConfig::default());
        assert!(!load.complete, "{word}");
        assert_eq!(load.problems[0].file, "web/marathon-prod.yaml");
        assert!(
            load.problems[0].message.contains(word),
            "{}",
            load.problems[0]
        );
    };
    check(&|path| fs::create_dir(path).unwrap(), "is a directory");
    check(
        &|path| symlink("gone.yaml", path).unwrap(),
        "symbolic link to gone.yaml",
    );
    check(&|path| symlink(path, path).unwrap(), "cannot be read");
    check(
        &|path| drop(UnixListener::bind(path).unwrap()),
        "not an ordinary file",
    );
    check(
        &|path| fs::write(path, b"main:\n  cmd: \xff\n").unwrap(),
        "is not UTF-8",
    );
}

#[test]
fn no_file_declares_nothing() {
    let load = load(&[("web/service.yaml", "description: x\n")]);
    assert!(load.complete && load.instances.is_empty() && load.problems.is_empty());
}

#[test]
fn service_yaml_is_under_every_instance() {
    let load = load(&[
        (
            "web/service.yaml",
            "git_url: file:///x\ndocker_registry: other:5000\nmem: 256\nenv: {A: service, B: service}\nunrelated: 1\n",
        ),
        (
            "web/marathon-prod.yaml",
            "main: {env: {A: own}}\nsmall: {mem: 64}\n",
        ),
    ]);
    let main = load.instances[&name("main")].as_ref().unwrap();
    assert_eq!(
        (main.mem, main.docker_registry.as_deref()),
        (256.0, Some("other:5000"))
    );
    assert_eq!(
        (main.env["A"].as_str(), main.env["B"].as_str()),
        ("own", "service")
    );
    assert_eq!(load.instances[&name("small")].as_ref().unwrap().mem, 64.0);
}

#[test]
fn a_wrong_default_in_service_yaml_points_there() {
    let load = load(&[
        ("web/service.yaml", "description: x\nmem: 5\n"),
        (
            "web/marathon-prod.yaml",
            "main: {cpus: 1}\nown: {mem: 64}\n",
        ),
    ]);
    let problem = &load.instances[&name("main")].as_ref().unwrap_err()[0];
    assert_eq!(
        (problem.file.as_str(), problem.line),
        ("web/service.yaml", Some(2))
    );
    assert!(load.instances[&name("own")].is_ok());
}

#[test]
fn files_that_change_what_runs_are_not_done_without() {
    let marathon = ("web/marathon-prod.yaml", "main: {cpus: 1}\n");
    for other in ["service", "monitoring"] {
        let file = format!("web/{other}.yaml");
        let load = load(&[marathon, (&file, "a: [\n")]);
        assert!(!load.complete, "{other}");
        assert_eq!(load.problems[0].file, file);
    }
    let wrong = load(&[marathon, ("web/service.yaml", "docker_registry: 5\n")]);
    assert!(!wrong.complete);
    // A namespace is needed by those who are announced there.
    let smart = load(&[marathon, ("web/smartstack.yaml", "main: [\n")]);
    assert!(smart.complete);
    let problem = &smart.instances[&name("main")].as_ref().unwrap_err()[0];
    assert!(
        problem.message.contains("web/smartstack.yaml:"),
        "{problem}"
    );
}

#[test]
fn the_team_is_looked_up_from_the_instance_outwards() {
    let team = |files: &[(&str, &str)]| {
        let load = load(files);
        let main = load.instances[&name("main")].as_ref().unwrap().clone();
        main.monitoring.team
    };
    let plain = ("web/marathon-prod.yaml", "main: {cpus: 1}\n");
    let own = (
        "web/marathon-prod.yaml",
        "main: {monitoring: {team: own}}\n",
    );
    let file = ("web/monitoring.yaml", "team: file\npage: true\n");
    let bare = ("web/service.yaml", "team: bare\n");
    let nested = (
        "web/service.yaml",
        "team: bare\nmonitoring: {team: nested}\n",
    );
    assert_eq!(team(&[plain]), None);
    assert_eq!(team(&[plain, bare]).as_deref(), Some("bare"));
    assert_eq!(team(&[plain, nested]).as_deref(), Some("nested"));
    assert_eq!(team(&[plain, nested, file]).as_deref(), Some("file"));
    assert_eq!(team(&[own, nested, file]).as_deref(), Some("own"));
}

#[test]
fn a_wrong_pager_warns_and_a_wrong_team_refuses() {
    let marathon = ("web/marathon-prod.yaml", "main: {cpus: 1}\n");
    let warned = load(&[marathon, ("web/monitoring.yaml", "team: a\npage: 5\n")]);
    assert!(warned.instances[&name("main")].is_ok());
    let warning = &warned.problems[0];
    assert_eq!(
        (warning.severity, warning.line),
        (Severity::Warning, Some(2))
    );
    let refused = load(&[marathon, ("web/monitoring.yaml", "team: 5\n")]);
    assert!(refused.instances[&name("main")].is_err());
}

#[test]
fn the_namespace_is_that_of_the_first_registration() {
    let load = load(&[
        (
            "web/marathon-prod.yaml",
            "main: {cpus: 1}\nworker: {cpus: 1}\nforeign: {registrations: [api.v2, web.main]}\n",
        ),
        (
            "web/smartstack.yaml",
            "main: {proxy_port: 20001, healthcheck_uri: /h}\n",
        ),
        (
            "api/smartstack.yaml",
            "v2: {proxy_port: 20002, mode: tcp}\n",
        ),
    ]);
    let namespace = |instance: &str| {
        let config = load.instances[&name(instance)].as_ref().unwrap();
        config.namespace.clone()
    };
    assert_eq!(namespace("main").unwrap().options.proxy_port, Some(20_001));
    assert_eq!(namespace("worker"), None);
    assert_eq!(namespace("foreign").unwrap().mode, Some(Mode::Tcp));
}

#[test]
fn a_deploy_group_that_no_pipeline_feeds_is_a_warning() {
    let pipeline = "pipeline:\n- step: itest\n- step: prod.everything\n";
    let load = load(&[
        (
            "web/marathon-prod.yaml",
            "main: {deploy_group: 'prod.everything'}\ntypo: {deploy_group: prod.everthing}\n",
        ),
        ("web/deploy.yaml", pipeline),
    ]);
    assert!(load.instances.values().all(Result::is_ok));
    let said = said(&load.problems);
    assert_eq!(
        said,
        [
            "2:22: typo.deploy_group: deploy group \"prod.everthing\" is not a step of deploy.yaml \
             (prod.everything); did you mean \"prod.everything\"?"
        ]
    );
}

#[test]
fn one_service_never_hurts_another() {
    let (root, soa) = soa(&[("web/marathon-prod.yaml", "main: {cpus: 1}\n")]);
    write(root.path(), "bad/marathon-prod.yaml", "main: [\n");
    let bad = ServiceName::new("bad").unwrap();
    let system = SystemConfig::default();
    assert!(!soa.load(&bad, &cluster(), &system).complete);
    assert!(soa.load(&service(), &cluster(), &system).instances[&name("main")].is_ok());
    assert_eq!(soa.services().unwrap().len(), 2);
}

#[test]
fn the_example_service_is_declared_without_a_fault() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/example/soa");
    let soa = SoaDir::open(root).unwrap();
    let services = soa.services().unwrap();
    assert!(!services.is_empty());
    let system = SystemConfig::default();
    for service in services {
        let clusters = soa.clusters(&service, &system).unwrap();
        assert!(!clusters.is_empty(), "{service}");
        for cluster in clusters {
            let load = soa.load(&service, &cluster, &system);
            assert!(load.complete && !load.instances.is_empty(), "{service}");
            assert!(load.all_problems().is_empty(), "{:?}", load.all_problems());
        }
    }
}
