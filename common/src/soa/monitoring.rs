//! Who is told when something is wrong, from `monitoring.yaml` and the places that override it.
//!
//! A fault here is a warning: a service must not stop being deployed because its pager is set up
//! wrongly. Only the team is strict, because it is part of the containers' environment. PaaSTA hands
//! most values to Sensu as they are, so `validate` refuses only those that Sensu would refuse, too.
//! Keys this file does not know are left to others.

use super::{
    node::{Map, Mark, Node, Value},
    table::{
        Default::{Bool, Said},
        Field, Kind, Pattern, Range, Record, Shape, Table,
    },
};
use crate::{
    problem::{Problem, Severity},
    spec,
};

/// Who is told, and how.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Monitoring {
    /// The team; without one no event is sent at all.
    pub team: Option<String>,
    /// How it is told. Where replicas are counted is not among the settings: `location` is absent
    /// until the instance is resolved.
    pub settings: spec::Monitoring,
}

/// The fields of the file, and of `monitoring` in an instance and in service.yaml.
pub static MONITORING: Table = Table::open(
    "who gets the alerts of the service",
    &[
        Field::new(
            "alert_after",
            Kind::Pattern(&SPAN),
            "How long it must be wrong first, such as 30s, 2m or 1h, at most 7d.",
        )
        .or(Said("alerts.after_seconds of the cluster")),
        Field::new(
            "check_every",
            Kind::Pattern(&SPAN),
            "Does nothing here: checks have their own time.",
        )
        .or_null(),
        Field::new("check_oom_events", Kind::Bool, "Does nothing here.").or(Bool(true)),
        Field::new(
            "component",
            Kind::Shape(&COMPONENT),
            "The part of the system that the ticket is about; several are sent as one text.",
        )
        .or_null()
        .mild(),
        Field::new("description", Kind::Text, "The text of the ticket.")
            .or_null()
            .mild(),
        Field::new("irc_channels", Kind::List(&Kind::Text), "Chat channels.").mild(),
        Field::new(
            "notification_email",
            Kind::Text,
            "Where mail goes instead of to the team.",
        )
        .or_null()
        .mild(),
        Field::new("page", Kind::Bool, "Whether it pages a person.").or(Bool(false)),
        Field::new("priority", Kind::Text, "How urgent the ticket is.")
            .or_null()
            .mild(),
        Field::new("project", Kind::Text, "Where the ticket goes.")
            .or_null()
            .mild(),
        Field::new(
            "realert_every",
            Kind::Whole(Range::within(-1.0, 1.0e9)),
            "After how many checks it is sent again; -1 for growing intervals.",
        )
        .or(Said("-1")),
        Field::new("runbook", Kind::Text, "What to do.")
            .or_null()
            .mild(),
        Field::new("slack_channels", Kind::List(&Kind::Text), "Chat channels.").mild(),
        Field::new("tags", Kind::List(&Kind::Text), "Labels of the ticket.").mild(),
        Field::new(
            "team",
            Kind::Text,
            "The team; without one no event is sent at all.",
        )
        .or_null(),
        Field::new("ticket", Kind::Bool, "Whether a ticket is opened.")
            .or(Bool(false))
            .mild(),
        Field::new("tip", Kind::Text, "What to do, in a sentence.")
            .or_null()
            .mild(),
    ],
);

static SPAN: Pattern = Pattern {
    fits: |text| span_ms(text).is_some_and(|ms| ms <= ALERT_AFTER_MAX_MS),
    regex: "^ *[0-9]+[smhd] *$",
    rule: "expected a time of at most 7d such as 30s, 2m or 1h",
};

/// `component`: text or, as Sensu's client has it, a list of texts.
static COMPONENT: Shape = Shape {
    expected: "text or a list of texts",
    fits: |node| component(node).is_some(),
    schema: r#"{"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}"#,
};

fn component(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::List(items) => {
            let texts = items.iter().map(Node::as_text);
            Some(texts.collect::<Option<Vec<&str>>>()?.join(", "))
        }
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Map(_)
        | Value::Invalid(_) => None,
    }
}

/// The longest `alert_after`: what nobody is told of within a week is not watched.
const ALERT_AFTER_MAX_MS: u64 = 7 * 86_400_000;

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
    let mut record = Record::open(map, &MONITORING, path, &merged.mark, &mut found);
    let monitoring = decode(&mut record);
    for mut problem in found {
        if !problem.field.ends_with(".team") {
            problem.severity = Severity::Warning;
        }
        problems.push(problem);
    }
    monitoring
}

fn decode(fields: &mut Record<'_, '_>) -> Monitoring {
    Monitoring {
        team: fields.text("team").filter(|team| !team.is_empty()),
        settings: spec::Monitoring {
            location: None,
            page: fields.boolean("page").unwrap_or_default(),
            runbook: fields.text("runbook"),
            tip: fields.text("tip"),
            notification_email: fields.text("notification_email"),
            irc_channels: fields.texts("irc_channels").unwrap_or_default(),
            slack_channels: fields.texts("slack_channels").unwrap_or_default(),
            ticket: fields.boolean("ticket").unwrap_or_default(),
            project: fields.text("project"),
            priority: fields.text("priority"),
            tags: fields.texts("tags").unwrap_or_default(),
            component: fields.good("component").and_then(component),
            description: fields.text("description"),
            alert_after_ms: fields.text("alert_after").as_deref().and_then(span_ms),
            realert_every: fields.integer("realert_every"),
        },
    }
}

/// A whole number and its unit, in milliseconds.
fn span_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let ms = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soa::{table::check, yaml};

    #[test]
    fn times_have_a_unit() {
        for (text, ms) in [
            ("0s", 0),
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(span_ms(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "s",
            "2",
            "2 m",
            "-1s",
            "1.5m",
            "2min",
            "99999999999999999999s",
        ] {
            assert_eq!(span_ms(text), None, "{text}");
        }
    }

    #[test]
    fn what_sensu_would_take_is_taken_or_ignored_with_a_warning() {
        for (line, component, warned) in [
            ("component: web", Some("web"), None),
            ("component: [web, db]", Some("web, db"), None),
            ("component: 5", None, Some("component")),
            ("priority: 1", None, Some("priority")),
            (
                "notification_email: false",
                None,
                Some("notification_email"),
            ),
            ("irc_channels: x", None, Some("irc_channels")),
            ("slack_channels: '#x'", None, Some("slack_channels")),
            ("ticket: 'yes'", None, Some("ticket")),
            ("tip: 1", None, Some("tip")),
        ] {
            let root = yaml::parse("m.yaml", line).unwrap();
            let mut problems = Vec::new();
            check::value(&Kind::Map(&MONITORING), &root, "", &mut problems);
            let fields: Vec<&str> = problems.iter().map(|one| one.field.as_str()).collect();
            assert_eq!(fields, Vec::from_iter(warned), "{line}");
            let warns = |one: &Problem| one.severity == Severity::Warning;
            assert!(problems.iter().all(warns), "{line}: {problems:?}");
            let found = merged(&[&root], "", &mut Vec::new());
            assert_eq!(found.settings.component.as_deref(), component, "{line}");
        }
    }

    #[test]
    fn a_fault_is_a_warning_and_costs_its_field_only() {
        let root = yaml::parse("m.yaml", "team: a\nalert_after: soon\ntags: [x]\n").unwrap();
        let mut problems = Vec::new();
        let found = merged(&[&root], "main.monitoring", &mut problems);
        assert_eq!(
            (found.settings.alert_after_ms, found.settings.tags),
            (None, vec!["x".to_owned()])
        );
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].severity, Severity::Warning);
        assert!(problems[0].message.contains("30s"), "{}", problems[0]);
    }
}
