//! Numbers that follow each other, made to look like chance that can be repeated.

/// The golden ratio's fraction, in 2^64ths.
pub(crate) const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Spreads numbers that follow each other: multiples of the golden ratio are far apart.
pub(crate) fn scatter(number: u64) -> u64 {
    number.wrapping_add(1).wrapping_mul(GOLDEN) >> 20
}
