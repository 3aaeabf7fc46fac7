//! Asks a person whether something is meant that cannot be undone.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// Shows the question on standard error and reads a line: only `yes` means yes, and the end of the
/// input means no.
///
/// # Errors
/// Standard input cannot be read.
pub(super) fn confirm(question: &str) -> io::Result<bool> {
    // The question is for a person; there is nowhere left to say that standard error is gone.
    let _ = write!(io::stderr(), "{question} Type yes to go on: ");
    let _ = io::stderr().flush();
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    if !io::stdin().is_terminal() {
        let _ = writeln!(io::stderr());
    }
    Ok(line.trim() == "yes")
}
