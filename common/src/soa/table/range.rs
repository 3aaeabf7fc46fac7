//! The bounds of a number.

/// The bounds of a number and the words for them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    low: f64,
    /// Whether `low` itself is out.
    open: bool,
    high: f64,
}

impl Range {
    /// From `low` to `high`, both allowed.
    pub const fn within(low: f64, high: f64) -> Self {
        Self {
            low,
            open: false,
            high,
        }
    }

    /// More than `low`, up to `high`.
    pub const fn above(low: f64, high: f64) -> Self {
        Self {
            low,
            open: true,
            high,
        }
    }

    /// The rule that `value` breaks.
    pub(super) fn refusal(self, value: f64) -> Option<String> {
        let low_ok = if self.open {
            value > self.low
        } else {
            value >= self.low
        };
        if low_ok && value <= self.high {
            return None;
        }
        let word = if self.open { "more than" } else { "at least" };
        let mut rule = format!("must be {word} {}", self.low);
        if self.high < f64::MAX {
            rule.push_str(&format!(" and at most {}", self.high));
        }
        Some(rule)
    }

    /// The lowest value, whether it is itself out, and the highest one.
    pub(super) const fn bounds(self) -> (f64, bool, f64) {
        (self.low, self.open, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_in_or_out_as_the_rule_says() {
        let above = Range::above(32.0, 1000.0);
        let within = Range::within(0.0, f64::MAX);
        for (range, value, expected) in [
            (above, 32.5, None),
            (above, 1000.0, None),
            (above, 32.0, Some("must be more than 32 and at most 1000")),
            (above, 1001.0, Some("must be more than 32 and at most 1000")),
            (within, 0.0, None),
            (within, -1.0, Some("must be at least 0")),
            (within, f64::NAN, Some("must be at least 0")),
        ] {
            assert_eq!(range.refusal(value).as_deref(), expected, "{value}");
        }
    }
}
