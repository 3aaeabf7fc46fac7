//! The tree keeps its own rules. A red test here names the file, the line and the way out.

use std::collections::BTreeSet;

use paasta_tests::tidy::{
    Violation, commits, graph,
    graph::Metadata,
    licence, links, root, rules,
    source::{files, rust_sources},
    words,
};

/// Files whose waiting needs a pause between two looks at the world outside, and why.
const MAY_SLEEP: &[(&str, &str)] = &[
    (
        "tests/src/hollow/engine.rs",
        "a pretended container engine takes its time, as Docker does",
    ),
    (
        "tests/src/scale/steps.rs",
        "a cluster at rest is watched for a while, and one without a leader is asked again, with a deadline",
    ),
    (
        "common/identity/tests/identity/renewing.rs",
        "looks at a certificate that another task replaces, with a deadline",
    ),
    (
        "tests/tests/exec.rs",
        "what a command writes that no caller reads must have nowhere to go for a while",
    ),
    (
        "tests/tests/joining/renewing.rs",
        "a certificate must expire while its host is off: its life is a minute",
    ),
    (
        "tests/src/bin/intruder.rs",
        "looks at what a host is sent until it has work, with a deadline",
    ),
    (
        "agent/tests/docker/",
        "what dockerd, its files and /proc show wakes nobody; each loop has a deadline",
    ),
    (
        "agent/tests/proxy/world.rs",
        "a server takes its time for an answer, as a slow service does",
    ),
    (
        "coordinator/tests/cluster/agent.rs",
        "an agent pauses before it tries the next coordinator, and takes its time where it is told to",
    ),
    (
        "tests/src/sim/balancer.rs",
        "a pretended load balancer takes its time, which is simulated",
    ),
    (
        "coordinator/tests/cluster/paced.rs",
        "looks at a change on its way until it has ended, with a deadline",
    ),
    (
        "coordinator/tests/cluster/coordinators.rs",
        "asks running coordinators until they say what is waited for, each loop with a deadline",
    ),
    (
        "coordinator/tests/cluster/members.rs",
        "an operator asks again after an election, with a deadline",
    ),
    (
        "coordinator/tests/cluster/recovery.rs",
        "asks until a coordinator listens, with a deadline",
    ),
    (
        "coordinator/tests/cluster/operate.rs",
        "`eventually` asks running coordinators, and looks at what they wrote, with a deadline",
    ),
    (
        "coordinator/tests/store/harness.rs",
        "`eventually` looks at several nodes of consensus at once, each with a channel of its own",
    ),
    (
        "tests/tests/limits/connections.rs",
        "attackers drip between two bytes",
    ),
    (
        "tests/tests/limits/executor.rs",
        "nothing is done for a while, to be compared with",
    ),
    (
        "tests/tests/limits/requests.rs",
        "a flood is switched on and off, and then settles",
    ),
    (
        "coordinator/tests/program.rs",
        "looks at the files of another process, with a bound on the looks",
    ),
    (
        "coordinator/tests/cluster/git.rs",
        "watches the memory of children, and asks until a server's failure is shown, with a deadline",
    ),
    (
        "coordinator/tests/cluster/stale.rs",
        "asks until a coordinator has not heard of a leader for a while, with a deadline",
    ),
    (
        "coordinator/tests/store/forged.rs",
        "shows that for a while nothing happens",
    ),
    (
        "coordinator/tests/store/lost.rs",
        "shows that for a while nothing happens",
    ),
    ("coordinator/src/raft/", "the time of these tests is paused"),
    (
        "tests/src/linked.rs",
        "`until` asks running coordinators, with a deadline",
    ),
    (
        "tests/tests/e2e/clocks.rs",
        "notes when real containers become happy, with a deadline",
    ),
    (
        "tests/tests/links.rs",
        "a fault lasts for a while, whatever the cluster does; each wait has a deadline",
    ),
    (
        "tests/src/sim/operator.rs",
        "the time of a simulation is virtual",
    ),
    (
        "tests/src/run.rs",
        "`eventually` looks at other processes and hosts, which cannot wake it",
    ),
    (
        "tests/src/hostile/",
        "clients and the referee pause between two calls; every other loop has a deadline",
    ),
    (
        "tests/tests/hostile/",
        "a fault lasts for a while, whatever the cluster does; each wait has a deadline",
    ),
];

/// Crates that would speak past each other in two versions.
const SINGLE: [&str; 8] = [
    "axum", "h2", "http", "hyper", "prost", "rustls", "tokio", "tonic",
];

fn assert_none(violations: &[Violation]) {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} found:\n{}",
        lines.len(),
        lines.join("\n")
    );
}

fn over_sources(rule: impl Fn(&paasta_tests::tidy::source::Source) -> Vec<Violation>) {
    let sources = rust_sources(root()).expect("read the tree");
    assert!(
        sources.len() > 20,
        "only {} sources were found",
        sources.len()
    );
    assert_none(&sources.iter().flat_map(rule).collect::<Vec<_>>());
}

#[test]
fn files_and_functions_are_short() {
    over_sources(rules::lengths);
}

#[test]
fn each_foreign_thing_has_one_door() {
    over_sources(rules::doors);
}

#[test]
fn the_cores_decide_from_values_only() {
    over_sources(rules::core_is_pure);
}

#[test]
fn every_file_is_a_room_with_a_sign() {
    over_sources(rules::rooms);
}

#[test]
fn tests_wait_for_conditions() {
    let allowed: Vec<&str> = MAY_SLEEP.iter().map(|(path, _)| *path).collect();
    over_sources(|source| rules::sleeps(source, &allowed));
}

#[test]
fn nothing_is_left_unfinished() {
    let kinds = [
        "rs",
        "proto",
        "toml",
        "sh",
        "md",
        "yaml",
        "Makefile",
        "Dockerfile",
        "service",
    ];
    let files = files(root(), &kinds).expect("read the tree");
    let found = files
        .iter()
        .flat_map(|(path, text)| rules::unfinished(path, text));
    assert_none(&found.collect::<Vec<_>>());
}

#[test]
fn links_lead_somewhere() {
    let pages = files(root(), &["md"]).expect("read the tree");
    assert!(pages.len() > 20, "only {} pages were found", pages.len());
    assert_none(&links::dead(root(), &pages));
}

#[test]
fn every_page_is_in_the_summary() {
    let docs = root().join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).expect("read SUMMARY.md");
    let pages = files(&docs, &["md"]).expect("read docs");
    assert!(pages.len() > 60, "only {} pages were found", pages.len());
    let missing: Vec<&str> = pages
        .iter()
        .map(|(path, _)| path.as_str())
        .filter(|path| *path != "SUMMARY.md" && !summary.contains(&format!("]({path})")))
        .collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:?}");
}

/// What quotes the words that are ruled out, or tells of the past.
const QUOTES: [&str; 3] = ["docs/style.md", "CHANGELOG.md", "tests/src/tidy/words.rs"];

#[test]
fn the_words_are_plain() {
    let kinds = ["rs", "proto", "toml", "sh", "md", "yaml", "yml", "service"];
    let all = files(root(), &kinds).expect("read the tree");
    let judged = all
        .iter()
        .filter(|(path, _)| !QUOTES.contains(&path.as_str()));
    let everywhere = judged.flat_map(|(path, text)| words::found(path, text, &words::EVERYWHERE));
    let mut found: Vec<Violation> = everywhere.collect();
    let shipped = |path: &str| {
        let read = path.ends_with(".md") || path.starts_with("deploy/");
        read && !path.starts_with("docs/decisions/") && !QUOTES.contains(&path)
    };
    for (path, text) in all.iter().filter(|(path, _)| shipped(path)) {
        if !path.ends_with(".rs") {
            found.extend(words::found(path, text, &words::IN_TEXTS));
        }
    }
    let sources = rust_sources(root()).expect("read the tree");
    for source in &sources {
        found.extend(words::in_literals(source, &words::IN_TEXTS));
    }
    assert_none(&found);
}

/// The headings of the runbook that begin with `marks` and end their line, without the marks.
fn sections(marks: &str) -> BTreeSet<String> {
    let runbook = std::fs::read_to_string(root().join("docs/operate/runbook.md"));
    let runbook = runbook.expect("read runbook.md");
    let found = runbook.lines().filter_map(|line| line.strip_prefix(marks));
    found.map(str::to_owned).collect()
}

#[test]
fn every_alert_has_a_section_in_the_runbook() {
    let rules = std::fs::read_to_string(root().join("deploy/prometheus/rules.yml"))
        .expect("read rules.yml");
    let lines = || rules.lines().map(str::trim);
    let alerts: BTreeSet<String> = lines()
        .filter_map(|line| line.strip_prefix("- alert: "))
        .map(str::to_owned)
        .collect();
    let described: BTreeSet<String> = sections("## ")
        .into_iter()
        .filter(|title| title.starts_with("Paasta"))
        .collect();
    assert!(alerts.len() > 15, "{alerts:?}");
    assert_eq!(alerts, described, "alerts and sections of the runbook");
    let links: BTreeSet<String> = lines()
        .filter_map(|line| line.strip_prefix("runbook: "))
        .map(|link| link.trim_matches('"').to_owned())
        .collect();
    let expected = alerts
        .iter()
        .map(|alert| format!("docs/operate/runbook.md#{}", alert.to_lowercase()));
    assert_eq!(links, expected.collect(), "annotations of the rules");
}

/// What `paasta metastatus` prints a line for, as the sources of its findings name it.
#[test]
fn every_finding_of_metastatus_has_a_section_in_the_runbook() {
    let findings = [
        "proto/src/verdict/cluster.rs",
        "proto/src/verdict/cluster/disks.rs",
        "proto/src/verdict/groups.rs",
        "cli/src/render/metastatus.rs",
    ];
    let mut subjects = BTreeSet::new();
    for path in findings {
        let text = std::fs::read_to_string(root().join(path)).expect("read a source");
        for before in [
            "subject = \"",
            "subject: \"",
            "resource(\"",
            "(subject, level, text) = (\"",
            "finding(&group, \"",
            "finding(pool, \"",
        ] {
            let rest = text.split(before).skip(1);
            let named = rest.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
            subjects.extend(named);
        }
    }
    assert!(subjects.len() > 12, "{subjects:?}");
    let described: BTreeSet<String> = sections("### ")
        .iter()
        .filter_map(|title| Some(title.strip_suffix(" Status")?.to_owned()))
        .collect();
    assert_eq!(subjects, described, "findings and sections of the runbook");
}

/// A tree without a history, as in a source archive, has no commits to judge.
#[test]
fn commits_are_described() {
    if !root().join(".git").exists() {
        return;
    }
    let log = std::process::Command::new("git")
        .args(["log", "--no-merges", "--since", commits::SINCE])
        .arg(format!("--format={}", commits::FORMAT))
        .current_dir(root())
        .output()
        .expect("run git");
    let words = String::from_utf8_lossy(&log.stderr);
    assert!(log.status.success(), "git log: {words}");
    assert_none(&commits::badly_described(&String::from_utf8_lossy(
        &log.stdout,
    )));
}

#[test]
fn systemd_starts_a_coordinator_again_unless_its_storage_is_damaged() {
    let unit = "deploy/systemd/paasta-coordinator.service";
    let text = std::fs::read_to_string(root().join(unit)).expect("read the unit");
    let value = |key: &str| -> Vec<&str> {
        let of_key = text
            .lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        of_key.collect()
    };
    // Both start it again after exit code 1, which a full disk ends it with.
    let [restart] = value("Restart")[..] else {
        panic!("{unit}: Restart= is not given once");
    };
    assert!(["on-failure", "always"].contains(&restart), "{restart}");
    let prevented = value("RestartPreventExitStatus").join(" ");
    let prevented: Vec<&str> = prevented.split_whitespace().collect();
    assert!(!prevented.contains(&"1"), "{unit}: {prevented:?}");
    assert!(prevented.contains(&"65"), "{unit}: {prevented:?}");
    assert_eq!(
        value("StartLimitIntervalSec"),
        ["0"],
        "it is never given up"
    );
    let program = std::fs::read_to_string(root().join("coordinator/src/main.rs"));
    let program = program.expect("read main.rs");
    assert!(program.contains("const FINAL: u8 = 65;"), "the same code");
}

#[test]
fn readme_is_short() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("read README.md");
    let lines = readme.lines().count();
    assert!(
        lines <= 120,
        "{lines} lines: move what is for one kind of reader to docs/"
    );
}

#[test]
fn dependencies_point_downwards() {
    let metadata = Metadata::read(root()).expect("ask cargo");
    assert_none(&graph::direction(&metadata));
}

#[test]
fn one_version_of_what_must_agree() {
    let metadata = Metadata::read(root()).expect("ask cargo");
    assert_none(&graph::duplicates(&metadata, &SINGLE));
}

#[test]
fn make_runs_every_test_program_once() {
    let metadata = Metadata::read(root()).expect("ask cargo");
    let makefile = std::fs::read_to_string(root().join("Makefile")).expect("read the Makefile");
    let list = |name: &str| {
        let line = makefile.lines().find_map(|line| line.strip_prefix(name));
        line.expect("the list is there").split_whitespace()
    };
    let mut named: Vec<&str> = list("QUIET := ")
        .chain(list("HOSTILE := "))
        .chain(list("TIMED := "))
        .chain(list("WAITING := "))
        .collect();
    // By a goal of its own.
    named.push("sim");
    named.sort_unstable();
    let mut programs: Vec<&str> = metadata.test_programs().collect();
    programs.sort_unstable();
    assert_eq!(named, programs, "named in the Makefile, and there");
}

#[test]
fn licences_are_permissive() {
    let metadata = Metadata::read(root()).expect("ask cargo");
    assert!(
        metadata.resolved().count() > 100,
        "cargo named too few packages"
    );
    assert_none(&licence::licences(&metadata));
}

#[test]
fn deny_toml_has_the_same_lists() {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("read deny.toml");
    let list = |from: &str| -> Vec<String> {
        let from = text.find(from).expect("the list is there") + from.len();
        let list = text[from..].split("\n]").next().expect("the list ends");
        let names = list.split('"').skip(1).step_by(2);
        names.map(ToOwned::to_owned).collect()
    };
    assert_eq!(list("\nallow = ["), licence::ALLOWED);
    assert_eq!(list("\ndeny = ["), SINGLE);
}

/// The cases from real life.
const CASES: [&str; 16] = [
    "torn-config",
    "removal-in-pieces",
    "config-drift",
    "clock-skew",
    "double-host",
    "wrong-cluster",
    "workdir",
    "exec-probe",
    "oom-child",
    "log-burst",
    "git-credentials",
    "impossible-tag",
    "tag-object",
    "unhappy-colour",
    "no-quorum",
    "init-swapped",
];

#[test]
fn every_case_has_a_test() {
    let text = std::fs::read_to_string(root().join("tests/cases.txt")).expect("read the cases");
    let rows = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut named = Vec::new();
    for row in rows {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [case, file, test] = words.as_slice() else {
            panic!("{row:?} is not CASE FILE TEST");
        };
        assert!(CASES.contains(case), "{case} is no case: {CASES:?}");
        named.push(*case);
        let source = std::fs::read_to_string(root().join(file)).expect("read the test's file");
        let begins = format!("fn {test}(");
        assert!(source.contains(&begins), "{file} has no {test}");
    }
    let missing: Vec<&str> = CASES
        .into_iter()
        .filter(|case| !named.contains(case))
        .collect();
    assert!(missing.is_empty(), "without a test: {missing:?}");
}
