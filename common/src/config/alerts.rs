//! The section `alerts`: how instances are watched and where their alerts go, beside the Sensu
//! client of `sensu_host`.

use crate::soa::decode::{Fields, Range};

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
    pub(super) fn decode(fields: &mut Fields<'_, '_>) -> Self {
        Self {
            check_seconds: fields
                .whole("check_seconds", Range::within(1.0, 3_600.0))
                .unwrap_or(10),
            after_seconds: fields
                .whole("after_seconds", Range::within(0.0, 86_400.0))
                .unwrap_or(120),
            log: fields.boolean("log").unwrap_or(true),
            command: command(fields),
            webhook: webhook(fields),
            timeout_seconds: fields
                .whole("timeout_seconds", Range::within(1.0, 300.0))
                .unwrap_or(10),
        }
    }
}

fn command(fields: &mut Fields<'_, '_>) -> Vec<String> {
    let command = fields.texts("command").unwrap_or_default();
    let program = command.first().map_or("/", String::as_str);
    if let Some(node) = fields.node("command").filter(|_| !program.starts_with('/')) {
        let message = format!("{program:?} must be the program's absolute path");
        fields.error("command", &node.mark, message);
    }
    command
}

fn webhook(fields: &mut Fields<'_, '_>) -> Option<String> {
    let url = fields.text("webhook")?;
    let rest = url.strip_prefix("http://").unwrap_or_default();
    let host = rest.split('/').next().unwrap_or_default();
    let plain = url.chars().all(|c| c.is_ascii_graphic());
    if let Some(node) = fields.node("webhook").filter(|_| host.is_empty() || !plain) {
        let message = format!(
            "{url:?} is not an http:// URL; what speaks only https is reached by `command`"
        );
        fields.error("webhook", &node.mark, message);
        return None;
    }
    Some(url)
}
