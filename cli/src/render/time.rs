//! Moments and spans as people say them.

use jiff::Timestamp;

use super::View;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The reader's local time, `2025-11-23 13:10:05`; `never` for zero.
pub fn moment(ms: u64, view: &View) -> String {
    let stamp = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    match stamp {
        Some(_) if ms == 0 => "never".to_owned(),
        Some(stamp) => {
            let local = stamp.to_zoned_datetime(view.zone.clone());
            local.strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
        None => format!("{ms} ms"),
    }
}

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

/// How long ago, or how soon: `2m 5s ago`, `in 40s`, or `now`.
pub fn distance(ms: u64, now_ms: u64) -> String {
    match ms.checked_sub(now_ms) {
        Some(0) => "now".to_owned(),
        Some(ahead) => format!("in {}", span(ahead)),
        _ => format!("{} ago", span(now_ms - ms)),
    }
}

/// The moment and its distance: `2025-11-23 13:10:05 (2m 5s ago)`.
pub fn moment_and_distance(ms: u64, now_ms: u64, view: &View) -> String {
    match ms {
        0 => "never".to_owned(),
        ms => format!("{} ({})", moment(ms, view), distance(ms, now_ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

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
    fn moments_are_local_and_never_panic() {
        let view = view_80();
        let said = moment_and_distance(1_763_903_405_000, 1_763_903_530_000, &view);
        assert_eq!(said, "2025-11-23 13:10:05 (2m 5s ago)");
        assert_eq!(distance(5_000, 1_000), "in 4s");
        assert_eq!(distance(1_000, 1_000), "now");
        assert_eq!(moment(0, &view), "never");
        assert_eq!(moment(u64::MAX, &view), format!("{} ms", u64::MAX));
    }
}
