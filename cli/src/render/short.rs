//! Commits and digests in their short form, which is enough to tell them apart.

/// Hexadecimal digits of a short commit.
const COMMIT: usize = 8;
/// Hexadecimal digits of a short digest.
const DIGEST: usize = 12;

/// The text with every commit (40 or 64 hexadecimal digits) and every digest (64 after `sha256:`)
/// cut to its first digits.
pub fn ids(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = rest.chars().take_while(|c| is_digit(*c)).count();
        let (end, shown) = match digits {
            // Digits are ASCII: as many bytes as characters.
            64 if out.ends_with("sha256:") => (64, DIGEST),
            40 | 64 => (digits, COMMIT),
            0 => (first.len_utf8(), first.len_utf8()),
            other => (other, other),
        };
        out.push_str(&rest[..shown]);
        rest = &rest[end..];
    }
    out
}

fn is_digit(c: char) -> bool {
    matches!(c, '0'..='9' | 'a'..='f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_ids_are_cut_and_nothing_else_is() {
        let (commit, digest) = ("3f2a9c0d".repeat(5), "0123456789abcdef".repeat(4));
        for (text, short) in [
            (
                format!("r:5000/services-x:paasta-{commit} is missing"),
                "r:5000/services-x:paasta-3f2a9c0d is missing",
            ),
            (format!("x@sha256:{digest}, y"), "x@sha256:0123456789ab, y"),
            (digest.clone(), "01234567"),
            (format!("{commit}0"), format!("{commit}0").as_str()),
            ("ä 3f2a9c0d".to_owned(), "ä 3f2a9c0d"),
        ] {
            assert_eq!(ids(&text), short);
        }
    }
}
