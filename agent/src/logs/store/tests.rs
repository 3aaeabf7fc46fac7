//! Files of logs: rotation, the budget, and what a dead run leaves.

use bytes::Bytes;

use super::*;

pub(crate) fn key(run: u64) -> RunKey {
    RunKey {
        instance: "hello.main".parse().unwrap(),
        replica: "r7".parse().unwrap(),
        run,
    }
}

pub(crate) fn entry(at_ns: u64, stream: Stream, text: &str) -> Entry {
    Entry {
        at_ns,
        stream,
        line: Bytes::copy_from_slice(text.as_bytes()),
        partial: false,
        gap: false,
    }
}

fn files(store: &LogStore, run: &RunKey) -> Vec<String> {
    let mut names = names(&store.dir(run)).unwrap();
    names.sort();
    names
}

#[test]
fn files_are_rotated_by_size_and_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::new(dir.path(), 100, 2, 1 << 20);
    let mut writer = store.writer(&key(1)).unwrap();
    assert!(files(&store, &key(1)).is_empty(), "nothing before a line");
    for at in 1..=7 {
        // Two lines of 40 bytes fit, a third does not.
        let line = entry(at, Stream::Stdout, "12345678");
        writer.append(&[line]).unwrap();
    }
    writer.append(&[entry(9, Stream::Stderr, "oops")]).unwrap();
    assert_eq!(files(&store, &key(1)), ["stderr.1", "stdout.3", "stdout.4"]);
    let text = fs::read_to_string(store.dir(&key(1)).join("stdout.4")).unwrap();
    assert_eq!(text, "1970-01-01T00:00:00.000000007Z 12345678\n");
    // A line larger than a file has one of its own.
    let large = entry(10, Stream::Stderr, &"x".repeat(300));
    writer
        .append(&[large.clone(), entry(11, Stream::Stderr, "after"), large])
        .unwrap();
    assert_eq!(
        files(&store, &key(1)),
        ["stderr.3", "stderr.4", "stdout.3", "stdout.4"]
    );
}

#[test]
fn a_new_process_goes_on_where_the_files_end_and_a_torn_line_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::new(dir.path(), 1_000, 5, 1 << 20);
    let mut writer = store.writer(&key(1)).unwrap();
    let part = |text: &str| Entry {
        partial: true,
        ..entry(5, Stream::Stdout, text)
    };
    writer
        .append(&[entry(4, Stream::Stdout, "a"), part("b"), part("c")])
        .unwrap();
    let mark = Mark { at_ns: 5, count: 2 };
    assert_eq!(writer.mark(Stream::Stdout), mark);
    assert_eq!(writer.mark(Stream::Stderr), Mark::default());
    drop(writer);
    let path = store.dir(&key(1)).join("stdout.1");
    let whole = fs::read(&path).unwrap();
    let mut torn = whole.clone();
    torn.extend_from_slice(b"1970-01-01T00:00:00.000000006Z half a li");
    fs::write(&path, torn).unwrap();
    let mut writer = store.writer(&key(1)).unwrap();
    assert_eq!(writer.mark(Stream::Stdout), mark);
    assert_eq!(fs::read(&path).unwrap(), whole);
    writer
        .append(&[entry(6, Stream::Stdout, "half a line")])
        .unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().map(|line| &line[29..]).collect();
    assert_eq!(lines, ["Z a", "Z+b", "Z+c", "Z half a line"]);
}

#[test]
fn where_a_file_was_just_begun_the_one_before_says_where_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::new(dir.path(), 1_000, 5, 1 << 20);
    let mut writer = store.writer(&key(1)).unwrap();
    writer.append(&[entry(4, Stream::Stdout, "a")]).unwrap();
    fs::write(store.dir(&key(1)).join("stdout.2"), "").unwrap();
    let writer = store.writer(&key(1)).unwrap();
    assert_eq!(writer.mark(Stream::Stdout), Mark { at_ns: 4, count: 1 });
}

#[test]
fn the_pieces_of_a_line_are_counted_in_however_many_files_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::new(dir.path(), 100, 5, 1 << 20);
    let mut writer = store.writer(&key(1)).unwrap();
    writer.append(&[entry(4, Stream::Stdout, "a")]).unwrap();
    for _ in 0..7 {
        let piece = Entry {
            partial: true,
            ..entry(5, Stream::Stdout, "piece")
        };
        writer.append(&[piece]).unwrap();
    }
    assert!(files(&store, &key(1)).len() > 2);
    drop(writer);
    let writer = store.writer(&key(1)).unwrap();
    assert_eq!(writer.mark(Stream::Stdout), Mark { at_ns: 5, count: 7 });
}

#[test]
fn newlines_and_bytes_that_are_no_text_break_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::new(dir.path(), 1 << 20, 5, 1 << 20);
    let mut writer = store.writer(&key(1)).unwrap();
    let mut odd = entry(1, Stream::Stderr, "");
    odd.line = Bytes::from_static(b"a\nb\xff\0");
    let huge = entry(2, Stream::Stderr, &"y".repeat(LINE_MAX * 2));
    writer.append(&[odd, huge]).unwrap();
    let text = fs::read(store.dir(&key(1)).join("stderr.1")).unwrap();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 2);
    assert!(text.starts_with(b"1970-01-01T00:00:00.000000001Z a b\xff\0\n"));
    assert!(
        text.split(|byte| *byte == b'\n')
            .all(|line| line.len() < LINE_MAX)
    );
}

#[test]
fn the_last_words_are_complaints_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::new(dir.path(), 1 << 20, 5, 1 << 20);
    assert_eq!(store.last_words(&key(1)), "");
    let mut writer = store.writer(&key(1)).unwrap();
    writer.append(&[entry(1, Stream::Stdout, "hello")]).unwrap();
    assert_eq!(store.last_words(&key(1)), "hello");
    writer
        .append(&[
            entry(2, Stream::Stderr, "it is"),
            entry(3, Stream::Stderr, "broken \u{1b}[31m"),
        ])
        .unwrap();
    assert_eq!(store.last_words(&key(1)), "it is | broken [31m");
}

#[test]
fn dead_runs_make_room_the_longest_silent_first_and_living_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::new(dir.path(), 1 << 20, 5, 2_500);
    for run in 1..=4 {
        let mut writer = store.writer(&key(run)).unwrap();
        let text = "x".repeat(968);
        writer.append(&[entry(run, Stream::Stdout, &text)]).unwrap();
        let file = File::open(store.dir(&key(run)).join("stdout.1")).unwrap();
        let age = std::time::Duration::from_secs(100 - run);
        file.set_modified(SystemTime::now() - age).unwrap();
    }
    let alive = BTreeSet::from([key(1)]);
    assert_eq!(store.trim(&alive).unwrap(), 2);
    let left: Vec<bool> = (1..=4).map(|run| store.dir(&key(run)).exists()).collect();
    assert_eq!(left, [true, false, false, true]);
    assert_eq!(store.trim(&alive).unwrap(), 0);
    let runs = store.runs(&key(1).instance).unwrap();
    assert_eq!(runs.len(), 2);
    let none = LogStore::new(dir.path(), 1 << 20, 5, 0);
    assert_eq!(none.trim(&BTreeSet::new()).unwrap(), 2);
    assert!(
        names(dir.path()).unwrap().is_empty(),
        "no empty directories"
    );
}
