//! The `healthcheck_*` fields.

use super::{Health, Mode, fields::SECONDS_MAX};
use crate::soa::decode::{Fields, Range};

/// Takes them. A command and the mode `cmd` need each other.
pub(super) fn health(fields: &mut Fields<'_, '_>) -> Health {
    let span = Range::within(0.0, SECONDS_MAX);
    let modes = ["cmd", "tcp", "http", "https"];
    let mode = fields.choice("healthcheck_mode", &modes);
    let mode = mode.and_then(Mode::from_name);
    let command = fields.text("healthcheck_cmd");
    pairing(fields, mode, command.is_some());
    let uri = fields.text("healthcheck_uri");
    if let (Some(uri), Some(node)) = (&uri, fields.node("healthcheck_uri"))
        && (!uri.starts_with('/') || uri.chars().any(|c| c.is_control() || c == ' '))
    {
        let message = format!("must begin with '/' and hold no blanks, found {uri:?}");
        fields.error("healthcheck_uri", &node.mark, message);
    }
    let failures = Range::within(0.0, 1_000_000.0);
    Health {
        mode,
        command,
        uri,
        grace_ms: fields
            .seconds("healthcheck_grace_period_seconds", span)
            .unwrap_or(60_000),
        interval_ms: fields
            .seconds("healthcheck_interval_seconds", span)
            .unwrap_or(10_000),
        timeout_ms: fields
            .seconds("healthcheck_timeout_seconds", span)
            .unwrap_or(10_000),
        max_consecutive_failures: fields
            .whole32("healthcheck_max_consecutive_failures", failures)
            .unwrap_or(30),
    }
}

fn pairing(fields: &mut Fields<'_, '_>, mode: Option<Mode>, has_command: bool) {
    if mode == Some(Mode::Cmd) && !has_command {
        if let Some(node) = fields.node("healthcheck_mode") {
            let message = "mode cmd needs healthcheck_cmd, the command to run in the container";
            fields.error("healthcheck_mode", &node.mark, message);
        }
    } else if has_command
        && mode != Some(Mode::Cmd)
        && let Some(node) = fields.node("healthcheck_cmd")
    {
        let message = "is used with healthcheck_mode: cmd only; add that or remove the command";
        fields.error("healthcheck_cmd", &node.mark, message);
    }
}
