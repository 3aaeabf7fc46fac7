//! An agent that dies between any two system calls of a save leaves that save or the one before it.

use super::*;
use crate::ledger::disk::{Call, ROTATION, Rotation};

/// Does the first calls of a save, and no more; the last of them in part only, if it is `torn`.
fn die_after(root: &Path, calls: usize, torn: bool, state: &LocalState, both: bool) {
    let bytes = super::super::format::encode(100, state, Vec::new());
    let rotations = match both {
        true => [ROTATION, ROTATION].concat(),
        false => ROTATION.to_vec(),
    };
    for (number, chunk) in rotations.chunks(ROTATION.len()).enumerate() {
        let mut rotation = Rotation::new(root, &bytes);
        let first = number * ROTATION.len();
        for (at, call) in chunk.iter().enumerate() {
            if first + at + 1 == calls && torn && *call == Call::Write {
                let mut part = Rotation::new(root, &bytes[..bytes.len() / 2]);
                part.call(Call::Create).unwrap();
                part.call(Call::Write).unwrap();
                return;
            }
            if first + at == calls {
                return;
            }
            rotation.call(*call).unwrap();
        }
    }
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for name in names(from) {
        fs::copy(from.join(&name), to.path().join(&name)).unwrap();
    }
    to
}

#[test]
fn between_any_two_calls_the_save_before_or_this_one_is_left() {
    let first = state(7, 3, 2_000);
    let (mut records, mut order) = (first.clone(), state(9, 2, 1_000));
    fail(&mut records, 2, "dead");
    order.records.remove(&ReplicaId(1));
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopen(dir.path());
    let empty = LocalState::default();
    for (held, next, both) in [
        (&empty, &first, true),
        (&first, &records, false),
        (&records, &order, true),
    ] {
        let replaced = ROTATION.iter().position(|call| *call == Call::Replace);
        let calls = ROTATION.len() * (1 + usize::from(both));
        for cut in 0..=calls {
            for torn in [false, true] {
                let died = copy(dir.path());
                die_after(died.path(), cut, torn, next, both);
                let words = format!("both {both}, {cut} calls, torn {torn}");
                let looked = Ledger::peek(died.path());
                let (mut ledger, opened) = reopen(died.path());
                assert_eq!(opened.damage, None, "{words}");
                let expected = if cut > replaced.unwrap() { next } else { held };
                assert_eq!(&opened.state, expected, "{words}");
                if let Ok(looked) = looked {
                    assert_eq!(&looked, expected, "{words}");
                }
                // And the agent that follows goes on from there.
                let mut later = opened.state;
                later.accept(state(10, 1, 10).assignment.unwrap()).unwrap();
                save(&mut ledger, &later);
                drop(ledger);
                assert_eq!(reopen(died.path()).1.state, later, "{words}");
                assert_eq!(
                    names(died.path()),
                    ["ledger", "ledger.before", "lock"],
                    "{words}"
                );
            }
        }
        save(&mut ledger, next);
    }
}

#[test]
fn a_missing_second_copy_of_an_assignment_is_written() {
    let (first, second) = (state(7, 2, 10), state(9, 2, 10));
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopen(dir.path());
    save(&mut ledger, &first);
    drop(ledger);
    die_after(dir.path(), ROTATION.len(), false, &second, true);
    let (mut ledger, opened) = reopen(dir.path());
    assert_eq!(opened.state, second);
    // The first step saves what is the same.
    save(&mut ledger, &second);
    assert!(!try_save(&mut ledger, &second).unwrap());
    drop(ledger);
    fs::write(dir.path().join("ledger"), b"").unwrap();
    let (_ledger, opened) = reopen(dir.path());
    assert_eq!(opened.state, second, "the older assignment is in no file");
}

#[test]
fn a_failed_rename_fails_the_save_and_the_next_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopen(dir.path());
    let mut held = state(7, 2, 10);
    save(&mut ledger, &held);
    fail(&mut held, 1, "dead");
    save(&mut ledger, &held);
    let saved = held.clone();
    fail(&mut held, 1, "dead again");
    // Nothing is renamed onto a directory that is not empty.
    let before = dir.path().join("ledger.before");
    fs::remove_file(&before).unwrap();
    fs::create_dir_all(before.join("in the way")).unwrap();
    let error = chain(&try_save(&mut ledger, &held).unwrap_err());
    assert!(error.contains("cannot rename"), "{error}");
    assert!(!names(dir.path()).contains(&"ledger.next".to_owned()));
    fs::remove_dir_all(&before).unwrap();
    assert_eq!(Ledger::peek(dir.path()).unwrap(), saved);
    save(&mut ledger, &held);
    drop(ledger);
    assert_eq!(reopen(dir.path()).1.state, held);
}
