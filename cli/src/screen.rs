//! A terminal as a whole screen that is drawn over in place. The one file that names the library
//! for it.

use std::io::{self, Stdout, Write as _};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    queue,
    style::Print,
    terminal::{
        self, BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
        EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    },
};

/// The screen; what was on the terminal before comes back when it is dropped.
#[derive(Debug)]
pub struct Screen {
    out: Stdout,
    /// What is shown, left on the terminal in the end.
    shown: String,
}

impl Screen {
    /// Takes the terminal of standard output.
    ///
    /// # Errors
    /// It cannot be written to.
    pub fn open() -> io::Result<Self> {
        let mut out = io::stdout();
        queue!(out, EnterAlternateScreen, Hide, DisableLineWrap)?;
        out.flush()?;
        let shown = String::new();
        Ok(Self { out, shown })
    }

    /// Draws the text over what is shown, line by line, without clearing the screen first. Lines
    /// for which there is no room are counted in the last one.
    ///
    /// # Errors
    /// The terminal cannot be written to.
    pub fn draw(&mut self, text: &str) -> io::Result<()> {
        let rows = terminal::size().map_or(24, |(_, rows)| rows);
        let lines = fitted(text, usize::from(rows));
        queue!(self.out, BeginSynchronizedUpdate)?;
        for (row, line) in (0..).zip(&lines) {
            let clear = Clear(ClearType::UntilNewLine);
            queue!(self.out, MoveTo(0, row), Print(line), clear)?;
        }
        queue!(
            self.out,
            Clear(ClearType::FromCursorDown),
            EndSynchronizedUpdate
        )?;
        self.shown = lines.join("\n");
        self.out.flush()
    }
}

/// The terminal of standard input as it comes: no line editing, no echo, no signals. Dropped, it is
/// as before.
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// Takes it.
    ///
    /// # Errors
    /// Standard input is no terminal.
    pub fn open() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no mode.
        let _ = terminal::disable_raw_mode();
    }
}

/// Rows and columns of the terminal.
pub fn size() -> (u16, u16) {
    terminal::size().map_or((24, 80), |(columns, rows)| (rows, columns))
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nowhere to say that the terminal is gone.
        let _ = queue!(self.out, EnableLineWrap, Show, LeaveAlternateScreen)
            .and_then(|()| writeln!(self.out, "{}", self.shown))
            .and_then(|()| self.out.flush());
    }
}

/// The lines that have room in so many rows.
fn fitted(text: &str, rows: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    if lines.len() <= rows {
        return owned(&lines);
    }
    let shown = rows.saturating_sub(1);
    let mut fit: Vec<String> = owned(&lines[..shown]);
    fit.push(format!("({} more lines)", lines.len() - shown));
    fit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_counted() {
        assert_eq!(fitted("a\nb\n", 2), ["a", "b"]);
        assert_eq!(fitted("a\nb\nc\n", 2), ["a", "(2 more lines)"]);
    }
}
