//! Tables: columns by blanks only, so that they can be cut and pasted. The one file that names the
//! table library.

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};

use super::{Tone, View, plain};

/// The column that gives way when the width does not do; what may be copied elsewhere never breaks.
const SOFT: &str = "HOST";

/// A cell: its text and, where it matters, its tone.
pub type Field = (String, Option<Tone>);

/// A cell without a tone.
pub fn field(text: impl ToString) -> Field {
    (text.to_string(), None)
}

/// A table with a heading over each column, `indent` columns in, every line ended.
pub fn table(view: &View, indent: usize, head: &[&str], rows: Vec<Vec<Field>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    match view.colour {
        true => table.enforce_styling(),
        false => table.force_no_tty(),
    };
    match view
        .width
        .and_then(|width| u16::try_from(width - indent.min(width)).ok())
    {
        Some(width) => table
            .set_content_arrangement(ContentArrangement::Dynamic)
            // The padding of the last column is cut off again below.
            .set_width(width.saturating_add(2)),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    let bold = |name: &&str| Cell::new(name).add_attribute(Attribute::Bold);
    table.set_header(head.iter().map(bold).collect::<Vec<_>>());
    for row in rows {
        table.add_row(row.into_iter().map(cell).collect::<Vec<_>>());
    }
    for (column, name) in table.column_iter_mut().zip(head) {
        column.set_padding((0, 2));
        if *name != SOFT {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
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
    fn the_host_gives_way_and_the_address_never() {
        let mut view = view_80();
        view.width = Some(30);
        let row = vec![field("a-very-long-host-name"), field("10.77.0.11:31234")];
        let text = table(&view, 0, &["HOST", "ADDRESS"], vec![row]);
        assert!(text.contains("10.77.0.11:31234\n"), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 30),
            "{text}"
        );
    }
}
