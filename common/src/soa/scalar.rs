//! What an unquoted word of YAML is: a number, a boolean, nothing, or text.
//!
//! By the rules of YAML 1.1 as PaaSTA's parser applies them, since that is what every existing
//! file was written for: `on` is a boolean, `010` is eight, `1:30` is ninety, `1e3` is text.

use super::node::Value;

/// Reads an unquoted word.
pub fn resolve(word: &str) -> Value {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    // Words are what most values are; only these characters can begin a number.
    if !word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return Value::Text(word.to_owned());
    }
    integer(word)
        .or_else(|| float(word))
        .unwrap_or_else(|| Value::Text(word.to_owned()))
}

fn integer(word: &str) -> Option<Value> {
    let (negative, digits) = signed(word);
    let magnitude: f64;
    let exact: Option<i64>;
    if let Some(binary) = digits.strip_prefix("0b") {
        (exact, magnitude) = radix(binary, 2)?;
    } else if let Some(hex) = digits.strip_prefix("0x") {
        (exact, magnitude) = radix(hex, 16)?;
    } else if digits.contains(':') {
        (exact, magnitude) = sexagesimal(digits)?;
    } else if digits.len() > 1 && digits.starts_with('0') {
        (exact, magnitude) = radix(&digits[1..], 8)?;
    } else {
        if !digits.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        (exact, magnitude) = radix(digits, 10)?;
    }
    Some(match (exact, negative) {
        (Some(value), false) => Value::Int(value),
        (Some(value), true) => Value::Int(-value),
        // Too large for what any field takes: the range check will name it.
        (None, false) => Value::Float(magnitude),
        (None, true) => Value::Float(-magnitude),
    })
}

fn signed(word: &str) -> (bool, &str) {
    match word.as_bytes().first() {
        Some(b'-') => (true, &word[1..]),
        Some(b'+') => (false, &word[1..]),
        _ => (false, word),
    }
}

/// Digits of one radix, `_` anywhere; the exact value where it fits, and its size as a double.
fn radix(digits: &str, radix: u32) -> Option<(Option<i64>, f64)> {
    let (mut exact, mut magnitude, mut any) = (Some(0_i64), 0.0_f64, false);
    for c in digits.chars().filter(|c| *c != '_') {
        let digit = c.to_digit(radix)?;
        any = true;
        exact = exact
            .and_then(|sum| sum.checked_mul(i64::from(radix)))
            .and_then(|sum| sum.checked_add(i64::from(digit)));
        magnitude = magnitude * f64::from(radix) + f64::from(digit);
    }
    any.then_some((exact, magnitude))
}

/// `H:MM:SS` in base sixty: every part after the first is below 60.
fn sexagesimal(text: &str) -> Option<(Option<i64>, f64)> {
    let mut parts = text.split(':');
    let first = parts.next()?;
    if !first.starts_with(|c: char| ('1'..='9').contains(&c)) {
        return None;
    }
    let (mut exact, mut magnitude) = radix(first, 10)?;
    for part in parts {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let value: i64 = digits.then(|| part.parse().ok())??;
        if value > 59 {
            return None;
        }
        exact = exact
            .and_then(|sum| sum.checked_mul(60))
            .and_then(|sum| sum.checked_add(value));
        magnitude = magnitude * 60.0 + value as f64;
    }
    Some((exact, magnitude))
}

fn float(word: &str) -> Option<Value> {
    let (negative, rest) = signed(word);
    let sign = if negative { -1.0 } else { 1.0 };
    match rest {
        ".inf" | ".Inf" | ".INF" => return Some(Value::Float(sign * f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if rest == word => return Some(Value::Float(f64::NAN)),
        _ => {}
    }
    // A dot is required, and so is a sign in the exponent: `1e3` and `1.0e3` are text. A number
    // that begins with the dot takes no sign: `-.5` is text.
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let (whole, fraction) = mantissa.split_once('.')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let begins = whole.starts_with(|c: char| c.is_ascii_digit())
        || (whole.is_empty() && rest == word && fraction.starts_with(|c: char| c.is_ascii_digit()));
    if !begins || !digits(whole) || !digits(fraction) {
        return None;
    }
    if let Some(exponent) = exponent {
        let figures = exponent.strip_prefix(['+', '-'])?;
        if figures.is_empty() || !figures.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
    }
    rest.replace('_', "")
        .parse()
        .ok()
        .map(|value: f64| Value::Float(sign * value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_yaml_1_1_reads_them() {
        let text = |t: &str| Value::Text(t.to_owned());
        for (word, value) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("nULL", text("nULL")),
            ("on", Value::Bool(true)),
            ("No", Value::Bool(false)),
            ("y", text("y")),
            ("12", Value::Int(12)),
            ("-3", Value::Int(-3)),
            ("+3", Value::Int(3)),
            ("1_000", Value::Int(1000)),
            ("010", Value::Int(8)),
            ("08", text("08")),
            ("0x1F", Value::Int(31)),
            ("0b101", Value::Int(5)),
            ("1:30", Value::Int(90)),
            ("1:60", text("1:60")),
            ("0", Value::Int(0)),
            (".5", Value::Float(0.5)),
            ("-.5", text("-.5")),
            ("1.", Value::Float(1.0)),
            ("0.", Value::Float(0.0)),
            ("0o7", text("0o7")),
            ("0_7", Value::Int(7)),
            ("-1:30", Value::Int(-90)),
            ("1:2:3:4", Value::Int(223_384)),
            ("-0x1f", Value::Int(-31)),
            ("-1.5", Value::Float(-1.5)),
            ("1e3", text("1e3")),
            ("1.0e3", text("1.0e3")),
            ("1.0e+3", Value::Float(1000.0)),
            (".inf", Value::Float(f64::INFINITY)),
            ("-.inf", Value::Float(f64::NEG_INFINITY)),
            ("inf", text("inf")),
            ("nan", text("nan")),
            ("1.2.3", text("1.2.3")),
            ("-", text("-")),
            (".", text(".")),
            ("_1", text("_1")),
            ("2015-03-03", text("2015-03-03")),
            ("3f2a", text("3f2a")),
        ] {
            assert_eq!(resolve(word), value, "{word:?}");
        }
        assert!(matches!(resolve("99999999999999999999"), Value::Float(value) if value > 9.9e19));
        assert!(matches!(resolve(".nan"), Value::Float(value) if value.is_nan()));
    }
}
