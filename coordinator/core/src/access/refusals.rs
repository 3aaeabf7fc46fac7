//! Which refusals of calls are written down one by one: a few a minute of each caller. The others
//! are counted, and their number is written down when the minute is over.

use std::collections::BTreeMap;

use paasta_common::time::Timestamp;

/// Refusals of one caller that are written down one by one, within [`WINDOW_MS`].
pub const NOTED_MAX: u32 = 10;
/// The span within which refusals are counted together, milliseconds.
pub const WINDOW_MS: u64 = 60_000;
/// Callers that are counted each for itself, at most; all further ones are counted as one.
pub const CALLERS_MAX: usize = 1_024;

/// The caller as which those beyond [`CALLERS_MAX`] are counted.
pub const OTHERS: &str = "others";

/// The refusals of the last minute, by caller.
#[derive(Debug, Default)]
pub struct Refusals {
    callers: BTreeMap<String, Count>,
}

#[derive(Debug)]
struct Count {
    begun: Timestamp,
    noted: u32,
    left_out: u64,
}

impl Refusals {
    /// Whether this refusal of a caller is written down.
    pub fn is_noted(&mut self, caller: &str, now: Timestamp) -> bool {
        let known = self.callers.contains_key(caller);
        let caller = match known || self.callers.len() < CALLERS_MAX {
            true => caller,
            false => OTHERS,
        };
        let count = self.callers.entry(caller.to_owned()).or_insert(Count {
            begun: now,
            noted: 0,
            left_out: 0,
        });
        if count.noted < NOTED_MAX {
            count.noted += 1;
            return true;
        }
        count.left_out += 1;
        false
    }

    /// The callers whose minute is over, with the number of their refusals that were not written
    /// down; they are forgotten.
    pub fn over(&mut self, now: Timestamp) -> Vec<(String, u64)> {
        let mut over = Vec::new();
        self.callers.retain(|caller, count| {
            // A clock that was set back ends the minute too.
            let within = count.begun <= now && now.since_ms(count.begun) < WINDOW_MS;
            if !within && count.left_out > 0 {
                over.push((caller.clone(), count.left_out));
            }
            within
        });
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_of_each_caller_are_noted_and_the_others_are_counted() {
        let mut refusals = Refusals::default();
        let now = Timestamp(1_000);
        let noted = (0..1_000).filter(|_| refusals.is_noted("reader/bob", now));
        assert_eq!(noted.count(), NOTED_MAX as usize);
        assert!(refusals.is_noted("10.0.0.1", now));
        assert_eq!(refusals.over(now.after_ms(WINDOW_MS - 1)), []);
        let over = refusals.over(now.after_ms(WINDOW_MS));
        assert_eq!(over, [("reader/bob".to_owned(), 990)]);
        assert!(refusals.is_noted("reader/bob", now.after_ms(WINDOW_MS)));
    }

    #[test]
    fn many_callers_need_no_more_memory_than_some() {
        let mut refusals = Refusals::default();
        let now = Timestamp(1_000);
        for at in 0..10 * CALLERS_MAX {
            refusals.is_noted(&format!("10.0.0.{at}"), now);
        }
        assert!(refusals.callers.len() <= CALLERS_MAX + 1);
        let over = refusals.over(Timestamp(0));
        let expected = (9 * CALLERS_MAX) as u64 - u64::from(NOTED_MAX);
        assert_eq!(over, [(OTHERS.to_owned(), expected)]);
    }
}
