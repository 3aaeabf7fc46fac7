//! The answer to `paasta validate`: a mark per file, its problems below with the rules they break.

use paasta_common::{problem::Rule, soa::validate::Checked, text::count_of};

use super::{Tone, View, lines::Lines, plain, problem::mark};
use crate::cmd::validate::warns;

/// Renders the files, and how many of them are fine.
pub fn render(files: &[Checked], view: &View) -> String {
    let mut lines = Lines::new(view);
    for file in files {
        let sign = match file.ok() {
            true => view.paint(Tone::Good, "✓"),
            false => mark(false, view),
        };
        let note = match &file.note {
            Some(note) => format!(" ({})", plain(note)),
            None => String::new(),
        };
        lines.raw(&format!("{sign} {}{note}", plain(&file.file)));
        for problem in &file.problems {
            let sign = mark(warns(problem), view);
            let rule = match problem.rule {
                Rule::Other => String::new(),
                rule => format!(" [{rule}]"),
            };
            let text = format!("{problem}{rule}");
            lines.add(&format!("    {sign} "), &plain(&text), 6);
        }
    }
    let broken = files.iter().filter(|file| !file.ok()).count();
    let warnings = files.iter().flat_map(|file| &file.problems);
    let warnings = warnings.filter(|problem| warns(problem)).count();
    let beside = match warnings {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        n => format!(", {n} warnings"),
    };
    match (files.len(), broken) {
        (1, 0) => lines.raw(&format!("1 file is fine{beside}")),
        (all, 0) => lines.raw(&format!("{all} files are fine{beside}")),
        (all, 1) => lines.raw(&format!(
            "1 of {} has errors{beside}",
            count_of(all, "file")
        )),
        (all, broken) => lines.raw(&format!("{broken} of {all} files have errors{beside}")),
    }
    lines.finish()
}
