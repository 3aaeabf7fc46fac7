//! The paths of the HTTP API as a table, and the routes that the sources have.

use std::collections::BTreeSet;

use paasta_tests::tidy::source::{Source, is_test_file};
use serde_json::Value;

/// A row for each path and method of an OpenAPI description.
pub(crate) fn table(description: &str) -> String {
    let api: Value = serde_json::from_str(description).expect("openapi.json is JSON");
    let mut rows = "| request | answers | status codes |\n|---|---|---|\n".to_owned();
    for (path, methods) in api["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let Some(summary) = operation["summary"].as_str() else {
                continue;
            };
            let codes = operation["responses"].as_object().into_iter().flatten();
            let codes: Vec<&str> = codes.map(|(code, _)| code.as_str()).collect();
            let (method, codes) = (method.to_uppercase(), codes.join(", "));
            let summary = summary.replace('|', "\\|");
            rows.push_str(&format!("| `{method} /v1{path}` | {summary} | {codes} |\n"));
        }
    }
    rows
}

/// The routes of the daemons, as far as one literal says.
pub(crate) fn routes(sources: &[Source]) -> BTreeSet<String> {
    let daemon = |source: &&Source| {
        let ours = [
            "coordinator/src/dashboard/",
            "coordinator/src/http/",
            "agent/src/http",
        ];
        ours.iter().any(|one| source.path.starts_with(one)) && !is_test_file(&source.path)
    };
    let of = |source: &Source| -> Vec<String> {
        let rest = source.text.split(".route(\"").skip(1);
        let routes = rest.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
        routes.collect()
    };
    sources.iter().filter(daemon).flat_map(of).collect()
}
