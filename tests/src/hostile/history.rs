//! Whether what clients saw of a register can have been one register: the search of Wing and Gong
//! with Lowe's memory of where it was before.

use std::collections::{BTreeMap, HashSet};

/// How many steps the search takes at most, for one register.
const STEPS_MAX: u64 = 20_000_000;

/// What a client asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The register has this value from now on.
    Write(u64),
    /// It had this value.
    Read(u64),
}

/// One call. Times are of one clock, and no two are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who asked.
    pub client: usize,
    /// What.
    pub act: Act,
    /// When it was asked.
    pub began: u64,
    /// When it was answered; `None` when it is unknown whether it was done, or will be.
    pub ended: Option<u64>,
}

/// Why a history is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No order of the calls explains what was read.
    #[error("not linearizable: nothing explains {call:?}; around it:\n{around}")]
    NotLinearizable {
        /// The call at which the longest explanation ends.
        call: Call,
        /// The calls of about that time.
        around: String,
    },
    /// The search has a bound.
    #[error("not decided within {STEPS_MAX} steps, over {calls} calls")]
    TooLong {
        /// Of the history.
        calls: usize,
    },
}

/// One end of a call, in a doubly linked list by time that has its head at 0.
#[derive(Clone, Copy)]
struct End {
    call: usize,
    /// Of a beginning, where its answer is.
    answer: Option<usize>,
    before: usize,
    after: usize,
}

/// Calls in which no two writes have the same value, of one register that holds `initial`.
///
/// # Errors
/// [`Refused`].
pub fn check(initial: u64, calls: &[Call]) -> Result<(), Refused> {
    let calls = relevant(calls);
    let mut ends = list(&calls);
    let mut value = initial;
    let (mut done, mut marks) = (0_u128, HashSet::new());
    // What was linearized, with the value before.
    let mut path: Vec<(usize, u64)> = Vec::new();
    let mut at = ends[0].after;
    let (mut steps, mut furthest) = (0_u64, 0);
    while ends[0].after != 0 {
        steps += 1;
        if steps > STEPS_MAX {
            return Err(Refused::TooLong { calls: calls.len() });
        }
        let end = ends[at];
        if let Some(answer) = end.answer {
            let call = calls[end.call];
            let next = match call.act {
                Act::Write(new) => Some(new),
                Act::Read(seen) => (seen == value).then_some(value),
            };
            if let Some(next) = next {
                let with = done ^ mark(end.call);
                if marks.insert((with, next)) {
                    path.push((at, value));
                    (done, value) = (with, next);
                    lift(&mut ends, at, answer);
                    at = ends[0].after;
                    continue;
                }
            }
            at = end.after;
            continue;
        }
        // An answer is reached before its call was placed: something before it was placed wrongly.
        if calls[end.call].ended.is_none() {
            // Only calls of unknown outcome are left: they need not have happened.
            return Ok(());
        }
        furthest = furthest.max(end.call);
        let Some((last, earlier)) = path.pop() else {
            return Err(unexplained(&calls, furthest));
        };
        value = earlier;
        done ^= mark(ends[last].call);
        if let Some(answer) = ends[last].answer {
            unlift(&mut ends, last, answer);
        }
        at = ends[last].after;
    }
    Ok(())
}

/// Without the writes of unknown outcome that no call read: they explain nothing.
fn relevant(calls: &[Call]) -> Vec<Call> {
    let read: HashSet<u64> = calls
        .iter()
        .filter_map(|call| match call.act {
            Act::Read(value) => Some(value),
            Act::Write(_) => None,
        })
        .collect();
    let mut kept: Vec<Call> = calls
        .iter()
        .filter(|call| match (call.act, call.ended) {
            (Act::Write(value), None) => read.contains(&value),
            (Act::Read(_), None) => false,
            (_, Some(_)) => true,
        })
        .copied()
        .collect();
    kept.sort_by_key(|call| call.ended.unwrap_or(u64::MAX));
    kept
}

fn list(calls: &[Call]) -> Vec<End> {
    // Beginnings before answers of the same time, which makes them concurrent.
    let mut order: BTreeMap<(u64, bool, usize), usize> = BTreeMap::new();
    for (at, call) in calls.iter().enumerate() {
        order.insert((call.began, false, at), at);
        order.insert((call.ended.unwrap_or(u64::MAX), true, at), at);
    }
    let head = End {
        call: usize::MAX,
        answer: None,
        before: 0,
        after: 0,
    };
    let mut ends = vec![head];
    let mut begun: BTreeMap<usize, usize> = BTreeMap::new();
    for ((_, is_answer, _), call) in order {
        let at = ends.len();
        match is_answer {
            true => ends[begun[&call]].answer = Some(at),
            false => drop(begun.insert(call, at)),
        }
        ends[at - 1].after = at;
        ends.push(End {
            call,
            answer: None,
            before: at - 1,
            after: 0,
        });
    }
    let last = ends.len() - 1;
    ends[0].before = last;
    ends
}

fn lift(ends: &mut [End], beginning: usize, answer: usize) {
    for at in [beginning, answer] {
        let End { before, after, .. } = ends[at];
        ends[before].after = after;
        ends[after].before = before;
    }
}

fn unlift(ends: &mut [End], beginning: usize, answer: usize) {
    for at in [answer, beginning] {
        let End { before, after, .. } = ends[at];
        ends[before].after = at;
        ends[after].before = at;
    }
}

/// Two halves of a mark for each call: sets are told apart by the exclusive or of their marks.
fn mark(call: usize) -> u128 {
    let half = |seed: u64| {
        let mut word = (call as u64)
            .wrapping_add(seed)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    };
    (u128::from(half(0x5EED)) << 64) | u128::from(half(0xACE5_0000_0000))
}

fn unexplained(calls: &[Call], at: usize) -> Refused {
    let call = calls[at];
    let ended = call.ended.unwrap_or(u64::MAX);
    let near = calls
        .iter()
        .filter(|other| other.began < ended && other.ended.unwrap_or(u64::MAX) >= call.began)
        .chain(calls[at.saturating_sub(8)..at].iter());
    let mut lines: Vec<String> = near.map(|call| format!("  {call:?}")).collect();
    lines.sort();
    lines.dedup();
    Refused::NotLinearizable {
        call,
        around: lines.join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(client: usize, act: Act, began: u64, ended: u64) -> Call {
        Call {
            client,
            act,
            began,
            ended: Some(ended),
        }
    }

    fn unknown(client: usize, value: u64, began: u64) -> Call {
        Call {
            client,
            act: Act::Write(value),
            began,
            ended: None,
        }
    }

    use Act::{Read, Write};

    #[test]
    fn what_one_register_can_do_is_accepted() {
        let histories: [&[Call]; 6] = [
            &[],
            &[call(1, Read(0), 1, 2)],
            &[call(1, Write(1), 1, 2), call(2, Read(1), 3, 4)],
            // While it is being written, either value.
            &[
                call(1, Write(1), 1, 10),
                call(2, Read(0), 2, 3),
                call(2, Read(1), 4, 5),
            ],
            // Two at once, in the order that the reads say.
            &[
                call(1, Write(1), 1, 10),
                call(2, Write(2), 2, 9),
                call(3, Read(2), 11, 12),
            ],
            // The search must place a later write first.
            &[
                call(1, Write(1), 1, 20),
                call(2, Write(2), 2, 19),
                call(3, Read(2), 3, 5),
                call(3, Read(1), 6, 8),
            ],
        ];
        for history in histories {
            assert_eq!(check(0, history), Ok(()), "{history:?}");
        }
    }

    #[test]
    fn a_write_of_unknown_outcome_may_have_happened_late_or_never() {
        let mut history = vec![unknown(1, 1, 1), call(2, Read(0), 5, 6)];
        assert_eq!(check(0, &history), Ok(()), "not yet");
        history.push(call(2, Read(1), 7, 8));
        assert_eq!(check(0, &history), Ok(()), "late");
        history.push(call(2, Write(2), 9, 10));
        history.push(call(2, Read(2), 11, 12));
        assert_eq!(check(0, &history), Ok(()));
        history.push(call(2, Read(1), 13, 14));
        assert!(check(0, &history).is_err(), "but not twice");
    }

    #[test]
    fn what_no_register_does_is_refused() {
        let histories: [(&str, &[Call]); 6] = [
            (
                "a stale read",
                &[
                    call(1, Write(1), 1, 2),
                    call(1, Write(2), 3, 4),
                    call(2, Read(1), 5, 6),
                ],
            ),
            (
                "a lost write",
                &[call(1, Write(1), 1, 2), call(2, Read(0), 3, 4)],
            ),
            ("a value from nowhere", &[call(1, Read(7), 1, 2)]),
            (
                "a value before it was written",
                &[call(1, Read(1), 1, 2), call(2, Write(1), 3, 4)],
            ),
            (
                "two readers who disagree on the order",
                &[
                    call(1, Write(1), 1, 30),
                    call(2, Write(2), 2, 31),
                    call(3, Read(1), 3, 5),
                    call(3, Read(2), 6, 8),
                    call(4, Read(2), 4, 9),
                    call(4, Read(1), 10, 12),
                ],
            ),
            (
                "back to the value before, while a write is under way",
                &[
                    call(1, Write(1), 1, 20),
                    call(2, Read(1), 2, 3),
                    call(2, Read(0), 4, 5),
                ],
            ),
        ];
        for (what, history) in histories {
            let refused = check(0, history);
            assert!(
                matches!(refused, Err(Refused::NotLinearizable { .. })),
                "{what}: {refused:?}"
            );
        }
    }

    /// A register that answers in a random order of concurrent calls is accepted, and the same
    /// history with one read of an overwritten value is refused, at the length of a real run.
    #[test]
    fn a_long_history_is_decided_in_time_either_way() {
        let (mut history, mut value, mut now) = (Vec::new(), 0, 0);
        let mut chance = 12_345_u64;
        for round in 1..=2_000_u64 {
            let mut last = value;
            for client in 0..3_usize {
                chance = chance
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let act = match chance >> 63 {
                    0 => Write(round * 10 + client as u64),
                    _ => Read(last),
                };
                if let Write(new) = act {
                    last = new;
                }
                history.push(call(
                    client,
                    act,
                    now + client as u64,
                    now + 100 - client as u64,
                ));
            }
            value = last;
            now += 200;
        }
        assert_eq!(check(0, &history), Ok(()));
        let old = history.iter().find_map(|call| match call.act {
            Write(value) => Some(value),
            Read(_) => None,
        });
        history.push(call(9, Read(old.expect("some wrote")), now, now + 1));
        assert!(check(0, &history).is_err());
    }
}
