//! Messages to text. Nothing here decides anything or talks to anybody: the same message, view and
//! time give the same text, which is how the golden tests can exist.

use jiff::tz::TimeZone;

pub mod audit;
pub mod auth;
pub mod bounce;
pub mod bounces;
pub mod brake;
pub mod check;
pub mod cleanup;
pub mod cluster;
pub mod coordinators;
pub mod deploying;
pub mod deployments;
pub mod events;
pub mod glance;
pub mod history;
pub mod info;
pub mod lines;
pub mod logs;
pub mod maintenance;
pub mod metastatus;
pub mod plan;
pub mod problem;
pub mod quorum;
pub mod remotes;
pub mod replicas;
pub mod replication;
pub mod repository;
pub mod revoked;
pub mod saved;
pub mod settings;
pub mod short;
pub mod stale;
pub mod status;
pub mod table;
pub mod tails;
pub mod time;
pub mod tokens;
pub mod top;
pub mod validate;
pub mod waiting;
pub mod why;

/// How the reader wants to see text.
#[derive(Debug, Clone)]
pub struct View {
    /// Lines are folded at this many columns; never when absent.
    pub width: Option<usize>,
    /// Whether colours are understood.
    pub colour: bool,
    /// The reader's time zone.
    pub zone: TimeZone,
    /// Whether commits and digests are wanted whole, and everything else that is cut by default.
    pub full: bool,
}

/// What a piece of text says at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Worth a look.
    Fair,
    /// Someone must act.
    Bad,
    /// Less important than the rest.
    Faint,
    /// A heading.
    Strong,
}

impl View {
    /// So many columns, no colours, UTC.
    pub fn of_width(columns: usize) -> Self {
        Self {
            width: Some(columns),
            colour: false,
            zone: TimeZone::UTC,
            full: false,
        }
    }

    /// The text in its tone, or as it is where colours are not wanted.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Fair => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

impl View {
    /// The text as by [`plain`], its commits and digests short unless they are wanted whole.
    pub fn said(&self, text: &str) -> String {
        match self.full {
            true => plain(text),
            false => short::ids(&plain(text)),
        }
    }
}

/// The text on one line and without anything that a terminal would obey: much of what is shown
/// was written by containers.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The view of the golden tests: 80 columns, no colours, UTC.
#[cfg(test)]
pub(crate) fn view_80() -> View {
    View::of_width(80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_not_passed_on() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{7}\r\n"), "a\u{fffd}[2Jb c\u{fffd}");
    }

    #[test]
    fn colours_only_where_wanted() {
        let mut view = view_80();
        assert_eq!(view.paint(Tone::Bad, "x"), "x");
        view.colour = true;
        assert_eq!(view.paint(Tone::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(view.paint(Tone::Bad, ""), "");
    }
}
