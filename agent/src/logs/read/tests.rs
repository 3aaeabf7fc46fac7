//! Lines that are kept, read back by time, number and run.

use super::*;
use crate::logs::store::tests::{entry, key};

const ALL: Query = Query {
    instances: BTreeSet::new(),
    streams: Vec::new(),
    since_ns: 0,
    until_ns: 0,
    lines: 0,
    replica: None,
};

fn query() -> Query {
    Query {
        instances: BTreeSet::from([key(1).instance]),
        streams: Stream::ALL.to_vec(),
        ..ALL
    }
}

/// Files of three lines each.
fn store(dir: &Path) -> LogStore {
    LogStore::new(dir, 100, 100, 1 << 20)
}

fn write(store: &LogStore, run: u64, stream: Stream, times: impl IntoIterator<Item = u64>) {
    let mut writer = store.writer(&key(run)).unwrap();
    for at in times {
        let text = format!("{run} {at}");
        writer.append(&[entry(at, stream, &text)]).unwrap();
    }
}

fn times(reader: &mut Reader) -> Vec<u64> {
    let records = std::iter::from_fn(|| {
        let records = reader.next(50).unwrap();
        (!records.is_empty()).then_some(records)
    });
    records.flatten().map(|record| record.at_ns).collect()
}

fn read(store: &LogStore, query: Query) -> Vec<u64> {
    times(&mut Reader::open(store.clone(), query).unwrap())
}

#[test]
fn outputs_and_runs_are_merged_by_time_from_any_number_of_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    write(&store, 1, Stream::Stdout, (0..40).map(|at| at * 3));
    write(&store, 1, Stream::Stderr, (0..40).map(|at| at * 3 + 1));
    write(&store, 2, Stream::Stdout, (0..40).map(|at| at * 3 + 2));
    assert_eq!(read(&store, query()), (0..120).collect::<Vec<_>>());
    let some = Query {
        streams: vec![Stream::Stderr],
        ..query()
    };
    assert_eq!(read(&store, some).len(), 40);
    let nobody = Query {
        replica: Some("r8".parse().unwrap()),
        ..query()
    };
    assert!(read(&store, nobody).is_empty());
}

#[test]
fn the_last_lines_are_those_of_all_sources_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    write(&store, 1, Stream::Stdout, 0..50);
    write(&store, 1, Stream::Stderr, [7, 48]);
    write(&store, 2, Stream::Stdout, (30..40).chain([60]));
    let last = |lines| read(&store, Query { lines, ..query() });
    assert_eq!(last(1), [60]);
    assert_eq!(last(4), [48, 48, 49, 60]);
    assert_eq!(last(1_000).len(), 63);
    for lines in 1..63 {
        let found = last(lines);
        assert_eq!(found.len(), lines);
        assert!(found.is_sorted());
    }
    let bounded = Query {
        lines: 3,
        since_ns: 20,
        until_ns: 31,
        ..query()
    };
    assert_eq!(read(&store, bounded), [30, 31, 31]);
}

#[test]
fn a_moment_bounds_what_is_read_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    write(&store, 1, Stream::Stdout, 0..100);
    for (since_ns, until_ns, wanted) in [
        (0, 0, 0..100),
        (42, 0, 42..100),
        (42, 44, 42..45),
        (200, 0, 0..0),
        (98, 500, 98..100),
    ] {
        let asked = Query {
            since_ns,
            until_ns,
            ..query()
        };
        assert_eq!(read(&store, asked), wanted.collect::<Vec<_>>());
    }
}

#[test]
fn what_comes_later_follows_through_rotation_and_into_new_runs() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    write(&store, 1, Stream::Stdout, 0..4);
    let last = Query {
        lines: 1,
        ..query()
    };
    let mut reader = Reader::open(store.clone(), last).unwrap();
    assert_eq!(times(&mut reader), [3]);
    write(&store, 1, Stream::Stdout, 4..30);
    write(&store, 1, Stream::Stderr, [5]);
    assert_eq!(times(&mut reader).len(), 27);
    // A line that is not whole yet.
    let path = store.dir(&key(1)).join("stderr.1");
    let text = std::fs::read(&path).unwrap();
    let half = [&text[..], b"1970-01-01T00:00:00.000000031Z hal"].concat();
    std::fs::write(&path, &half).unwrap();
    assert!(times(&mut reader).is_empty());
    std::fs::write(&path, [&half[..], b"f\n"].concat()).unwrap();
    write(&store, 2, Stream::Stdout, [32]);
    reader.look_for_runs().unwrap();
    let records = reader.next(1_000).unwrap();
    let said: Vec<(u64, u64, &[u8])> = records
        .iter()
        .map(|record| (record.at_ns, record.run.run, &record.line[..]))
        .collect();
    assert_eq!(said, [(31, 1, &b"half"[..]), (32, 2, b"2 32")]);
}

#[test]
fn what_was_rotated_away_under_a_slow_reader_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::new(dir.path(), 100, 2, 1 << 20);
    write(&store, 1, Stream::Stdout, 0..2);
    let mut reader = Reader::open(store.clone(), query()).unwrap();
    assert_eq!(times(&mut reader), [0, 1]);
    write(&store, 1, Stream::Stdout, 2..40);
    let after = times(&mut reader);
    assert!(after.is_sorted() && after.last() == Some(&39), "{after:?}");
    assert!(after.len() <= 8, "{after:?}");
}

#[test]
fn parts_of_a_line_say_so_and_spoilt_files_are_read_as_far_as_they_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::new(dir.path(), 1 << 20, 2, 1 << 20);
    let mut writer = store.writer(&key(1)).unwrap();
    let mut part = entry(5, Stream::Stdout, "be");
    part.partial = true;
    writer
        .append(&[part, entry(5, Stream::Stdout, "gin")])
        .unwrap();
    let path = store.dir(&key(1)).join("stdout.1");
    let mut text = std::fs::read(&path).unwrap();
    text.extend_from_slice(b"\n\xff\xff garbage\n");
    text.extend(std::iter::repeat_n(b'z', LINE_MAX * 2));
    text.extend_from_slice(b"\n1970-01-01T00:00:00.000000009Z end\n");
    std::fs::write(&path, text).unwrap();
    let mut reader = Reader::open(store.clone(), query()).unwrap();
    let records = reader.next(1 << 20).unwrap();
    let said: Vec<(bool, &[u8])> = records
        .iter()
        .map(|record| (record.partial, &record.line[..]))
        .collect();
    assert_eq!(said, [(true, &b"be"[..]), (false, b"gin"), (false, b"end")]);
    let last = Query {
        lines: 2,
        ..query()
    };
    assert_eq!(
        read(&store, last),
        [5, 5, 9],
        "a line in pieces is one line"
    );
}

#[test]
fn too_many_runs_leave_the_oldest_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let count = u64::try_from(RUNS_MAX).unwrap() + 3;
    for run in 1..=count {
        write(&store, run, Stream::Stdout, [run]);
    }
    let mut reader = Reader::open(store, query()).unwrap();
    assert_eq!(reader.left_out(), 3);
    assert_eq!(times(&mut reader).first(), Some(&4));
}

#[test]
fn a_line_in_pieces_is_one_line_in_however_many_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let mut writer = store.writer(&key(1)).unwrap();
    let piece = |at| crate::engine::Entry {
        partial: true,
        ..entry(at, Stream::Stdout, "piece")
    };
    for at in 1..=4 {
        // Two entries fit into a file: every line is in several.
        let whole = entry(at, Stream::Stdout, "end");
        let line = [piece(at), piece(at), piece(at), whole];
        for one in line {
            writer.append(&[one]).unwrap();
        }
    }
    writer.append(&[piece(5)]).unwrap();
    let last = |lines| read(&store, Query { lines, ..query() });
    assert_eq!(last(1), [5], "one that has no end yet");
    assert_eq!(last(2), [4, 4, 4, 4, 5]);
    assert_eq!(last(3), [3, 3, 3, 3, 4, 4, 4, 4, 5]);
    assert_eq!(last(100).len(), 17);
    let until = Query {
        lines: 1,
        until_ns: 4,
        ..query()
    };
    assert_eq!(read(&store, until), [4, 4, 4, 4]);
}

#[test]
fn a_gap_is_a_line_and_does_not_say_where_capture_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let mut writer = store.writer(&key(1)).unwrap();
    let next = entry(9, Stream::Stdout, "next");
    let gap = crate::engine::Entry::gap_before(&next, "gone");
    let before = entry(3, Stream::Stdout, "before");
    writer.append(&[before, gap]).unwrap();
    let mark = crate::logs::store::Mark { at_ns: 3, count: 1 };
    assert_eq!(writer.mark(Stream::Stdout), mark);
    drop(writer);
    let mut writer = store.writer(&key(1)).unwrap();
    assert_eq!(writer.mark(Stream::Stdout), mark);
    writer.append(&[next]).unwrap();
    let mut reader = Reader::open(store.clone(), query()).unwrap();
    let lines: Vec<String> = reader
        .next(1 << 20)
        .unwrap()
        .into_iter()
        .map(|record| String::from_utf8(record.line).unwrap())
        .collect();
    assert_eq!(
        lines,
        ["before", "[paasta: output is missing here: gone]", "next"]
    );
    assert_eq!(store.last_words(&key(1)), "next");
}
