//! Who is told when something is wrong, from `monitoring.yaml` and the places that override it.
//!
//! A fault here is a warning: a service must not stop being deployed because its pager is set up
//! wrongly. Only the team is strict, because it is part of the containers' environment. Keys this
//! file does not know are left to others.

use super::{
    decode::{Fields, Range},
    node::{Map, Mark, Node, Value},
};
use crate::problem::{Problem, Severity};

/// Alerting settings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Monitoring {
    /// The team; without one no event is sent at all.
    pub team: Option<String>,
    /// Whether it wakes someone.
    pub page: bool,
    /// What to do.
    pub runbook: Option<String>,
    /// The same in a sentence.
    pub tip: Option<String>,
    /// Where mail goes instead of to the team.
    pub notification_email: Option<String>,
    /// Chat channels.
    pub irc_channels: Vec<String>,
    /// Chat channels.
    pub slack_channels: Vec<String>,
    /// Whether a ticket is opened.
    pub ticket: bool,
    /// Where the ticket goes.
    pub project: Option<String>,
    /// How long it must be wrong first, such as `2m`.
    pub alert_after: Option<String>,
    /// After how many checks it is said again; -1 for ever more rarely.
    pub realert_every: Option<i64>,
}

/// Merges the layers, the last one winning, and takes the settings out. Layers are maps; anything
/// else is skipped.
pub fn merged(layers: &[&Node], path: &str, problems: &mut Vec<Problem>) -> Monitoring {
    let mut merged = Node {
        mark: Mark::file(""),
        value: Value::Map(Map::default()),
    };
    for layer in layers.iter().filter(|layer| layer.as_map().is_some()) {
        merged = merged.overlaid(layer);
    }
    let mut found = Vec::new();
    let empty = Map::default();
    let map = merged.as_map().unwrap_or(&empty);
    let monitoring = decode(&mut Fields::new(map, path, &mut found));
    for mut problem in found {
        if !problem.field.ends_with(".team") {
            problem.severity = Severity::Warning;
        }
        problems.push(problem);
    }
    monitoring
}

fn decode(fields: &mut Fields<'_, '_>) -> Monitoring {
    Monitoring {
        team: fields.text("team").filter(|team| !team.is_empty()),
        page: fields.boolean("page").unwrap_or(false),
        runbook: fields.text("runbook"),
        tip: fields.text("tip"),
        notification_email: fields.text("notification_email"),
        irc_channels: fields.texts("irc_channels").unwrap_or_default(),
        slack_channels: fields.texts("slack_channels").unwrap_or_default(),
        ticket: fields.boolean("ticket").unwrap_or(false),
        project: fields.text("project"),
        alert_after: fields.text("alert_after"),
        realert_every: fields.integer("realert_every", Range::within(-1.0, 1.0e9)),
    }
}
