//! Lines of text: folded at the reader's width, what follows hanging under what it belongs to.

use super::View;

/// Below so many columns, text hangs near the margin instead of beside its label.
const NARROW: usize = 60;
/// Where a word that is longer than a line may be parted: after one of these.
const JOINTS: [char; 7] = ['.', '/', ':', '-', ',', '_', '@'];

/// Text that grows line by line.
#[derive(Debug)]
pub struct Lines<'a> {
    view: &'a View,
    text: String,
}

impl<'a> Lines<'a> {
    /// No lines yet.
    pub fn new(view: &'a View) -> Self {
        let text = String::new();
        Self { view, text }
    }

    /// Adds `first` (its label or bullet, indentation included) and `rest`, folded so that further
    /// lines hang `hang` columns in. Colours in `rest` must not span a blank.
    pub fn add(&mut self, first: &str, rest: &str, hang: usize) {
        self.text.push_str(first);
        let mut column = visible(first);
        // Nothing was added to this line yet, and whether it is the one of `first`.
        let (mut fresh, mut begun) = (true, first.trim().is_empty());
        for word in rest.split(' ') {
            let mut word = word;
            let room = |column: usize| self.view.width.map(|max| max.saturating_sub(column));
            let gap = usize::from(!fresh);
            let full = room(column + gap).is_some_and(|room| visible(word) > room);
            let fits_below = room(hang).is_none_or(|room| visible(word) <= room);
            if full && (!fresh || (!begun && fits_below)) && column > hang {
                self.break_line(hang);
                column = hang;
            } else if !fresh {
                self.text.push(' ');
                column += 1;
            }
            begun = true;
            while let Some((part, after)) = room(column).and_then(|room| parted(word, room)) {
                self.text.push_str(part);
                self.break_line(hang);
                (column, word) = (hang, after);
            }
            self.text.push_str(word);
            column += visible(word);
            fresh = false;
        }
        self.text.push('\n');
    }

    fn break_line(&mut self, hang: usize) {
        let end = self.text.trim_end_matches(' ').len();
        self.text.truncate(end);
        self.text.push('\n');
        self.text.push_str(&" ".repeat(hang));
    }

    /// Whether the reader has few columns.
    pub fn is_narrow(&self) -> bool {
        self.view.width.is_some_and(|width| width < NARROW)
    }

    /// Adds `label:` and the text, aligned with its neighbours: labels take `wide` columns. Where
    /// columns are few it is not aligned.
    pub fn field(&mut self, indent: usize, label: &str, wide: usize, rest: &str) {
        if self.is_narrow() {
            return self.add(&format!("{:indent$}{label}: ", ""), rest, indent + 2);
        }
        let hang = indent + wide;
        let label = format!("{label}:");
        let first = format!("{:indent$}{label:wide$}", "");
        self.add(&first, rest, hang);
    }

    /// Adds a line as it is.
    pub fn raw(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Adds text of several lines as it is, each `indent` columns in.
    pub fn block(&mut self, indent: usize, text: &str) {
        for line in text.lines() {
            self.raw(&format!("{:indent$}{line}", ""));
        }
    }

    /// The reader.
    pub fn view(&self) -> &'a View {
        self.view
    }

    /// The text, every line ended.
    pub fn finish(self) -> String {
        self.text
    }
}

/// The word's part that has room in so many columns, up to a joint, and the rest of it; none where
/// all of it has room, it has no joint there, or it is coloured.
fn parted(word: &str, room: usize) -> Option<(&str, &str)> {
    if word.chars().count() <= room || word.contains('\u{1b}') {
        return None;
    }
    let end = word.char_indices().nth(room)?.0;
    let joint = word[..end].rfind(JOINTS)?;
    let (part, after) = word.split_at(joint + 1);
    (!after.is_empty()).then_some((part, after))
}

/// Columns that the text takes: colours take none.
fn visible(text: &str) -> usize {
    let mut count = 0;
    let mut in_colour = false;
    for c in text.chars() {
        match c {
            '\u{1b}' => in_colour = true,
            'm' if in_colour => in_colour = false,
            _ if in_colour => {}
            _ => count += 1,
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

    #[test]
    fn long_text_is_folded_and_hangs() {
        let mut view = view_80();
        view.width = Some(20);
        let mut lines = Lines::new(&view);
        lines.add("  Why:  ", "one two three four five", 8);
        lines.add("  Url:  ", "unbreakablebutlongerthantheline x", 8);
        lines.add("  App:  ", "hello.main.git3f2a9c0d", 8);
        let wanted = "  Why:  one two\n        three four\n        five\n  \
                      Url:  unbreakablebutlongerthantheline\n        x\n  \
                      App:  hello.main.\n        git3f2a9c0d\n";
        assert_eq!(lines.finish(), wanted);
        view.width = Some(40);
        let mut lines = Lines::new(&view);
        lines.field(4, "Health", 16, "is beside its label, and hangs near it");
        assert_eq!(
            lines.finish(),
            "    Health: is beside its label, and\n      hangs near it\n"
        );
    }

    #[test]
    fn colours_take_no_room_and_no_width_means_no_folds() {
        let mut view = view_80();
        view.width = Some(8);
        let mut lines = Lines::new(&view);
        lines.add("", "\u{1b}[31mabc\u{1b}[0m \u{1b}[31mdef\u{1b}[0m", 0);
        assert_eq!(lines.finish().lines().count(), 1);
        view.width = None;
        let mut lines = Lines::new(&view);
        lines.add("", &"word ".repeat(200), 0);
        assert_eq!(lines.finish().lines().count(), 1);
    }
}
