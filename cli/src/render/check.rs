//! The answer to `paasta check`: a mark and a line for each thing.

use super::{Tone, View, lines::Lines, plain, problem::mark};
use crate::cmd::check::Found;

/// Renders what was found.
pub fn render(found: &[Found], view: &View) -> String {
    let mut lines = Lines::new(view);
    for one in found {
        let sign = match one.ok {
            true => view.paint(Tone::Good, "✓"),
            false => mark(false, view),
        };
        lines.add(&format!("{sign} "), &plain(&one.text), 2);
    }
    lines.finish()
}
