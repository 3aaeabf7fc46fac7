//! The beginning of a text, where all of it would be too much to show.

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

#[cfg(test)]
mod tests {
    use super::*;

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
