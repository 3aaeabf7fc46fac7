//! Time as a value. Who needs the current time is given it: nothing here reads a clock.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `span` later; the far end of time when that overflows.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        self.after_ms(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }

    /// The moment `ms` milliseconds later.
    #[must_use]
    pub fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The moment `span` earlier; 1970 when that is before it.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(ms))
    }

    /// Milliseconds from `earlier` to this moment; zero when `earlier` is later, as clocks jump.
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What is before 1970 becomes 1970: such a clock is set wrongly.
impl From<SystemTime> for Timestamp {
    fn from(at: SystemTime) -> Self {
        Self(0).after(at.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

/// The moment as certificates and files have it.
impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(at.0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_the_system_are_milliseconds_since_1970() {
        let second = UNIX_EPOCH + Duration::from_secs(1);
        assert_eq!(Timestamp::from(second), Timestamp(1_000));
        assert_eq!(SystemTime::from(Timestamp(1_000)), second);
        let early = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Timestamp::from(early), Timestamp(0));
        let span = Duration::from_secs(2);
        assert_eq!(Timestamp::from(second).before(span), Timestamp(0));
        assert_eq!(Timestamp(u64::MAX).after(span), Timestamp(u64::MAX));
        // The far end of time is a moment, too.
        assert_eq!(
            Timestamp::from(SystemTime::from(Timestamp(u64::MAX))),
            Timestamp(u64::MAX)
        );
    }
}
