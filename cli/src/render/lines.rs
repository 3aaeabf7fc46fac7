//! Lines of text: folded at the reader's width, what follows hanging under what it belongs to.

use super::View;

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
        let mut fresh = true;
        for word in rest.split(' ') {
            let width = visible(word);
            let full = self.view.width.is_some_and(|max| column + 1 + width > max);
            if !fresh && full {
                self.text.push('\n');
                self.text.push_str(&" ".repeat(hang));
                column = hang;
            } else if !fresh {
                self.text.push(' ');
                column += 1;
            }
            self.text.push_str(word);
            column += width;
            fresh = false;
        }
        self.text.push('\n');
    }

    /// Adds `label:` and the text, aligned with its neighbours: labels take `wide` columns.
    pub fn field(&mut self, indent: usize, label: &str, wide: usize, rest: &str) {
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
        lines.field(2, "Why", 6, "one two three four five");
        lines.field(2, "Url", 6, "unbreakable-but-longer-than-the-line x");
        let wanted = "  Why:  one two\n        three four\n        five\n  \
                      Url:  unbreakable-but-longer-than-the-line\n        x\n";
        assert_eq!(lines.finish(), wanted);
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
