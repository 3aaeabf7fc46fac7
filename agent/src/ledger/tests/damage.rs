//! A file that is not what was written never counts: the save before it does, or the fence alone.

use std::collections::BTreeSet;

use super::*;

fn flip(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// A directory with two saves of one assignment, the first of which is in `ledger.before`.
fn two_saves() -> (tempfile::TempDir, LocalState, LocalState) {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopen(dir.path());
    let first = state(7, 5, 4_000);
    save(&mut ledger, &first);
    let mut second = first.clone();
    fail(&mut second, 3, "dead");
    save(&mut ledger, &second);
    (dir, first, second)
}

#[test]
fn a_damaged_newest_file_is_set_aside_for_the_save_before() {
    type Damaging = fn(&Path);
    let damages: [(&str, Damaging, &str); 6] = [
        (
            "torn",
            |path| cut(path, |length| length / 2),
            "its body has",
        ),
        ("empty", |path| cut(path, |_| 0), "it has 0 bytes"),
        (
            "short",
            |path| cut(path, |length| length - 1),
            "its body has",
        ),
        ("no head", |path| cut(path, |_| 40), "its head is cut short"),
        (
            "body",
            |path| flip(path, |length| length - 9),
            "its body has a wrong checksum",
        ),
        (
            "prefix",
            |path| flip(path, |_| 11),
            "its first bytes are not a ledger's",
        ),
    ];
    for (what, damage, words) in damages {
        let (dir, first, _) = two_saves();
        damage(&dir.path().join("ledger"));
        assert_eq!(Ledger::peek(dir.path()).unwrap(), first, "{what}");
        let (mut ledger, opened) = reopen(dir.path());
        assert_eq!(opened.state, first, "{what}");
        let damage = opened.damage.unwrap();
        assert_eq!(damage.remains, Remains::SaveBefore);
        assert!(damage.reason.contains(words), "{what}: {}", damage.reason);
        assert_eq!(damage.set_aside, dir.path().join("ledger.damaged-5"));
        assert!(damage.set_aside.is_file());
        // The damaged file never becomes the one before: a crash in the next save loses nothing.
        assert_eq!(
            names(dir.path()),
            ["ledger.before", "ledger.damaged-5", "lock"]
        );
        save(&mut ledger, &opened.state);
        drop(ledger);
        assert_eq!(reopen(dir.path()).1.state, first, "{what}");
    }
}

fn cut(path: &Path, length: impl Fn(u64) -> u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(length(file.metadata().unwrap().len()))
        .unwrap();
}

#[test]
fn two_damaged_files_leave_the_fence_and_two_empty_ones_nothing() {
    let (dir, _, _) = two_saves();
    for file in ["ledger", "ledger.before"] {
        flip(&dir.path().join(file), |length| length / 2);
    }
    let looked = Ledger::peek(dir.path()).unwrap_err().to_string();
    assert!(
        looked.contains("start the agent, which sets it aside"),
        "{looked}"
    );
    let (ledger, opened) = reopen(dir.path());
    let damage = opened.damage.unwrap();
    assert_eq!(damage.remains, Remains::Fence);
    let both =
        "ledger: its body has a wrong checksum; ledger.before: its body has a wrong checksum";
    assert_eq!(damage.reason, both);
    let only_fence = LocalState {
        accepted: Some(fence(7)),
        ..LocalState::default()
    };
    assert_eq!(opened.state, only_fence);
    // The fence is in both files before anything else is done, also where nothing is saved then.
    drop(ledger);
    let (_ledger, opened) = reopen(dir.path());
    assert_eq!((opened.state, opened.damage), (only_fence, None));
    let (aside, files) = (
        ["ledger.before.damaged-5", "ledger.damaged-5"],
        ["ledger", "ledger.before", "lock"],
    );
    let all: BTreeSet<&str> = aside.into_iter().chain(files).collect();
    assert_eq!(names(dir.path()), Vec::from_iter(all));

    let (dir, _, _) = two_saves();
    for file in ["ledger", "ledger.before"] {
        fs::write(dir.path().join(file), b"").unwrap();
    }
    let (_ledger, opened) = reopen(dir.path());
    assert_eq!(opened.damage.unwrap().remains, Remains::Nothing);
    assert_eq!(opened.state, LocalState::default());
}

#[test]
fn a_damaged_or_lost_copy_costs_nothing_and_is_written_again() {
    for lost in [false, true] {
        let (dir, _, second) = two_saves();
        let before = dir.path().join("ledger.before");
        match lost {
            true => fs::remove_file(&before).unwrap(),
            false => flip(&before, |length| length / 2),
        }
        let (mut ledger, opened) = reopen(dir.path());
        assert_eq!((&opened.state, opened.damage), (&second, None));
        save(&mut ledger, &second);
        drop(ledger);
        fs::write(dir.path().join("ledger"), b"").unwrap();
        assert_eq!(reopen(dir.path()).1.state, second);
    }
}

#[test]
fn an_older_file_that_comes_back_does_not_count() {
    let (dir, first, second) = two_saves();
    let old = fs::read(dir.path().join("ledger.before")).unwrap();
    let (mut ledger, _) = reopen(dir.path());
    let mut third = second.clone();
    fail(&mut third, 4, "dead");
    save(&mut ledger, &third);
    drop(ledger);
    assert_ne!(first, second);
    fs::write(dir.path().join("ledger"), old).unwrap();
    let (_ledger, opened) = reopen(dir.path());
    assert_eq!(opened.state, second);
    assert_eq!(
        opened.damage.unwrap().reason,
        "ledger ends at save 1, and ledger.before at save 2"
    );
}

#[test]
fn a_copy_of_an_older_assignment_gives_no_orders() {
    let (dir, _, _) = two_saves();
    let old = fs::read(dir.path().join("ledger.before")).unwrap();
    let (mut ledger, _) = reopen(dir.path());
    save(&mut ledger, &state(9, 2, 10));
    drop(ledger);
    fs::write(dir.path().join("ledger.before"), old).unwrap();
    flip(&dir.path().join("ledger"), |length| length - 9);
    let (_ledger, opened) = reopen(dir.path());
    assert_eq!(opened.state.assignment, None);
    assert_eq!(opened.state.accepted, Some(fence(9)));
    let damage = opened.damage.unwrap();
    assert_eq!(damage.remains, Remains::Fence);
    assert!(
        damage
            .reason
            .ends_with("; ledger.before holds an older assignment"),
        "{}",
        damage.reason
    );
}
