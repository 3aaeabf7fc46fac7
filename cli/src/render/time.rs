//! Moments and spans as people say them.

use jiff::Timestamp;
pub use paasta_common::text::span;

use super::View;

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
