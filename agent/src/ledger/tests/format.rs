//! No byte of a file can be changed, lost or added without being noticed.

use super::*;
use crate::ledger::format::{Contents, Unreadable, decode, encode};

fn file() -> (Vec<u8>, LocalState) {
    let mut held = state(7, 2, 100);
    fail(&mut held, 2, "dead");
    (encode(12, &held, Vec::new()), held)
}

#[test]
fn a_file_is_read_back() {
    let (bytes, state) = file();
    let contents = Contents {
        sequence: 12,
        state,
    };
    assert_eq!(decode(&bytes), Ok(contents));
    let empty = encode(1, &LocalState::default(), Vec::new());
    assert_eq!(decode(&empty).unwrap().state, LocalState::default());
}

#[test]
fn every_flipped_bit_and_every_lost_or_added_byte_is_damage() {
    let (bytes, _) = file();
    let is_damaged = |bytes: &[u8]| matches!(decode(bytes), Err(Unreadable::Damaged { .. }));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(is_damaged(&flipped), "bit {bit} of byte {at}");
        }
        assert!(is_damaged(&bytes[..at]), "cut to {at} bytes");
    }
    assert!(is_damaged(&[&bytes[..], b"x"].concat()));
}

#[test]
fn the_fence_outlives_whatever_becomes_of_the_body() {
    let (bytes, _) = file();
    let body_at = bytes.len() - parts(&bytes).1.len();
    for at in body_at..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        for damaged in [&flipped[..], &bytes[..at]] {
            let Err(Unreadable::Damaged { accepted, .. }) = decode(damaged) else {
                panic!("byte {at}");
            };
            assert_eq!(accepted, Some(fence(7)), "byte {at}");
        }
    }
}

#[test]
fn a_stage_that_this_version_does_not_know_is_damage_by_name() {
    let (bytes, _) = file();
    let (head, body) = parts(&bytes);
    let body = String::from_utf8_lossy(body).replace("starting", "levitating");
    let prefix = crate::ledger::format::prefix(1, head, body.as_bytes());
    let decoded = decode(&[&prefix[..], head, body.as_bytes()].concat());
    let Err(Unreadable::Damaged { reason, accepted }) = decoded else {
        panic!("{decoded:?}");
    };
    assert!(reason.contains("unknown variant `levitating`"), "{reason}");
    assert_eq!(accepted, Some(fence(7)));
}
