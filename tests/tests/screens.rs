//! What `paasta` prints for a cluster in trouble, at 80 and 40 columns and in colour: the planner
//! makes the state, the coordinators' own view code makes the answer, and the CLI's renderers make
//! the text, which is held against the files in `screens/golden`.
//! `PAASTA_WRITE_SCREENS=1` writes them.

#![allow(
    clippy::unwrap_used,
    reason = "the pretended agents may fail where they stand"
)]

#[path = "screens/scene.rs"]
mod scene;
#[path = "../../coordinator/core/tests/world/mod.rs"]
mod world;

use std::{collections::BTreeSet, fs, path::PathBuf};

use paasta_cli::{
    render::{self, View, metastatus::Detail},
    verdict::cluster::findings,
};
use paasta_coordinator::raft::Role;
use paasta_proto::v1::EventKind;
use paasta_tests::tidy::root;
use scene::Scene;

/// Lines of a screen.
const SCREEN: usize = 24;

fn view(width: usize) -> View {
    View::of_width(width)
}

/// Holds the text against its file.
fn golden(name: &str, text: &str) {
    let path: PathBuf = root().join("tests/tests/screens/golden").join(name);
    if std::env::var_os("PAASTA_WRITE_SCREENS").is_some() {
        fs::write(&path, text).expect("write the screen");
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, wanted,
        "{name} is another; PAASTA_WRITE_SCREENS=1 writes it, if this is meant"
    );
}

/// Holds the text at both widths against its files, and every line against the width. Words that
/// cannot be parted may be longer.
fn golden_widths(name: &str, text: impl Fn(&View) -> String) {
    for width in [80, 40] {
        let text = text(&view(width));
        let long = text.lines().filter(|line| line.chars().count() > width);
        assert_eq!(
            long.collect::<Vec<_>>(),
            Vec::<&str>::new(),
            "{name}, {width} columns"
        );
        golden(&format!("{name}-{width}.txt"), &text);
    }
}

fn long(scene: &Scene, view: &View, replicas: bool) -> String {
    let answer = scene.status(replicas);
    let mut pages = render::status::Pages::default();
    pages.page(&answer, view) + &pages.rest(&answer, view)
}

#[test]
fn instances_at_a_glance() {
    let scene = Scene::troubled();
    let answer = scene.status(false);
    let glance = |view: &View| render::glance::render(&answer, None, view);
    golden_widths("glance", glance);
    let coloured = View {
        colour: true,
        ..view(80)
    };
    golden("glance-80-colour.txt", &glance(&coloured));
    let limited = render::glance::render(&answer, Some(3), &view(80));
    golden("glance-80-limited.txt", &limited);
}

#[test]
fn what_needs_attention_comes_first_and_each_instance_has_one_line() {
    let scene = Scene::troubled();
    let answer = scene.status(false);
    let text = render::glance::render(&answer, None, &view(120));
    let lines: Vec<&str> = text.lines().skip(3).take(answer.instances.len()).collect();
    let place = |name: &str| lines.iter().position(|line| line.starts_with(name));
    for needy in [
        "held.main",
        "crash.main",
        "batch.main",
        "web.main",
        "git.main",
    ] {
        assert!(place(needy) < place("api.main"), "{needy} in {text}");
        assert!(place(needy).is_some(), "{needy} in {text}");
    }
    assert!(place("old.main").is_some(), "{text}");
}

#[test]
fn instances_in_full() {
    let scene = Scene::troubled();
    golden_widths("status", |view| long(&scene, view, true));
    let coloured = View {
        colour: true,
        ..view(80)
    };
    golden("status-80-colour.txt", &long(&scene, &coloured, true));
}

#[test]
fn a_problem_of_a_whole_service_is_shown_once() {
    let scene = Scene::troubled();
    for text in [
        long(&scene, &view(200), false),
        render::glance::render(&scene.status(false), None, &view(200)),
    ] {
        assert_eq!(text.matches("expected a team").count(), 1, "{text}");
    }
}

#[test]
fn why_of_a_healthy_instance_is_one_screen_and_of_another_says_the_reason_first() {
    let scene = Scene::troubled();
    let why = |name: &str, view: &View| render::why::render(&scene.why(name), view);
    golden_widths("why-healthy", |view| why("api.main", view));
    golden_widths("why-crash", |view| why("crash.main", view));
    for width in [80, 40] {
        let healthy = why("api.main", &view(width));
        assert!(healthy.lines().count() <= SCREEN, "{healthy}");
    }
    let crash = why("crash.main", &view(80));
    assert!(
        crash.starts_with("crash.main is not as wanted:\n"),
        "{crash}"
    );
}

#[test]
fn a_held_bounce_and_one_under_way_say_only_what_is_not_zero() {
    let scene = Scene::troubled();
    let events = scene.why("web.main").events;
    let lines = events
        .iter()
        .filter(|event| event.kind() == EventKind::Bounce);
    let texts: Vec<&str> = lines.map(|event| event.text.as_str()).collect();
    assert!(!texts.is_empty(), "{events:?}");
    for text in texts {
        let zero = text.split(' ').any(|word| word == "0" || word == "(0");
        assert!(!zero, "{text}");
    }
}

#[test]
fn the_cluster_and_its_hosts() {
    let scene = Scene::troubled();
    let answer = scene.metastatus();
    let silent = BTreeSet::new();
    let found = findings(&answer, &silent);
    let groupings = vec!["pool".to_owned(), "region".to_owned()];
    let detail = Detail {
        level: 3,
        groupings: &groupings,
    };
    golden_widths("metastatus", |view| {
        render::metastatus::render(&answer, &found, view)
            + &render::metastatus::tables(&answer, &silent, &detail, view)
    });
}

#[test]
fn without_a_quorum_what_is_known_is_shown_with_its_age() {
    let mut scene = Scene::troubled();
    scene.role = Role::NoQuorum;
    let answer = scene.status(false);
    golden_widths("no-quorum", |view| {
        render::glance::render(&answer, None, view)
    });
}
