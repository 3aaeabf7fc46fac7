//! The audit log on a real file system.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use paasta_process::clock::ManualClock;
use tempfile::TempDir;

use super::*;

fn place(dir: &Path) -> Place {
    Place {
        dir: dir.join("audit"),
        file_bytes: 2_000,
        files: 3,
    }
}

fn audit(dir: &Path) -> (Audit, AuditMeters, Arc<ManualClock>) {
    let meters = AuditMeters::new(&Meters::default());
    let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
    let audit = Audit::start(place(dir), 1, Arc::clone(&clock) as _, meters.clone()).unwrap();
    (audit, meters, clock)
}

fn count(counts: &Counts) -> u64 {
    let none: &[&str] = &[];
    counts.with_label_values(none).get()
}

fn record(audit: &Audit, details: &str) -> Record {
    Record {
        action: "Operate.DrainHost".to_owned(),
        action_details: details.to_owned(),
        outcome: AuditOutcome::Done,
        ..audit.record()
    }
}

#[test]
fn records_are_lines_that_are_there_when_the_coordinator_has_stopped() {
    let dir = TempDir::new().unwrap();
    let (audit, meters, _) = audit(dir.path());
    for at in 0..3 {
        audit.write(record(&audit, &format!("line\n{at}")));
    }
    drop(audit);
    let path = dir.path().join("audit/audit.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("2023-11-14T22:13:20.000Z"), "{text}");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(count(&meters.written), 3);
    // Another process cuts a line and begins again.
    fs::write(&path, format!("{text}{{\"timestamp\":\"20")).unwrap();
    let (again, _, _) = self::audit(dir.path());
    again.write(record(&again, "after"));
    drop(again);
    let read = place(dir.path()).newest(10, |_| true).unwrap();
    let details: Vec<&str> = read.iter().map(|one| one.action_details.as_str()).collect();
    assert_eq!(details, ["line\n0", "line\n1", "line\n2", "after"]);
}

#[test]
fn files_are_rotated_and_bounded_and_read_from_the_newest_on() {
    let dir = TempDir::new().unwrap();
    let (audit, _, _) = audit(dir.path());
    for at in 0..100 {
        audit.write(record(
            &audit,
            &format!("{at:03}{}", "x".repeat(2 * record::TEXT_BYTES_MAX)),
        ));
        // One flush each: a batch is written as a whole.
        while place(dir.path())
            .newest(1, |one| one.action_details.starts_with(&format!("{at:03}")))
            .unwrap()
            .is_empty()
        {
            thread::yield_now();
        }
    }
    drop(audit);
    let files: Vec<_> = fs::read_dir(dir.path().join("audit")).unwrap().collect();
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        assert!(file.unwrap().metadata().unwrap().len() <= 2_000);
    }
    let read = place(dir.path()).newest(3, |_| true).unwrap();
    let begins: Vec<&str> = read.iter().map(|one| &one.action_details[..3]).collect();
    assert_eq!(begins, ["097", "098", "099"]);
    assert_eq!(read[0].action_details.len(), record::TEXT_BYTES_MAX);
}

#[test]
fn what_cannot_be_written_stops_nothing_and_is_counted() {
    let dir = TempDir::new().unwrap();
    // A file where the directory should be: nothing can be written.
    fs::write(dir.path().join("audit"), "").unwrap();
    let (audit, meters, _) = audit(dir.path());
    for _ in 0..5 {
        audit.write(record(&audit, "lost"));
    }
    while count(&meters.lost) < 5 {
        thread::yield_now();
    }
    fs::remove_file(dir.path().join("audit")).unwrap();
    audit.write(record(&audit, "written"));
    drop(audit);
    let read = place(dir.path()).newest(10, |_| true).unwrap();
    assert_eq!(read.len(), 2, "{read:?}");
    assert_eq!((read[0].outcome, read[0].left_out), (AuditOutcome::Lost, 5));
    assert_eq!(read[1].action_details, "written");
}

#[test]
fn refusals_of_one_caller_are_bounded_and_the_rest_is_a_number() {
    let dir = TempDir::new().unwrap();
    let (audit, meters, clock) = audit(dir.path());
    let refused = |caller: &str| {
        let record = Record {
            user: caller.to_owned(),
            outcome: AuditOutcome::Denied,
            ..audit.record()
        };
        audit.refuse(caller, record)
    };
    let noted = (0..500).filter(|_| refused("reader/bob")).count();
    assert_eq!(noted, 10);
    assert!(refused("agent/h1"), "another caller");
    assert_eq!(count(&meters.left_out), 490);
    clock.advance_ms(60_000);
    audit.sweep();
    drop(audit);
    let read = place(dir.path()).newest(100, |_| true).unwrap();
    assert_eq!(read.len(), 12);
    let last = read.last().unwrap();
    assert_eq!((last.user.as_str(), last.left_out), ("reader/bob", 490));
}

#[test]
fn a_link_in_the_place_of_the_log_is_not_followed() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("audit")).unwrap();
    let victim = dir.path().join("victim");
    fs::write(&victim, "as it was").unwrap();
    std::os::unix::fs::symlink(&victim, dir.path().join("audit/audit.jsonl")).unwrap();
    let (audit, meters, _) = audit(dir.path());
    audit.write(record(&audit, "x"));
    while count(&meters.lost) == 0 {
        thread::yield_now();
    }
    drop(audit);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "as it was");
}
