//! Symbolic links: followed within the directory, refused by name where they leave it; and no problem
//! shows more of a value than its beginning.

use std::{fs, os::unix::fs::symlink};

use paasta_common::{
    config::SystemConfig,
    problem::{MESSAGE_MAX, Problem, Rule, Severity},
    soa::{SoaDir, SoaError, validate::validate},
};

use crate::{cluster, marathon, name, said, service, write};

/// What nobody who may write yelpsoa-configs may read.
const SECRET: &str = "hunter2-of-the-host";

/// A directory beside which there is a file of the host's.
fn beside(text: &str) -> (tempfile::TempDir, SoaDir) {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "soa/web/service.yaml", "description: a\n");
    write(root.path(), "host/file", text);
    let soa = SoaDir::open(root.path().join("soa")).unwrap();
    (root, soa)
}

fn every_problem(soa: &SoaDir) -> Vec<Problem> {
    let system = SystemConfig::default();
    let mut all = soa.load(&service(), &cluster(), &system).all_problems();
    let checked = validate(soa, &service(), &system, false).unwrap();
    all.extend(checked.into_iter().flat_map(|file| file.problems));
    all.extend(soa.pipeline(&service()).err().into_iter().flatten());
    all.extend(soa.deployments(&service()).err());
    all.extend(soa.targets(&service(), &system).unwrap().problems);
    all
}

#[test]
fn a_link_out_of_the_directory_is_refused_by_name_and_shows_nothing() {
    for text in [
        &format!("{SECRET}\n"),
        &format!("main: {SECRET}\n"),
        &format!("main: {{mem: {SECRET}, {SECRET}: 1}}\n"),
        &format!("{{\"v1\": \"{SECRET}\"}}"),
        &format!("{SECRET}: [\n"),
    ] {
        for file in [
            "marathon-prod.yaml",
            "adhoc-prod.yaml",
            "service.yaml",
            "monitoring.yaml",
            "smartstack.yaml",
            "deploy.yaml",
            "dependencies.yaml",
            "deployments.json",
        ] {
            for target in ["../../host/file", "ABSOLUTE", "../../host/none"] {
                let (root, soa) = beside(text);
                let link = root.path().join("soa/web").join(file);
                let _ = fs::remove_file(&link);
                let target = match target {
                    "ABSOLUTE" => root.path().join("host/file"),
                    other => other.into(),
                };
                symlink(&target, &link).unwrap();
                let found = every_problem(&soa);
                let context = || format!("{file} -> {}: {found:#?}", target.display());
                let named = found.iter().any(|one| {
                    one.file == format!("web/{file}")
                        && one.rule == Rule::Forbidden
                        && one.severity == Severity::Error
                        && one.message.contains("not in the soa directory")
                });
                assert!(named, "{}", context());
                for problem in &found {
                    assert!(!problem.to_string().contains(SECRET), "{}", context());
                }
            }
        }
    }
}

#[test]
fn a_service_that_is_a_link_out_stays_a_service_of_which_nothing_is_read() {
    let (root, soa) = beside("x");
    write(
        root.path(),
        "host/web/marathon-prod.yaml",
        "main: {cpus: 1}\n",
    );
    let inside = root.path().join("soa/web");
    fs::remove_dir_all(&inside).unwrap();
    symlink(root.path().join("host/web"), &inside).unwrap();
    assert_eq!(soa.services().unwrap(), [service()], "it is not removed");
    let load = soa.load(&service(), &cluster(), &SystemConfig::default());
    assert!(!load.complete && load.instances.is_empty());
    let told = said(&load.problems);
    assert!(
        told[0].contains("leads out of the soa directory"),
        "{told:?}"
    );
    let refused = soa
        .clusters(&service(), &SystemConfig::default())
        .unwrap_err();
    assert!(matches!(refused, SoaError::Outside { .. }), "{refused}");
}

#[test]
fn the_usual_links_work() {
    let (root, soa) = beside("x");
    let at = |path: &str| root.path().join("soa").join(path);
    write(
        root.path(),
        "soa/web/marathon-SHARED.yaml",
        "main: {cpus: 1}\n",
    );
    write(root.path(), "soa/shared/monitoring.yaml", "team: a\n");
    symlink("marathon-SHARED.yaml", at("web/marathon-prod.yaml")).unwrap();
    symlink("../shared/monitoring.yaml", at("web/monitoring.yaml")).unwrap();
    // Absolute, and through the name by which the directory is known.
    symlink(at("web/marathon-SHARED.yaml"), at("web/adhoc-prod.yaml")).unwrap();
    symlink(root.path().join("soa"), root.path().join("current")).unwrap();
    for soa in [soa, SoaDir::open(root.path().join("current")).unwrap()] {
        let load = soa.load(&service(), &cluster(), &SystemConfig::default());
        assert!(load.complete, "{:?}", load.problems);
        let config = load.instances[&name("main")].as_ref().unwrap();
        assert_eq!(config.monitoring.team.as_deref(), Some("a"));
        let adhoc = soa.adhoc(&service(), &cluster(), &SystemConfig::default());
        assert!(adhoc.instances[&name("main")].is_ok());
    }
}

#[test]
fn no_problem_shows_a_long_value_whole() {
    let long = "x9".repeat(5_000);
    let fields = [
        "cpus",
        "net",
        "cap_add",
        "registrations",
        "nerve_ns",
        "constraints",
        "env",
        "ulimit",
        "extra_docker_args",
        "extra_volumes",
        "bounce_method",
        "deploy_group",
        "healthcheck_uri",
        "drain_method",
        "deploy_whitelist",
        "monitoring",
        "dependencies_reference",
        "mem",
    ];
    let shapes = [
        "L",
        "[L]",
        "{L: L}",
        "[[a, L, b]]",
        "{label: L, user: L, dns: L}",
        "{A: {soft: L}}",
        "!!int L",
        "!L x",
        "[{hostPath: L, containerPath: L, mode: L}]",
        "SECRET(L)",
        "*L",
        "{A: 'SECRET(L)', 'L L': b}",
    ];
    let mut seen = 0;
    for field in fields {
        for shape in shapes {
            let load = marathon(&format!(
                "main:\n  {field}: {}\n",
                shape.replace('L', &long)
            ));
            let mut all = load.all_problems();
            let broken = marathon(&format!("{}: {{cpus: 1}}\n", shape.replace('L', &long)));
            all.extend(broken.all_problems());
            for problem in all {
                seen += 1;
                let whole = problem.to_string();
                assert!(problem.message.chars().count() <= MESSAGE_MAX + 1);
                assert!(
                    !problem.message.contains(&long[..300]),
                    "{field} {shape}: {whole}"
                );
            }
        }
    }
    assert!(seen > 200, "{seen}");
}
