//! The `healthcheck_*` fields.

use super::{Health, Mode};
use crate::{problem::Rule, soa::table::Record};

/// Takes them. A command and the mode `cmd` need each other.
pub(super) fn health(fields: &mut Record<'_, '_>) -> Health {
    let mode = fields.text("healthcheck_mode");
    let mode = mode.as_deref().and_then(Mode::from_name);
    let command = fields.text("healthcheck_cmd");
    pairing(fields, mode, command.is_some());
    let command = command.filter(|_| mode == Some(Mode::Cmd));
    Health {
        mode,
        command,
        uri: fields.text("healthcheck_uri"),
        grace_ms: fields
            .seconds("healthcheck_grace_period_seconds")
            .unwrap_or_default(),
        interval_ms: fields
            .seconds("healthcheck_interval_seconds")
            .unwrap_or_default(),
        timeout_ms: fields
            .seconds("healthcheck_timeout_seconds")
            .unwrap_or_default(),
        max_consecutive_failures: fields
            .whole32("healthcheck_max_consecutive_failures")
            .unwrap_or_default(),
    }
}

fn pairing(fields: &mut Record<'_, '_>, mode: Option<Mode>, has_command: bool) {
    if mode == Some(Mode::Cmd) && !has_command {
        if let Some(node) = fields.node("healthcheck_mode") {
            let message = "mode cmd needs healthcheck_cmd, the command to run in the container";
            fields.error("healthcheck_mode", &node.mark, Rule::Conflict, message);
        }
    } else if has_command
        && mode != Some(Mode::Cmd)
        && let Some(node) = fields.node("healthcheck_cmd")
    {
        // PaaSTA's schema wants a mode beside the command, and then looks at the mode only.
        if fields.node("healthcheck_mode").is_some() {
            let message = "is ignored: it is used with healthcheck_mode: cmd only";
            fields.warn("healthcheck_cmd", &node.mark, Rule::Conflict, message);
        } else {
            let message = "is used with healthcheck_mode: cmd only; add that or remove the command";
            fields.error("healthcheck_cmd", &node.mark, Rule::Conflict, message);
        }
    }
}
