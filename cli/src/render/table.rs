//! Tables: columns by blanks only, so that they can be cut and pasted. The one file that names the
//! table library.

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use paasta_common::text::beginning;

use super::{Tone, View, lines::Lines, plain};

/// Columns whose values are cut at their end where the width does not do.
const CUT: [&str; 3] = ["HOST", "PROBLEM", "WHY"];
/// The width down to which they are cut.
const CUT_MIN: usize = 16;
/// Columns that are left out where that is not enough, the least important first. The first column
/// of a table and every column that is not named here stay.
const LEFT_OUT: [&str; 30] = [
    "SNAPSHOT",
    "APPLIED",
    "VERSION",
    "LOG UP TO",
    "OVERCOMMIT",
    "LOCAL TIME",
    "RUN",
    "UP",
    "OVERFULL",
    "TERM",
    "ADDRESS",
    "POOL",
    "GIT",
    "ROUND TRIP",
    "LOG",
    "GPU",
    "DISK",
    "DISK GB",
    "SEEN",
    "ANSWERED",
    "REPLICAS",
    "UTC",
    "LEADER",
    "LAG",
    "FAILS",
    "SINCE",
    "BOUNCE",
    "NEXT",
    "RAM GB",
    "WHY",
];
/// Blanks between two columns.
const GAP: usize = 2;

/// A cell: its text and, where it matters, its tone.
pub type Field = (String, Option<Tone>);

/// A cell without a tone.
pub fn field(text: impl ToString) -> Field {
    (text.to_string(), None)
}

/// A table with a heading over each column, `indent` columns in, every line ended. Where the view
/// has not enough columns, values are cut and then whole columns left out, which a last line names.
pub fn table(view: &View, indent: usize, head: &[&str], rows: Vec<Vec<Field>>) -> String {
    let room = view.width.map(|width| width.saturating_sub(indent));
    let fit = Fit::of(head, &rows, room);
    let text = laid_out(view, indent, &fit.head(head), fit.rows(rows));
    let left_out = fit.left_out(head);
    if left_out.is_empty() {
        return text;
    }
    let mut lines = Lines::new(view);
    let words = format!("(no room for: {})", left_out.join(", "));
    lines.add(&" ".repeat(indent), &words, indent);
    text + &lines.finish()
}

/// Which columns of a table are shown, and how wide.
struct Fit {
    /// The columns, by their place, and their widths.
    kept: Vec<(usize, usize)>,
}

impl Fit {
    fn of(head: &[&str], rows: &[Vec<Field>], room: Option<usize>) -> Self {
        let length = |text: &str| plain(text).chars().count();
        let widest = |at: usize| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            cells.map(|(text, _)| length(text)).max().unwrap_or(0)
        };
        let widths = head.iter().enumerate();
        let widths = widths.map(|(at, name)| (at, widest(at).max(length(name))));
        let mut kept: Vec<(usize, usize)> = widths.collect();
        let Some(room) = room else {
            return Self { kept };
        };
        let least = |at: usize, width: usize| match CUT.contains(&head[at]) {
            true => width.min(CUT_MIN),
            false => width,
        };
        let gaps = |count: usize| GAP * count.saturating_sub(1);
        for name in LEFT_OUT {
            let needed = kept.iter().map(|(at, width)| least(*at, *width));
            if needed.sum::<usize>() + gaps(kept.len()) <= room {
                break;
            }
            kept.retain(|(at, _)| *at == 0 || head[*at] != name);
        }
        let whole = kept.iter().map(|(_, width)| *width).sum::<usize>() + gaps(kept.len());
        let mut over = whole.saturating_sub(room);
        for (at, width) in &mut kept {
            let cut = over.min(*width - least(*at, *width));
            *width -= cut;
            over -= cut;
        }
        Self { kept }
    }

    fn head<'a>(&self, head: &[&'a str]) -> Vec<&'a str> {
        self.kept.iter().map(|(at, _)| head[*at]).collect()
    }

    fn left_out<'a>(&self, head: &[&'a str]) -> Vec<&'a str> {
        let shown = |at: usize| self.kept.iter().any(|(kept, _)| *kept == at);
        let missing = head.iter().enumerate().filter(|(at, _)| !shown(*at));
        missing.map(|(_, name)| *name).collect()
    }

    fn rows(&self, rows: Vec<Vec<Field>>) -> Vec<Vec<Field>> {
        let fitted = |row: Vec<Field>| {
            let cell = |(at, width): &(usize, usize)| {
                let (text, tone) = row.get(*at).cloned().unwrap_or_default();
                let text = plain(&text);
                match text.chars().count() > *width {
                    true => (cut(&text, *width), tone),
                    false => (text, tone),
                }
            };
            self.kept.iter().map(cell).collect()
        };
        rows.into_iter().map(fitted).collect()
    }
}

/// The text's beginning in so many columns, up to the end of a word where one is near.
fn cut(text: &str, width: usize) -> String {
    let begin = beginning(text, width.saturating_sub(1));
    match begin.rfind(' ') {
        Some(end) if end >= width / 2 => format!("{}…", begin[..end].trim_end()),
        _ => format!("{begin}…"),
    }
}

fn laid_out(view: &View, indent: usize, head: &[&str], rows: Vec<Vec<Field>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    match view.colour {
        true => table.enforce_styling(),
        false => table.force_no_tty(),
    };
    table.set_content_arrangement(ContentArrangement::Disabled);
    let bold = |name: &&str| Cell::new(name).add_attribute(Attribute::Bold);
    table.set_header(head.iter().map(bold).collect::<Vec<_>>());
    for row in rows {
        table.add_row(row.into_iter().map(cell).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        // The padding of the last column is cut off again below.
        column.set_padding((0, 2));
    }
    let margin = " ".repeat(indent);
    let lines = table.lines();
    lines
        .map(|line| format!("{margin}{}\n", line.trim_end()))
        .collect()
}

fn cell((text, tone): Field) -> Cell {
    let cell = Cell::new(plain(&text));
    match tone {
        Some(Tone::Good) => cell.fg(Color::DarkGreen),
        Some(Tone::Fair) => cell.fg(Color::DarkYellow),
        Some(Tone::Bad) => cell.fg(Color::DarkRed),
        Some(Tone::Faint) => cell.add_attribute(Attribute::Dim),
        Some(Tone::Strong) => cell.add_attribute(Attribute::Bold),
        None => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

    #[test]
    fn columns_are_two_blanks_apart() {
        let rows = vec![
            vec![field("r1"), field("up")],
            vec![field("r22"), field("\u{1b}down")],
        ];
        let text = table(&view_80(), 2, &["ID", "STATE"], rows);
        assert_eq!(text, "  ID   STATE\n  r1   up\n  r22  \u{fffd}down\n");
    }

    #[test]
    fn a_long_host_is_cut_before_a_column_is_left_out() {
        let mut view = view_80();
        let head = ["ID", "HOST", "ADDRESS", "STATE"];
        let texts = ["r7", "a-very-long-host-name", "10.77.0.11:31234", "healthy"];
        let row: Vec<Field> = texts.iter().map(field).collect();
        let mut at = |width| {
            view.width = Some(width);
            table(&view, 0, &head, vec![row.clone()])
        };
        assert_eq!(
            at(48),
            "ID  HOST               ADDRESS           STATE\n\
             r7  a-very-long-host…  10.77.0.11:31234  healthy\n"
        );
        assert_eq!(
            at(35),
            "ID  HOST                   STATE\n\
             r7  a-very-long-host-name  healthy\n\
             (no room for: ADDRESS)\n"
        );
    }

    #[test]
    fn the_first_column_and_what_is_not_named_stay_at_every_width() {
        let mut view = view_80();
        view.width = Some(5);
        let row = vec![field("10.77.0.11:31234"), field("9"), field("leader")];
        let text = table(&view, 0, &["ADDRESS", "TERM", "ROLE"], vec![row]);
        assert!(text.contains("10.77.0.11:31234  leader\n"), "{text}");
        assert!(!text.contains(" 9 "), "{text}");
    }
}
