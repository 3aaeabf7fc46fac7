//! Moments as people give them.

use paasta_common::time::Timestamp;
use paasta_process::clock::{Clock, SystemClock};

/// A moment of the past, milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since(u64);

impl Since {
    /// Milliseconds since 1970.
    pub fn ms(self) -> u64 {
        self.0
    }
}

/// Reads a moment, or how long ago it is.
pub(super) fn since(text: &str) -> Result<Since, String> {
    before(text, SystemClock.now())
}

fn before(text: &str, now: Timestamp) -> Result<Since, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(Since(now.before(ago).0));
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => Ok(Since(u64::try_from(at.as_millisecond()).unwrap_or(0))),
        Err(_) => {
            Err("expected a time as 2025-11-23T13:10:00Z, or how long ago, as 10m or 2h".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_or_how_long_ago() {
        let now = Timestamp(1_000_000_000);
        assert_eq!(before("10m", now), Ok(Since(999_400_000)));
        assert_eq!(before("1970-01-01T00:00:02Z", now), Ok(Since(2_000)));
        assert_eq!(before("1970-01-01T01:00:02+01:00", now), Ok(Since(2_000)));
        assert_eq!(before("100years", now), Ok(Since(0)));
        for odd in ["yesterday", "10", "", "2025-11-23"] {
            assert!(before(odd, now).is_err(), "{odd}");
        }
    }
}
