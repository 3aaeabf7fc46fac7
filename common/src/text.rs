//! Texts for people: the beginning of one that is too long to show, and numbers with their noun.

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

#[cfg(test)]
mod tests {
    use super::*;

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
