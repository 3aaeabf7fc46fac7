//! Finding and merging the operator's files, and the files that are shipped.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink};

use tempfile::TempDir;

use super::*;

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn load_in(
    files: &[(&str, &str)],
    strictness: Strictness,
) -> Result<(SystemConfig, Vec<Problem>), String> {
    let directory = directory(files);
    let root = directory.path().to_string_lossy().into_owned();
    load(Some(directory.path()), strictness)
        .map_err(|error| error.to_string().replace(&format!("{root}/"), ""))
}

#[test]
fn files_of_both_kinds_are_merged_in_the_order_of_their_names() {
    let (config, warnings) = load_in(
        &[
            (
                "10-base.yaml",
                "cluster: b\nsoa_dir: /a\nagent: {pool: one, attributes: {region: us, rack: r1}}\n",
            ),
            (
                "20-more.json",
                "{\n\t\"soa_dir\": \"/b\",\n\t\"agent\": {\"attributes\": {\"rack\": \"r2\"}}\n}",
            ),
            ("sub/30.yaml", "docker_registry: registry:443\n"),
            ("ignored.txt", "cluster: z\n"),
            (".hidden.yaml", "cluster: z\n"),
            ("99-unused.yaml.bak", "cluster: z\n"),
        ],
        Strictness::Strict,
    )
    .unwrap();
    assert!(warnings.is_empty());
    assert_eq!(config.require_cluster().unwrap().as_str(), "b");
    assert_eq!(config.soa_dir, "/b");
    assert_eq!(config.agent.pool, "one");
    assert_eq!(config.agent.attributes["region"], "us");
    assert_eq!(config.agent.attributes["rack"], "r2");
    assert_eq!(config.docker_registry.as_deref(), Some("registry:443"));
}

#[test]
fn json_counts_as_json_where_yaml_would_read_it_otherwise() {
    let text = r#"{"agent": {"mem_mb": 1e3, "attributes": {"a": "\ud83d\ude00"}}}"#;
    let error = load_in(&[("a.json", text)], Strictness::Warn).unwrap_err();
    assert!(error.contains("a.json: agent.mem_mb: expected a whole number, found the number 1000"));
    let text = r#"{"agent": {"attributes": {"a": "\ud83d\ude00"}}}"#;
    let (config, _) = load_in(&[("a.json", text)], Strictness::Warn).unwrap();
    assert_eq!(config.agent.attributes["a"], "\u{1f600}");
}

#[test]
fn every_problem_names_its_file() {
    let error = load_in(
        &[
            ("a.yaml", "cluster: [\n"),
            ("b.json", "{\n\"cluster\": }"),
            ("c.yaml", "sensu_port: 0\n"),
            ("d.json", "{\n\"agent\": {\n\"max_parallel\": 0}}"),
            ("e.yaml", "- x\n"),
        ],
        Strictness::Warn,
    )
    .unwrap_err();
    let lines: Vec<&str> = error.lines().collect();
    for (line, expected) in lines.iter().zip([
        "a.yaml:1:10: malformed YAML",
        "b.json:2:12: malformed JSON",
        "e.yaml:1:1: expected a map at the top",
        "c.yaml:1:13: sensu_port: must be at least 1",
        "d.json:3:17: agent.max_parallel: must be at least 1",
    ]) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
    assert_eq!(lines.len(), 5);
}

#[test]
fn unknown_keys_warn_and_are_fatal_when_strict() {
    let files = [("a.yaml", "clustre: x\nzookeeper: zk://a\n")];
    let (_, warnings) = load_in(&files, Strictness::Warn).unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0]
            .to_string()
            .ends_with("clustre: unknown field; did you mean \"cluster\"?")
    );
    assert!(
        load_in(&files, Strictness::Strict)
            .unwrap_err()
            .contains("clustre")
    );
}

#[test]
fn a_cluster_that_two_files_name_is_said_with_both() {
    let files = [
        ("a.yaml", "cluster: prod\n"),
        ("b.json", "{\"cluster\": \"dev\"}"),
    ];
    let (config, warnings) = load_in(&files, Strictness::Warn).unwrap();
    assert_eq!(
        config.cluster.unwrap().as_str(),
        "dev",
        "the later one counts"
    );
    let told = warnings[0].to_string();
    for words in [
        "b.json",
        "cluster: is given twice",
        "\"prod\"",
        "a.yaml:1",
        "\"dev\"",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(
        load_in(&files, Strictness::Strict)
            .unwrap_err()
            .contains("given twice")
    );
    let same = [("a.yaml", "cluster: prod\n"), ("b.yaml", "cluster: prod\n")];
    assert!(load_in(&same, Strictness::Strict).is_err());
    let once = [("a.yaml", "cluster: prod\ncluster: dev\n")];
    let told = load_in(&once, Strictness::Warn).unwrap_err();
    assert!(told.contains("given twice: first at line 1"), "{told}");
}

#[test]
fn an_operators_own_file_may_be_a_link_to_anywhere() {
    let (root, other) = (directory(&[]), directory(&[("f", "cluster: far\n")]));
    symlink(other.path().join("f"), root.path().join("a.yaml")).unwrap();
    let (config, _) = load(Some(root.path()), Strictness::Strict).unwrap();
    assert_eq!(config.cluster.unwrap().as_str(), "far");
}

#[test]
fn a_directory_that_cannot_be_read_is_named() {
    let root = directory(&[]);
    let missing = root.path().join("none");
    let error = load(Some(&missing), Strictness::Warn)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("none") && error.contains(DIRECTORY_VARIABLE),
        "{error}"
    );
    symlink(".", root.path().join("loop")).unwrap();
    let error = load(Some(root.path()), Strictness::Warn).unwrap_err();
    let text = crate::chain::chain(&error);
    assert!(text.contains("nested deeper than"), "{text}");
}

/// The files in deploy/config; a key that ships without a value stands there as `#key: value`.
fn shipped() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config");
    let mut files: Vec<(String, String)> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// The same with every such key given.
fn uncommented(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let indent = line.len() - line.trim_start().len();
        let (blank, rest) = line.split_at(indent);
        match rest.strip_prefix('#').filter(|rest| !rest.starts_with(' ')) {
            Some(key) => format!("{blank}{key}\n"),
            None => format!("{line}\n"),
        }
    });
    lines.collect()
}

fn as_files(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect()
}

#[test]
fn the_shipped_files_are_good_as_they_are_and_with_every_key_given() {
    let files = shipped();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["agent.yaml", "coordinator.yaml", "paasta.yaml"]);
    let (config, _) = load_in(&as_files(&files), Strictness::Strict).unwrap();
    assert!(config.require_cluster().is_ok());
    let full: Vec<(String, String)> = files
        .iter()
        .map(|(name, text)| (name.clone(), uncommented(text)))
        .collect();
    assert_ne!(full, files);
    load_in(&as_files(&full), Strictness::Strict).unwrap();
}

#[test]
fn the_shipped_files_show_every_key_and_the_real_defaults() {
    let mut shown = BTreeSet::new();
    for (name, text) in shipped() {
        let node = yaml::parse(&name, &uncommented(&text)).unwrap();
        for (key, entry) in &node.as_map().unwrap().entries {
            shown.insert(key.clone());
            let section =
                ["agent", "alerts", "cli", "coordinator", "deployments"].contains(&key.as_str());
            if let Some(map) = entry.node.as_map().filter(|_| section) {
                shown.extend(map.entries.keys().map(|field| format!("{key}.{field}")));
            }
        }
    }
    let keys: BTreeSet<String> = SystemConfig::keys().into_iter().collect();
    assert_eq!(shown, keys);
    // What stands there without a comment sign is the default, or names this very machine.
    let (config, _) = load_in(&as_files(&shipped()), Strictness::Strict).unwrap();
    let mut default = SystemConfig::default();
    default.cluster.clone_from(&config.cluster);
    default.docker_registry.clone_from(&config.docker_registry);
    default.coordinator.node_id = config.coordinator.node_id;
    // The shipped file names the addresses that are the default.
    default.agent.coordinators_given = config.agent.coordinators_given;
    assert_eq!(config, default);
}
