//! Problems of configurations: `file:line:column: field: what`.

use paasta_proto::{
    v1::{Problem, Severity},
    words::shown,
};

use super::{Tone, View, lines::Lines};

/// Adds one line (folded) for each problem, with its mark, `indent` columns in.
pub fn add(lines: &mut Lines<'_>, indent: usize, problems: &[Problem]) {
    for problem in problems {
        let mark = mark(problem.severity() == Severity::Warning, lines.view());
        let first = format!("{:indent$}{mark} ", "");
        let said = lines.view().said(&text(problem));
        lines.add(&first, &said, indent + 2);
    }
}

/// The mark of an error or a warning.
pub fn mark(warning: bool, view: &View) -> String {
    match warning {
        true => view.paint(Tone::Fair, "!"),
        false => view.paint(Tone::Bad, "✗"),
    }
}

/// The problem in one line: where it is, and what.
pub fn text(problem: &Problem) -> String {
    let mut text = match Severity::try_from(problem.severity) {
        Ok(Severity::Error | Severity::Warning | Severity::Unspecified) => problem.file.clone(),
        Err(_) => {
            let severity = shown::<Severity>(problem.severity);
            format!("severity {severity}: {}", problem.file)
        }
    };
    for number in [problem.line, problem.line.and(problem.column)]
        .into_iter()
        .flatten()
    {
        text.push_str(&format!(":{number}"));
    }
    for part in [&problem.field, &problem.message] {
        if !part.is_empty() {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(part);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

    #[test]
    fn a_problem_is_where_and_what() {
        let full = Problem {
            file: "web/marathon-demo.yaml".to_owned(),
            line: Some(12),
            column: Some(3),
            field: "main.mem".to_owned(),
            message: "expected a number of MiB, at least 32".to_owned(),
            severity: Severity::Error.into(),
        };
        let bare = Problem {
            message: "odd".to_owned(),
            severity: Severity::Warning.into(),
            ..Problem::default()
        };
        let view = view_80();
        let mut lines = Lines::new(&view);
        add(&mut lines, 2, &[full, bare]);
        let wanted = "  ✗ web/marathon-demo.yaml:12:3: main.mem: expected a number of MiB, at least 32\n  ! odd\n";
        assert_eq!(lines.finish(), wanted);
    }
}
