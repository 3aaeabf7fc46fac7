//! The pages, made of answers of the view code that gRPC answers with: as they were agreed, small
//! also of ten thousand instances, with labels, without anything inline, and escaped.

mod markup;
mod palette;
mod world;

use std::{fs, path::Path, time::Instant};

use paasta_coordinator_core::plan::plan;
use paasta_proto::v1::{DeployStatus, Event, InstanceFilter, InstanceStatus, Problem, Waiting};

use super::{
    page::Page,
    parts::name_of,
    place::{Events, Hosts, Services},
    views,
};
use crate::rpc::view::tests::{NOW, bouncing};
use world::{Answers, answers, many, standing};

const GOLDEN: &str = "src/dashboard/tests/golden";
/// Bytes of a page, at most.
const BYTES_MAX: usize = 100_000;

/// Every page of these answers, with its name.
fn pages(answers: &Answers) -> Vec<(&'static str, Page)> {
    let one = answers.status.first().expect("there is an instance");
    let ends = Some(NOW.0 + 30 * 86_400_000);
    let (cluster, unwell) = (&answers.cluster, &answers.unwell);
    vec![
        ("now", views::now::page(standing(), cluster, unwell, ends)),
        (
            "services",
            views::services::page(standing(), &Services::default(), &answers.all),
        ),
        (
            "instance",
            views::instance::page(standing(), one, &answers.events),
        ),
        (
            "hosts",
            views::hosts::page(
                standing(),
                &Hosts {
                    host: "h1".to_owned(),
                    ..Hosts::default()
                },
                cluster,
            ),
        ),
        (
            "events",
            views::events::page(standing(), &Events::default(), &answers.events),
        ),
        ("cluster", views::cluster::page(standing(), cluster, ends)),
    ]
}

fn html(page: &Page) -> String {
    page.html(&"/".parse().unwrap())
}

/// The content, an element a line, without what a release or a style changes.
fn main_of(html: &str) -> String {
    let from = html.find("<main").expect("there is a main element");
    let to = html.find("</main>").expect("it ends");
    let mut text = html[from..to].to_owned();
    for element in [
        "section", "h1", "h2", "tr", "p", "dl", "dt", "li", "ul", "form", "nav", "thead",
    ] {
        text = text.replace(&format!("<{element}"), &format!("\n<{element}"));
    }
    text.replace(env!("CARGO_PKG_VERSION"), "VERSION") + "\n"
}

fn bouncing_answers() -> Answers {
    let (cluster, observed) = bouncing();
    let planned = plan(&cluster.state, &observed, NOW);
    answers(&cluster, &observed, &planned.report)
}

#[test]
fn pages_are_as_they_were_agreed() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    for (name, page) in pages(&bouncing_answers()) {
        let (text, file) = (main_of(&html(&page)), dir.join(format!("{name}.html")));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(&dir).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap();
        assert_eq!(kept, text, "{name}: run this test with UPDATE_GOLDEN=1");
    }
}

#[test]
fn the_first_page_has_the_facts_of_a_bounce() {
    let answers = bouncing_answers();
    let text = html(&pages(&answers)[0].1);
    let bounce = answers.status[0].bounce.as_ref().unwrap();
    let new = format!("{}/{}", bounce.new_happy, bounce.new_wanted);
    for fact in [
        "Not all is as wanted.",
        "href=\"/i/hello.main\"",
        "crossover",
        &new,
        "3 happy",
        "paasta bounce status hello.main",
        "paasta maintenance status h1",
        "draining",
    ] {
        assert!(text.contains(fact), "{fact} is not in {text}");
    }
}

#[test]
fn ten_thousand_instances_make_small_pages_quickly() {
    let (cluster, observed, report) = many(10_000);
    let start = Instant::now();
    let answers = answers(&cluster, &observed, &report);
    let answered = start.elapsed();
    let start = Instant::now();
    let pages = pages(&answers);
    for (name, page) in &pages {
        let bytes = html(page).len();
        assert!(bytes < BYTES_MAX, "{name}: {bytes} bytes");
    }
    assert_eq!(
        (answers.all.total, answers.all.instances.len()),
        (10_000, 50)
    );
    assert!(!answers.all.next_page.is_empty());
    // Of an unoptimised program on a machine that does other things as well.
    assert!(answered.as_secs() < 20, "the answers took {answered:?}");
    let rendered = start.elapsed();
    assert!(rendered.as_millis() < 3_000, "the pages took {rendered:?}");
}

#[test]
fn a_search_counts_what_it_selects_and_goes_on_where_it_stopped() {
    let (cluster, observed, report) = many(120);
    let ask = |text: &str, page: &str| world::search(&cluster, &observed, &report, text, page);
    let first = ask("", "");
    assert_eq!((first.total, first.instances.len()), (120, 50));
    let second = ask("", &first.next_page);
    let last = ask("", &second.next_page);
    assert_eq!((last.instances.len(), last.next_page.as_str()), (20, ""));
    let mut names: Vec<String> = [&first, &second, &last]
        .into_iter()
        .flat_map(|page| page.instances.iter().map(name_of))
        .collect();
    names.dedup();
    assert_eq!(names.len(), 120);
    let some = ask("S00011.", "");
    assert_eq!((some.total, some.instances.len()), (1, 1));
    let unwell = world::filtered(&cluster, &observed, &report, InstanceFilter::NotAsWanted);
    // Nothing is placed: each of them is short of its replica.
    assert_eq!(unwell.not_as_wanted, unwell.total);
}

#[test]
fn an_instance_that_is_as_wanted_is_not_counted_as_another() {
    let (cluster, observed) = world::quiet();
    let planned = plan(&cluster.state, &observed, NOW);
    let answers = answers(&cluster, &observed, &planned.report);
    assert_eq!((answers.unwell.total, answers.unwell.not_as_wanted), (1, 0));
    let text = html(&pages(&answers)[0].1);
    for fact in [
        "All is as wanted.",
        "No bounce is under way.",
        "Every host is up.",
    ] {
        assert!(text.contains(fact), "{fact} is not in {text}");
    }
}

#[test]
fn texts_of_authors_and_hosts_stay_texts() {
    let evil = "<script>alert(1)</script>\"'&".to_owned();
    let one = InstanceStatus {
        service: "hello".to_owned(),
        instance: "main".to_owned(),
        team: evil.clone(),
        deploy_status: DeployStatus::Waiting.into(),
        problems: vec![Problem {
            message: evil.clone(),
            ..Problem::default()
        }],
        waiting: vec![Waiting {
            what: evil.clone(),
            ..Waiting::default()
        }],
        ..InstanceStatus::default()
    };
    let event = Event {
        index: 1,
        text: evil.clone(),
        by: evil.clone(),
        ..Event::default()
    };
    let mut answers = bouncing_answers();
    answers.status = vec![one.clone()];
    answers.all.instances = vec![one.clone()];
    answers.unwell.instances = vec![one];
    answers.events = vec![event];
    answers.cluster.desired_error = evil.clone();
    answers.cluster.hosts[0].runtime_degraded = evil;
    for (name, page) in pages(&answers) {
        let text = html(&page);
        assert!(!text.contains("<script>"), "{name}: {text}");
        assert!(text.contains("&lt;script&gt;"), "{name}");
        markup::check(name, &text);
    }
    let asked = Services {
        q: "\"><script>".to_owned(),
        ..Services::default()
    };
    let text = html(&views::services::page(standing(), &asked, &answers.all));
    assert!(!text.contains("\"><script>"), "{text}");
}

#[test]
fn pages_have_labels_and_nothing_inline() {
    for (name, page) in pages(&bouncing_answers()) {
        markup::check(name, &html(&page));
    }
}
