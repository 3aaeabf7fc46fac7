//! Moments as dockerd and the files of captured output write them: RFC 3339, UTC, nine digits.

use jiff::Timestamp;

/// How many bytes [`write()`] makes.
pub const WIDTH: usize = 30;

/// Nanoseconds since the Unix epoch; none when the text is no moment after it.
pub fn parse(text: &[u8]) -> Option<u64> {
    let moment: Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
    u64::try_from(moment.as_nanosecond()).ok()
}

/// The moment in [`WIDTH`] bytes, `2026-11-25T19:45:04.000000001Z`.
pub fn write(at_ns: u64) -> String {
    let moment = Timestamp::from_nanosecond(i128::from(at_ns)).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{moment:.9}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_keeps_its_order() {
        for at_ns in [0, 1, 1_763_903_405_123_456_789, u64::MAX] {
            let text = write(at_ns);
            assert_eq!(text.len(), WIDTH, "{text}");
            assert_eq!(parse(text.as_bytes()), Some(at_ns));
        }
        assert_eq!(write(1), "1970-01-01T00:00:00.000000001Z");
        assert!(write(999_999_999) < write(1_000_000_000));
        for wrong in [&b"yesterday"[..], b"", b"\xff", b"1969-12-31T23:59:59Z"] {
            assert_eq!(parse(wrong), None);
        }
    }
}
