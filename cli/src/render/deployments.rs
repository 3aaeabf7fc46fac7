//! What was marked for deployment, a line each.

use super::{
    Tone, View,
    table::{self, field},
    time,
};
use crate::cmd::marking::list_deployments::Line;

/// The table; nothing for no line.
pub(crate) fn table(lines: &[Line], view: &View) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let row = |line: &Line| {
        let current = if line.current { "current" } else { "" };
        vec![
            field(&line.timestamp),
            field(time::moment(line.at_ms, view)),
            field(&line.deploy_group),
            field(&line.sha),
            (current.to_owned(), Some(Tone::Good)),
        ]
    };
    let head = ["UTC", "LOCAL TIME", "DEPLOY GROUP", "SHA", ""];
    table::table(view, 0, &head, lines.iter().map(row).collect())
}
