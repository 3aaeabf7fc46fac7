//! The metrics of the daemons, from where the sources name them: a name, its help, its labels.

use paasta_tests::tidy::source::Source;

/// A metric.
struct Metric {
    name: String,
    help: String,
    labels: Vec<String>,
    kind: &'static str,
}

/// The metrics below a directory of the tree, as a table by name.
pub(crate) fn table(sources: &[Source], below: &str) -> String {
    let ours = sources
        .iter()
        .filter(|source| source.path.starts_with(below));
    let mut found: Vec<Metric> = ours.flat_map(metrics).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let mut rows = "| metric | kind | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for Metric {
        name,
        help,
        labels,
        kind,
    } in found
    {
        let labels: Vec<String> = labels.iter().map(|one| format!("`{one}`")).collect();
        let (labels, help) = (labels.join(", "), help.replace('|', "\\|"));
        rows.push_str(&format!("| `{name}` | {kind} | {labels} | {help} |\n"));
    }
    rows
}

fn metrics(source: &Source) -> Vec<Metric> {
    let mut found = Vec::new();
    for prefix in ["paasta_", "process_"] {
        for (at, _) in source.text.match_indices(&format!("\"{prefix}")) {
            let line = source.text[..at].matches('\n').count() + 1;
            if !source.is_test_line(line) {
                found.extend(metric(&source.text[..at], &source.text[at..]));
            }
        }
    }
    found
}

/// The metric that a text begins with, if its name is followed by a sentence of help.
fn metric(before: &str, text: &str) -> Option<Metric> {
    let (name, rest) = literal(text)?;
    let (help, rest) = literal(after_comma(rest)?)?;
    if !help.ends_with('.') {
        return None;
    }
    let labels = after_comma(rest).map(|rest| rest.trim_start_matches('&'));
    let labels = labels.and_then(|rest| rest.strip_prefix('['));
    let labels = labels.and_then(|rest| rest.split_once(']'));
    let labels = labels.map_or("", |(labels, _)| labels);
    let labels = labels.split('"').skip(1).step_by(2);
    let kind = match () {
        () if before.trim_end().ends_with("durations(") => "histogram",
        () if name.ends_with("_total") => "counter",
        () => "gauge",
    };
    Some(Metric {
        labels: labels.map(str::to_owned).collect(),
        name,
        help,
        kind,
    })
}

fn after_comma(text: &str) -> Option<&str> {
    Some(text.trim_start().strip_prefix(',')?.trim_start())
}

/// The string literal that a text begins with, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let body = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, one)) = chars.next() {
        match one {
            '"' => return Some((value, &body[at + 1..])),
            '\\' => match chars.next()?.1 {
                // The line goes on: what it is indented by is none of the text.
                '\n' => {
                    let rest = chars.as_str();
                    let skipped = rest.len() - rest.trim_start().len();
                    for _ in rest[..skipped].chars() {
                        chars.next();
                    }
                }
                escaped => value.push(escaped),
            },
            one => value.push(one),
        }
    }
    None
}
