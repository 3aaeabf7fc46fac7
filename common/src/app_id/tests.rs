//! The identity of an app: Python's JSON, and what does and does not change an id.

use std::collections::BTreeSet;

use super::*;
use crate::app::{Resources, Ulimit, Volume};

#[test]
fn json_is_written_as_python_writes_it() {
    for (value, expected) in [
        (json!({"foo": "bar"}), r#"{"foo": "bar"}"#),
        (json!({}), "{}"),
        (json!([]), "[]"),
        (
            json!({"b": 1, "a": [1, 2.0, 0.25, null, true]}),
            r#"{"a": [1, 2.0, 0.25, null, true], "b": 1}"#,
        ),
        (
            json!("é\u{20ac}\u{1f600}\u{7f}\t\n\u{8}\u{c}\"\\/"),
            r#""\u00e9\u20ac\ud83d\ude00\u007f\t\n\b\f\"\\/""#,
        ),
        (
            json!({"é": 1, "z": 2, "Z": 3, "_": 4}),
            r#"{"Z": 3, "_": 4, "z": 2, "\u00e9": 1}"#,
        ),
        (json!(1e16), "1e+16"),
        (json!(1e15), "1000000000000000.0"),
        (json!(123_456_789_012_345_680.0), "1.2345678901234568e+17"),
        (json!(1e-4), "0.0001"),
        (json!(1e-5), "1e-05"),
        (json!(-2.5e-7), "-2.5e-07"),
        (json!(0.1), "0.1"),
        (json!(100.0), "100.0"),
        (json!(12345.678), "12345.678"),
        (json!(1.5e300), "1.5e+300"),
        (json!(5e-324), "5e-324"),
        (json!(-0.0), "-0.0"),
        (json!(9_007_199_254_740_992.0), "9007199254740992.0"),
        (json!(u64::MAX), "18446744073709551615"),
    ] {
        assert_eq!(python_json(&value), expected);
    }
}

#[test]
fn the_hash_is_paastas() {
    let fact = json!({"foo": "bar"});
    assert_eq!(config_hash(&fact, None), "94232c5b");
    assert_eq!(config_hash(&fact, Some("20190321T101500")), "57e99395");
    assert_eq!(config_hash(&json!({}), None), "99914b93");
}

#[test]
fn the_git_part_is_of_the_last_path_segment() {
    for (image, part) in [
        (
            "registry-2.example:443/services-web:paasta-3f2a9c0d1e",
            "3f2a9c0d",
        ),
        ("services-my-web:paasta-0123456789abcdef", "01234567"),
        ("r/a-b/web", "web"),
        ("r/services-web:paasta-3f2a", "3f2a"),
    ] {
        assert_eq!(git_part(image), part, "{image}");
    }
}

fn app() -> AppSpec {
    AppSpec {
        image: "registry:443/services-web:paasta-3f2a9c0d1e2b".to_owned(),
        git_sha: "3f2a9c0d1e2b".to_owned(),
        resources: Resources {
            cpus_milli: 250,
            mem_mb: 1024,
            disk_mb: 1024,
            gpus: 0,
        },
        cpu_burst_milli: 1000,
        cfs_period_us: 100_000,
        container_port: 8888,
        backoff_factor: 2,
        backoff_max_ms: 300_000,
        pool: "default".to_owned(),
        ..AppSpec::default()
    }
}

fn id(app: &AppSpec, force_bounce: Option<&str>) -> String {
    let instance = "web.main".parse().unwrap();
    compute(&instance, app, force_bounce).unwrap().to_string()
}

/// A frozen id: when it changes, every app of every cluster bounces at the upgrade.
#[test]
fn the_id_of_an_app_never_changes_between_releases() {
    assert_eq!(id(&app(), None), "web.main.git3f2a9c0d.configcf5cceed");
}

#[test]
fn an_image_without_a_sha_has_no_id() {
    let mut app = app();
    app.image = "registry/services-web:latest".to_owned();
    assert!(compute(&"web.main".parse().unwrap(), &app, None).is_err());
}

/// One app for each way in which containers may differ.
fn variants() -> Vec<AppSpec> {
    let mut variants = vec![app()];
    let mut vary = |change: &dyn Fn(&mut AppSpec)| {
        let mut app = app();
        change(&mut app);
        variants.push(app);
    };
    vary(&|app| app.image = "registry:443/services-web:paasta-4f2a9c0d1e2b".to_owned());
    vary(&|app| app.image = "other:443/services-web:paasta-3f2a9c0d1e2b".to_owned());
    vary(&|app| app.resources.cpus_milli = 251);
    vary(&|app| app.resources.mem_mb = 1025);
    vary(&|app| app.resources.disk_mb = 1025);
    vary(&|app| app.resources.gpus = 1);
    vary(&|app| app.cpu_burst_milli = 1001);
    vary(&|app| app.cfs_period_us = 100_001);
    vary(&|app| app.cmd = Some(String::new()));
    vary(&|app| app.cmd = Some("sleep 1".to_owned()));
    vary(&|app| app.args = vec!["sleep 1".to_owned()]);
    vary(&|app| app.args = vec!["sleep".to_owned(), "1".to_owned()]);
    vary(&|app| app.env = [("X".to_owned(), "1".to_owned())].into());
    vary(&|app| app.net = NetworkMode::Host);
    vary(&|app| app.net = NetworkMode::None);
    vary(&|app| app.net = NetworkMode::Named("blue".to_owned()));
    vary(&|app| app.container_port = 8889);
    vary(&|app| app.host_port = 31_000);
    vary(&|app| app.backoff_factor = 3);
    vary(&|app| app.backoff_max_ms = 300_001);
    vary(&|app| app.pool = "gpu".to_owned());
    vary(&|app| app.cap_add = vec!["KILL".to_owned()]);
    vary(&|app| app.docker.add_hosts = vec!["a:10.0.0.1".to_owned()]);
    vary(&|app| app.docker.dns = vec!["10.0.0.1".to_owned()]);
    vary(&|app| app.docker.dns_options = vec!["ndots:1".to_owned()]);
    vary(&|app| app.docker.dns_search = vec!["example.com".to_owned()]);
    vary(&|app| app.docker.labels = [("team".to_owned(), "a".to_owned())].into());
    vary(&|app| app.docker.read_only = true);
    vary(&|app| app.docker.shm_bytes = 4_096);
    vary(&|app| app.docker.stop_signal = Some("SIGINT".to_owned()));
    vary(&|app| app.docker.user = Some("nobody".to_owned()));
    for hard in [None, Some(1), Some(2)] {
        let limit = Ulimit { soft: 1, hard };
        vary(&|app| app.ulimits = [("nofile".to_owned(), limit)].into());
    }
    for read_only in [true, false] {
        let volume = Volume {
            container_path: "/a".to_owned(),
            host_path: "/b".to_owned(),
            read_only,
        };
        vary(&|app| app.volumes = vec![volume.clone()]);
    }
    for operator in [
        Operator::Unique,
        Operator::Cluster,
        Operator::GroupBy,
        Operator::Like,
        Operator::Unlike,
        Operator::MaxPer,
    ] {
        for value in [None, Some("2".to_owned())] {
            let attribute = "habitat".to_owned();
            let constraint = Constraint {
                attribute,
                operator,
                value,
            };
            vary(&|app| app.constraints = vec![constraint.clone()]);
        }
    }
    for health in checks() {
        vary(&|app| app.health = Some(health.clone()));
    }
    variants
}

fn checks() -> Vec<HealthCheck> {
    let base = HealthCheck {
        probe: Probe::Tcp,
        grace_ms: 60_000,
        interval_ms: 10_000,
        timeout_ms: 10_000,
        max_consecutive_failures: 30,
    };
    let text = |text: &str| text.to_owned();
    let with = |change: &dyn Fn(&mut HealthCheck)| {
        let mut check = base.clone();
        change(&mut check);
        check
    };
    vec![
        base.clone(),
        with(&|check| {
            check.probe = Probe::Http {
                uri: text("/status"),
            }
        }),
        with(&|check| {
            check.probe = Probe::Http {
                uri: text("/other"),
            }
        }),
        with(&|check| {
            check.probe = Probe::Https {
                uri: text("/status"),
            }
        }),
        with(&|check| {
            check.probe = Probe::Cmd {
                command: text("true"),
            }
        }),
        with(&|check| check.grace_ms = 60_001),
        with(&|check| check.interval_ms = 10_001),
        with(&|check| check.timeout_ms = 10_001),
        with(&|check| check.max_consecutive_failures = 31),
    ]
}

#[test]
fn every_difference_of_an_app_is_a_different_id() {
    let variants = variants();
    let ids: BTreeSet<String> = variants.iter().map(|app| id(app, None)).collect();
    assert_eq!(ids.len(), variants.len());
    assert!(!ids.contains(&id(&app(), Some("20190321T101500"))));
}

#[test]
fn the_full_sha_alone_makes_no_other_app() {
    let mut other = app();
    other.git_sha = "3f2a9c0dffff".to_owned();
    assert_eq!(id(&other, None), id(&app(), None));
}
