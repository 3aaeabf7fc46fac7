//! The answer to `paasta info`.

use super::{View, lines::Lines, plain};
use crate::cmd::info::Info;

/// Columns of the labels.
const WIDE: usize = 22;

/// Renders the whole answer.
pub fn render(info: &Info, view: &View) -> String {
    let mut lines = Lines::new(view);
    let or = |text: &Option<String>, nothing: &str| match text {
        Some(text) => plain(text),
        None => nothing.to_owned(),
    };
    let all = |names: &std::collections::BTreeSet<String>, nothing: &str| match names.is_empty() {
        true => nothing.to_owned(),
        false => plain(&Vec::from_iter(names.iter().map(String::as_str)).join(", ")),
    };
    lines.field(0, "Service Name", WIDE, &info.service);
    lines.field(
        0,
        "Description",
        WIDE,
        &or(&info.description, "none (service.yaml)"),
    );
    lines.field(
        0,
        "External Link",
        WIDE,
        &or(&info.external_link, "none (service.yaml)"),
    );
    lines.field(
        0,
        "Monitored By",
        WIDE,
        &all(&info.teams, "no team (team in monitoring.yaml)"),
    );
    lines.field(
        0,
        "Runbook",
        WIDE,
        &all(&info.runbooks, "none (monitoring.yaml)"),
    );
    let url = info.git_url.as_ref().map(ToString::to_string);
    lines.field(
        0,
        "Git Repo",
        WIDE,
        &or(&url, "none (git_url in service.yaml)"),
    );
    if info.clusters.is_empty() {
        lines.field(0, "Deployed To", WIDE, "no cluster");
    } else {
        lines.raw("Deployed To:");
        for (cluster, instances) in &info.clusters {
            let names = Vec::from_iter(instances.iter().map(String::as_str)).join(", ");
            lines.field(2, cluster.as_str(), WIDE - 2, &names);
        }
    }
    if info.endpoints.is_empty() {
        lines.field(0, "Smartstack Endpoints", WIDE, "none");
    } else {
        lines.raw("Smartstack Endpoints:");
        for (namespace, endpoint) in &info.endpoints {
            lines.add("  ", &format!("{endpoint} ({namespace})"), 4);
        }
    }
    if !info.problems.is_empty() {
        lines.raw("Problems of the configuration:");
        for problem in &info.problems {
            lines.add("  - ", &plain(problem), 4);
        }
    }
    lines.finish()
}
