//! Texts for people: the beginning of one that is too long to show, numbers with their noun, and
//! spans of time.

/// At most the first `max` characters of a text.
pub fn beginning(text: &str, max: usize) -> &str {
    match text.char_indices().nth(max) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// At most the first `max` characters of a text, with `…` where there are more.
pub fn shortened(text: &str, max: usize) -> String {
    let shown = beginning(text, max);
    match shown.len() < text.len() {
        true => format!("{shown}…"),
        false => shown.to_owned(),
    }
}

/// A number with its noun, which gets an `s` for every number but 1: `1 replica`, `0 replicas`.
pub fn count(number: impl Into<u64>, noun: &str) -> String {
    match number.into() {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}

/// The same for a length.
pub fn count_of(length: usize, noun: &str) -> String {
    count(u64::try_from(length).unwrap_or(u64::MAX), noun)
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A span in its two largest units: `45s`, `2m 5s`, `3h`, `2d 4h`.
pub fn span(ms: u64) -> String {
    let (large, unit, small, small_unit) = match ms {
        ms if ms < SECOND => return format!("{ms}ms"),
        ms if ms < MINUTE => return format!("{}s", ms / SECOND),
        ms if ms < HOUR => (ms / MINUTE, "m", ms % MINUTE / SECOND, "s"),
        ms if ms < DAY => (ms / HOUR, "h", ms % HOUR / MINUTE, "m"),
        ms => (ms / DAY, "d", ms % DAY / HOUR, "h"),
    };
    match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit} {small}{small_unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_units() {
        for (ms, said) in [
            (0, "0ms"),
            (999, "999ms"),
            (59_999, "59s"),
            (60_000, "1m"),
            (125_000, "2m 5s"),
            (3 * HOUR, "3h"),
            (2 * DAY + 4 * HOUR + MINUTE, "2d 4h"),
        ] {
            assert_eq!(span(ms), said);
        }
    }

    #[test]
    fn one_is_singular_and_everything_else_plural() {
        for (number, said) in [(0_u8, "0 hosts"), (1, "1 host"), (2, "2 hosts")] {
            assert_eq!(count(number, "host"), said);
            assert_eq!(count_of(usize::from(number), "host"), said);
        }
    }

    #[test]
    fn characters_are_counted_and_never_split() {
        for (text, max, begins, shows) in [
            ("", 3, "", ""),
            ("äöü", 3, "äöü", "äöü"),
            ("äöüß", 3, "äöü", "äöü…"),
            ("abc", 0, "", "…"),
        ] {
            assert_eq!(beginning(text, max), begins);
            assert_eq!(shortened(text, max), shows);
        }
    }
}
