//! Every field of every request has a bound, and each is kept.

use super::*;

fn varint(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// The field with this value, as it is written.
fn written(number: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint(u64::from(number) << 3 | 2, &mut bytes);
    varint(value.len() as u64, &mut bytes);
    bytes.extend_from_slice(value);
    bytes
}

/// Every way from a request to a field that is bounded: the numbers on it, and the field.
fn ways() -> Vec<(String, Vec<u32>, String, What, bool, Bound)> {
    let rules = rules();
    let mut found = Vec::new();
    for (request, at) in &rules.requests {
        let mut open = vec![(*at, Vec::new())];
        while let Some((at, way)) = open.pop() {
            assert!(way.len() < 8, "{request}: messages hold themselves");
            let message = &rules.messages[at];
            for field in &message.fields {
                let mut way = way.clone();
                way.push(field.number);
                if let What::Message(inner) = field.what {
                    open.push((inner, way.clone()));
                }
                if field.repeated || field.what == What::Text {
                    let full = field.full(message);
                    let (what, bound) = (field.what, field.bound);
                    found.push((request.clone(), way, full, what, field.repeated, bound));
                }
            }
        }
    }
    found
}

/// A message with `value` at the end of the way.
fn wrapped(way: &[u32], value: &[u8]) -> Vec<u8> {
    let (last, before) = way.split_last().expect("a way has an end");
    let mut bytes = written(*last, value);
    for number in before.iter().rev() {
        bytes = written(*number, &bytes);
    }
    bytes
}

#[test]
fn every_field_of_a_request_has_a_bound_and_every_bound_a_field() {
    assert_eq!(rules().faults, Vec::<String>::new());
    assert!(rules().requests.len() > 30, "{:?}", rules().requests.keys());
    let mut names: Vec<&str> = TABLE.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TABLE.len(), "a field is bounded once");
}

#[test]
fn a_value_at_its_bound_is_taken_and_one_byte_more_is_refused() {
    let mut tried = 0;
    for (request, way, field, what, _, bound) in ways() {
        if what != What::Text {
            continue;
        }
        tried += 1;
        let fits = wrapped(&way, &vec![b'a'; bound.bytes]);
        assert_eq!(check(&request, &fits), Ok(()), "{request}: {field}");
        let long = wrapped(&way, &vec![b'a'; bound.bytes + 1]);
        match check(&request, &long) {
            Err(Refusal::TooLong {
                field: named,
                limit,
                actual,
                begins,
            }) => {
                assert_eq!(named, field);
                assert_eq!((limit, actual), (bound.bytes, bound.bytes + 1));
                assert_eq!(begins.len(), ECHO_CHARS_MAX.min(actual));
            }
            other => panic!("{request}: {field}: {other:?}"),
        }
    }
    assert!(tried > 60, "{tried}");
}

#[test]
fn as_many_values_as_there_may_be_are_taken_and_one_more_is_refused() {
    let mut tried = 0;
    for (request, way, field, what, repeated, bound) in ways() {
        // A key or value of a map is one.
        if !repeated || bound.items == 1 {
            continue;
        }
        tried += 1;
        let (last, before) = way.split_last().expect("a way has an end");
        let value: &[u8] = if what == What::Number { &[1] } else { &[] };
        let many = |count| {
            let mut bytes = written(*last, value).repeat(count);
            for number in before.iter().rev() {
                bytes = written(*number, &bytes);
            }
            bytes
        };
        assert_eq!(check(&request, &many(bound.items)), Ok(()), "{field}");
        let refused = check(&request, &many(bound.items + 1));
        let Err(Refusal::TooMany {
            field: named,
            limit,
            ..
        }) = refused
        else {
            panic!("{request}: {field}: {refused:?}");
        };
        assert_eq!((named, limit), (field, bound.items));
    }
    assert!(tried > 10, "{tried}");
}

#[test]
fn bytes_that_are_no_message_are_refused_and_never_panic() {
    let why = check("paasta.v1.StatusRequest", b"\x0a\xff").unwrap_err();
    assert!(why.to_string().contains("no StatusRequest"), "{why}");
    assert_eq!(
        check("paasta.v1.StatusResponse", b"\x0a\xff"),
        Ok(()),
        "no request"
    );
    let mut state = 1_u64;
    for length in 0..2_000 {
        let bytes: Vec<u8> = (0..length % 40)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 33) as u8
            })
            .collect();
        for request in rules().requests.keys() {
            let _ = check(request, &bytes);
        }
    }
}

#[test]
fn an_echo_is_cut_at_characters() {
    let name = "ä".repeat(1_000);
    let bytes = written(1, name.as_bytes());
    let why = check("paasta.v1.StatusRequest", &bytes)
        .unwrap_err()
        .to_string();
    assert!(
        why.starts_with("StatusRequest.service: 2000 bytes are more than the 255"),
        "{why}"
    );
    assert!(why.chars().count() < 220, "{why}");
}
