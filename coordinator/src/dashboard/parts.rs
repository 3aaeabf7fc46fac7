//! Small pieces of pages. A state is never said by colour alone: it has its word and a shape.

use std::time::{Duration, UNIX_EPOCH};

use maud::{Markup, html};
use paasta_proto::{
    v1::InstanceStatus,
    verdict::{
        cluster::Level,
        glance::{Need, glance},
    },
};

/// The last moment that has a date of four digits, milliseconds since 1970.
const MOMENT_MAX_MS: u64 = 253_402_300_799_000;
/// Digits of a commit that are shown.
const SHA_DIGITS: usize = 8;

/// What a state means for the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// On its way.
    Moving,
    /// It waits for something.
    Waits,
    /// Someone must act.
    Bad,
    /// Nothing is wanted of it.
    Idle,
}

impl Tone {
    /// The class of its colour.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Moving => "moving",
            Self::Waits => "waits",
            Self::Bad => "bad",
            Self::Idle => "idle",
        }
    }

    /// A shape of its own for each.
    pub(super) fn shape(self) -> &'static str {
        match self {
            Self::Good => "●",
            Self::Moving => "◐",
            Self::Waits => "▲",
            Self::Bad => "✖",
            Self::Idle => "○",
        }
    }
}

impl From<Level> for Tone {
    fn from(level: Level) -> Self {
        match level {
            Level::Ok => Self::Good,
            Level::Warning => Self::Waits,
            Level::Critical => Self::Bad,
        }
    }
}

/// A word with its shape and colour.
pub(super) fn badge(tone: Tone, word: &str) -> Markup {
    html! {
        span.badge.(tone.class()) { span aria-hidden="true" { (tone.shape()) } " " (word) }
    }
}

/// How an instance stands, in the word of `paasta status`.
pub(super) fn state(status: &InstanceStatus) -> Markup {
    let seen = glance(status);
    let tone = match (seen.need, seen.word) {
        (Need::Rest, "stopped") => Tone::Idle,
        (Need::Rest, _) => Tone::Good,
        (Need::Act, _) => Tone::Bad,
        (Need::Look, "bouncing" | "deploying" | "stopping" | "removing") => Tone::Moving,
        (Need::Look, _) => Tone::Waits,
    };
    badge(tone, seen.word)
}

/// A command line that says or does the same.
pub(super) fn command(words: &str) -> Markup {
    html! { code.command { (words) } }
}

/// A moment in UTC; a script shows it in the time of the browser. `never` for zero.
pub(super) fn moment(ms: u64) -> Markup {
    if ms == 0 {
        return html! { "never" };
    }
    let at = UNIX_EPOCH + Duration::from_millis(ms.min(MOMENT_MAX_MS));
    let text = humantime::format_rfc3339_seconds(at).to_string();
    let shown = text.replace('T', " ").replace('Z', " UTC");
    html! { time datetime=(text) { (shown) } }
}

/// How much there is of what is wanted, as numbers and as a bar.
pub(super) fn progress(label: &str, have: u32, wanted: u32) -> Markup {
    html! {
        (have) "/" (wanted) " "
        progress max=(wanted.max(1)) value=(have.min(wanted.max(1))) aria-label=(label) {}
    }
}

/// The page of an instance.
pub(super) fn instance_link(name: &str) -> Markup {
    html! { a href={ "/i/" (name) } { (name) } }
}

/// `SERVICE.INSTANCE`
pub(super) fn name_of(status: &InstanceStatus) -> String {
    format!("{}.{}", status.service, status.instance)
}

/// A commit, as far as it is shown; `none` for nothing.
pub(super) fn version(sha: &str) -> Markup {
    match sha.get(..SHA_DIGITS).unwrap_or(sha) {
        "" => html! { "none" },
        begin => html! { code { (begin) } },
    }
}

/// What is said where there is no script.
pub(super) fn noscript() -> Markup {
    html! { noscript { p { "Without a script this page is loaded again every 30 s." } } }
}
