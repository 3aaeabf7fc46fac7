//! The answer to `paasta validate`: a mark per file, its problems below.

use super::{Tone, View, lines::Lines, plain, problem::mark};
use crate::cmd::validate::Checked;
use paasta_common::problem::Severity;

/// Renders the files, and how many of them are fine.
pub fn render(files: &[Checked], view: &View) -> String {
    let mut lines = Lines::new(view);
    for file in files {
        let sign = match file.ok {
            true => view.paint(Tone::Good, "✓"),
            false => mark(false, view),
        };
        lines.raw(&format!("{sign} {}", file.file));
        for problem in &file.problems {
            let sign = mark(problem.severity == Severity::Warning, view);
            lines.add(&format!("    {sign} "), &plain(&problem.to_string()), 6);
        }
    }
    let broken = files.iter().filter(|file| !file.ok).count();
    match (files.len(), broken) {
        (all, 0) => lines.raw(&format!("{all} files are fine")),
        (all, broken) => lines.raw(&format!("{broken} of {all} files have errors")),
    }
    lines.finish()
}
