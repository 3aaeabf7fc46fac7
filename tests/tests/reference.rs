//! The pages of `docs/reference` say what the code says. A page that is out of date is red here;
//! `make reference` writes it. The command lines are held against their pages by the programs' own
//! tests.

use std::fs;

use paasta_common::soa::table::schema;
use paasta_process::reference::{directory, stale};
use paasta_tests::tidy::{
    root,
    source::{Source, rust_sources},
};

mod reference {
    pub(crate) mod fields;
    pub(crate) mod http;
    pub(crate) mod limits;
    pub(crate) mod metrics;
}

use reference::{fields, http, limits, metrics};

fn assert_current(page: &str, part: &str, text: &str) {
    assert_eq!(stale(page, part, text), None);
}

fn source(path: &str) -> Source {
    let text = fs::read_to_string(root().join(path)).expect("read a source");
    Source::rust(path, &text)
}

#[test]
fn configuration_in_the_reference_is_that_of_the_tables() {
    let published = schema::published();
    let schema = |name: &str| {
        let found = published.iter().find(|(one, _)| *one == name);
        found.expect("a published schema").1.clone()
    };
    let page = fields::page("/etc/paasta", &schema("paasta"));
    assert!(page.matches("\n| `").count() > 80, "{page}");
    assert_current("configuration.md", "system configuration", &page);
    let mut files = String::new();
    for (name, text) in &published {
        if *name != "paasta" {
            files.push_str(&fields::page(&fields::file_of(name), text));
        }
    }
    assert_current("service-files.md", "files of a service", &files);
}

#[test]
fn metrics_in_the_reference_are_those_of_the_sources() {
    let sources = rust_sources(root()).expect("read the tree");
    // A name that is put together is none that the table has.
    let joined = |path: &str| path.contains("/src/metrics");
    for source in sources.iter().filter(|source| joined(&source.path)) {
        let found = source.text.contains("format!(\"paasta_");
        assert!(
            !found,
            "{}: write the whole name as one literal",
            source.path
        );
    }
    let (coordinator, agent) = (
        metrics::table(&sources, "coordinator/"),
        metrics::table(&sources, "agent/"),
    );
    let both = metrics::table(&sources, "common/");
    for (table, least) in [(&coordinator, 40), (&agent, 12), (&both, 6)] {
        assert!(table.lines().count() > least, "{table}");
    }
    assert_current("metrics.md", "coordinators", &coordinator);
    assert_current("metrics.md", "agents", &agent);
    assert_current("metrics.md", "both", &both);
}

#[test]
fn http_in_the_reference_is_the_published_description() {
    let description = fs::read_to_string(root().join("coordinator/src/http/v1/openapi.json"));
    let table = http::table(&description.expect("read openapi.json"));
    assert_current("http.md", "paths below /v1", &table);
    let page = fs::read_to_string(directory().join("http.md")).expect("read http.md");
    let sources = rust_sources(root()).expect("read the tree");
    let routes = http::routes(&sources);
    assert!(routes.len() > 12, "{routes:?}");
    for route in routes {
        let named = page.contains(&format!("{route}`"));
        assert!(
            named,
            "docs/reference/http.md has no path that ends in {route}"
        );
    }
}

#[test]
fn events_in_the_reference_are_those_of_the_enum() {
    let event = source("coordinator/core/src/state/event.rs");
    let table = limits::words(&event.text, "EventKind");
    assert_eq!(table.lines().count(), 2 + 10, "{table}");
    assert_current("events.md", "kinds of events", &table);
    assert_current("events.md", "how many are kept", &limits::of_events());
}

#[test]
fn limits_in_the_reference_are_those_of_the_code() {
    assert_current(
        "limits.md",
        "limits of the programs",
        &limits::of_programs(),
    );
    assert_current("limits.md", "fields of requests", &limits::of_requests());
}
