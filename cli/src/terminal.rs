//! Where the text goes: whether colours are wanted, how wide the lines may be.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use jiff::tz::TimeZone;

use crate::render::View;

/// The narrowest width that text is laid out for; a smaller terminal wraps by itself.
const WIDTH_MIN: usize = 30;

/// Whether `stream` should get colours: only a terminal does, and NO_COLOR (any value) refuses.
pub fn colours(stream: &impl IsTerminal) -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !refused && !dumb
}

/// How standard output wants its text. What is piped on is never wrapped, unless COLUMNS says so.
pub fn view() -> View {
    let columns = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let terminal = comfy_table::Table::new().width().map(usize::from);
    View {
        width: columns
            .or(terminal)
            .map(|width: usize| width.max(WIDTH_MIN)),
        colour: colours(&io::stdout()),
        zone: TimeZone::system(),
        full: false,
    }
}

/// Writes to standard output, and returns whether it is still read. A reader that went away, as in
/// `paasta list | head`, is no failure.
///
/// # Errors
/// Any other reason why nothing can be written.
pub fn print_on(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => result.map(|()| true),
    }
}

/// Writes bytes to standard output, some of many. False when the reader went away.
///
/// # Errors
/// Any other reason why nothing can be written.
pub fn write(bytes: &[u8]) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes bytes to standard error. False when the reader went away.
pub fn write_error(bytes: &[u8]) -> bool {
    let mut out = io::stderr().lock();
    out.write_all(bytes).and_then(|()| out.flush()).is_ok()
}

/// Writes a line to standard error: what a reader of the output must not miss, and a program
/// reading it must not get.
pub fn note(text: &str) {
    // There is nowhere left to say that standard error is gone.
    let _ = writeln!(io::stderr(), "paasta: {text}");
}
