//! The section `alerts`: how instances are watched and where their alerts go, beside the Sensu
//! client of `sensu_host`.

use crate::soa::{
    node::{Node, Value},
    table::{
        Default::{Bool, Said, Whole as Int},
        Field, Kind, Pattern, Range, Record, Shape, Table,
    },
};

/// The first word of a command, which nobody's search path may change.
static COMMAND: Shape = Shape {
    expected: "[PROGRAM, ARGUMENT, ...], the program by its absolute path",
    fits: |node| match &node.value {
        Value::List(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(Node::as_text).collect();
            texts.is_some_and(|words| words.first().is_none_or(|word| word.starts_with('/')))
        }
        _ => false,
    },
    schema: r#"{"type": "array", "items": [{"type": "string", "pattern": "^/"}],
        "additionalItems": {"type": "string"}}"#,
};

static WEBHOOK: Pattern = Pattern {
    fits: |url| {
        let rest = url.strip_prefix("http://").unwrap_or_default();
        let host = rest.split('/').next().unwrap_or_default();
        !host.is_empty() && url.chars().all(|c| c.is_ascii_graphic())
    },
    regex: "^http://[!-.0-~][!-~]*$",
    rule: "must be an http:// URL (what speaks only https is reached by `command`)",
};

pub(super) static ALERTS: Table = Table::warning(
    "how instances are watched and where the leader sends alerts",
    &[
        Field::new(
            "after_seconds",
            Kind::Whole(Range::within(0.0, 86_400.0)),
            "Seconds for which replicas must be missing before an alert is sent; alert_after \
             of an instance comes first.",
        )
        .or(Int(120)),
        Field::new(
            "check_seconds",
            Kind::Whole(Range::within(1.0, 3_600.0)),
            "Seconds between two looks at every instance.",
        )
        .or(Int(10)),
        Field::new(
            "command",
            Kind::Shape(&COMMAND),
            "A program and its arguments, run for every alert with the event as JSON in Sensu's \
             format on its standard input.",
        )
        .or(Said("none")),
        Field::new("log", Kind::Bool, "Whether alerts go to the leader's log.").or(Bool(true)),
        Field::new(
            "timeout_seconds",
            Kind::Whole(Range::within(1.0, 300.0)),
            "Seconds for one delivery by one of these ways.",
        )
        .or(Int(10)),
        Field::new(
            "webhook",
            Kind::Pattern(&WEBHOOK),
            "An http:// URL to which the same JSON is posted.",
        )
        .or(Said("none")),
    ],
);

/// How the leader watches instances, and whom it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertsConfig {
    /// `check_seconds`: between two looks at every instance, 1 to 3,600. Default 10.
    pub check_seconds: u64,
    /// `after_seconds`: for how long an instance must have too few replicas before anybody is told,
    /// 0 to 86,400; its own `alert_after` comes first. Default 120.
    pub after_seconds: u64,
    /// `log`: alerts go to the leader's log. Default true.
    pub log: bool,
    /// `command`: a program and its arguments, run for every alert with the event as JSON on its
    /// standard input, in Sensu's format. Default none.
    pub command: Vec<String>,
    /// `webhook`: an `http://` URL to which the same JSON is posted. Default none.
    pub webhook: Option<String>,
    /// `timeout_seconds`: for one delivery by one of these ways, 1 to 300. Default 10.
    pub timeout_seconds: u64,
}

impl AlertsConfig {
    pub(super) fn decode(fields: &mut Record<'_, '_>) -> Self {
        Self {
            check_seconds: fields.whole("check_seconds").unwrap_or_default(),
            after_seconds: fields.whole("after_seconds").unwrap_or_default(),
            log: fields.boolean("log").unwrap_or_default(),
            command: match fields.good("command") {
                Some(_) => fields.texts("command").unwrap_or_default(),
                None => Vec::new(),
            },
            webhook: fields.text("webhook"),
            timeout_seconds: fields.whole("timeout_seconds").unwrap_or_default(),
        }
    }
}
