//! Files as dockerd writes and rotates them, read at every moment.

use std::io::Write;

use proptest::prelude::*;

use super::*;

/// Writes lines as dockerd does: at `size` bytes the files move up, and the oldest goes.
struct Writer {
    path: PathBuf,
    size: u64,
    files_max: usize,
    next: u64,
}

impl Writer {
    fn new(dir: &Path, size: u64, files_max: usize) -> Self {
        let path = dir.join("x-json.log");
        File::create(&path).unwrap();
        Self {
            path,
            size,
            files_max,
            next: 1,
        }
    }

    fn named(&self, number: usize) -> PathBuf {
        match number {
            0 => self.path.clone(),
            number => PathBuf::from(format!("{}.{number}", self.path.display())),
        }
    }

    fn write(&mut self, lines: u64) {
        for _ in 0..lines {
            if fs::metadata(&self.path).unwrap().len() >= self.size {
                self.rotate();
            }
            let at = instant::write(self.next * 1_000_000_000);
            let text = format!(
                "{{\"log\":\"{}\\n\",\"stream\":\"stdout\",\"time\":\"{at}\"}}\n",
                self.next
            );
            let mut file = File::options().append(true).open(&self.path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            self.next += 1;
        }
    }

    fn rotate(&self) {
        if self.files_max < 2 {
            File::create(&self.path).unwrap();
            return;
        }
        for number in (1..self.files_max).rev() {
            let _ = fs::rename(self.named(number - 1), self.named(number));
        }
        File::create(&self.path).unwrap();
    }
}

/// All that can be read now: numbers, and 0 for a gap.
fn all(files: &mut Files) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Progress::Entries(entries) = files.read().unwrap() {
        numbers.extend(entries.iter().map(|entry| match entry.gap {
            true => 0,
            false => std::str::from_utf8(&entry.line).unwrap().parse().unwrap(),
        }));
    }
    numbers
}

/// Every number once and in order, with a gap wherever some are missing after the first; how many
/// are.
fn missing(first: u64, read: &[u64]) -> u64 {
    let (mut last, mut missing, mut gap) = (first - 1, 0, false);
    for number in read {
        if *number == 0 {
            assert!(!gap, "two gaps in a row: {read:?}");
            gap = true;
            continue;
        }
        assert!(*number > last, "{number} after {last}");
        let skipped = number - last - 1;
        assert!(
            skipped == 0 || gap,
            "{skipped} lost before {number}: {read:?}"
        );
        missing += skipped;
        (last, gap) = (*number, false);
    }
    missing
}

proptest! {
    #[test]
    fn whatever_the_pace_nothing_is_lost_in_silence_or_told_twice(
        files_max in 1..5_usize,
        turns in prop::collection::vec((0..40_u64, any::<bool>()), 1..30),
    ) {
        let dir = tempfile::tempdir().unwrap();
        // Some seven lines to a file.
        let mut writer = Writer::new(dir.path(), 500, files_max);
        let mut files = Files::new(writer.path.clone(), files_max, 0);
        let mut read = Vec::new();
        let mut kept_up = files_max > 1;
        for (lines, look) in turns {
            writer.write(lines);
            kept_up &= lines < 6 && look;
            if look {
                read.extend(all(&mut files));
            }
        }
        read.extend(all(&mut files));
        // What an only file held before it was first looked at, nobody can know.
        let begins = read.iter().find(|number| **number > 0).copied().unwrap_or(1);
        let first = if files_max == 1 { begins } else { 1 };
        let lost = missing(first, &read);
        prop_assert!(!kept_up || lost == 0, "{lost} lost by one who kept up");
        let newest = read.iter().max().copied().unwrap_or(0);
        prop_assert_eq!(newest, writer.next - 1, "the newest is there in any case");
    }
}

#[test]
fn a_reader_who_is_behind_holds_on_to_the_files_that_it_knows() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(dir.path(), 500, 3);
    writer.write(15);
    let mut files = Files::new(writer.path.clone(), 3, 0);
    assert!(files.look().unwrap());
    // Two of the three go before any of them was read.
    writer.write(10);
    let read = all(&mut files);
    assert_eq!(missing(1, &read), 0, "{read:?}");
    assert_eq!(read.last(), Some(&25));
}

#[test]
fn a_gap_is_where_something_is_missing_and_not_where_it_was_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(dir.path(), 500, 3);
    writer.write(14);
    let mut files = Files::new(writer.path.clone(), 3, 0);
    assert!(files.look().unwrap());
    // Both go before any of them was read, and that is noticed at once.
    writer.write(100);
    assert!(files.look().unwrap());
    let read = all(&mut files);
    assert!(missing(1, &read) > 0, "{read:?}");
    assert_eq!(read[..14], (1..=14).collect::<Vec<_>>());
    assert_eq!((read[14], read.last()), (0, Some(&114)));
}

#[test]
fn reading_begins_where_it_is_asked_to_and_ends_with_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("container");
    fs::create_dir(&inside).unwrap();
    let mut writer = Writer::new(&inside, 500, 5);
    writer.write(30);
    let mut files = Files::new(writer.path.clone(), 5, 27);
    assert_eq!(all(&mut files), [27, 28, 29, 30]);
    writer.write(1);
    assert_eq!(all(&mut files), [31]);
    assert_eq!(files.read().unwrap(), Progress::Dry);
    fs::remove_dir_all(&inside).unwrap();
    assert_eq!(files.read().unwrap(), Progress::Gone);
}

#[test]
fn what_cannot_be_read_is_a_gap_and_pieces_are_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x-json.log");
    let line = |log: &str| {
        format!("{{\"log\":\"{log}\",\"stream\":\"stderr\",\"time\":\"2026-11-28T23:00:00.5Z\"}}\n")
    };
    let torn = format!("{}\0\0garbage\n{}", line("a"), line("b\\n"));
    fs::write(&path, torn).unwrap();
    let mut files = Files::new(path, 1, 0);
    let Progress::Entries(entries) = files.read().unwrap() else {
        panic!("nothing to read");
    };
    let seen: Vec<(bool, bool)> = entries
        .iter()
        .map(|entry| (entry.partial, entry.gap))
        .collect();
    assert_eq!(seen, [(true, false), (false, true), (false, false)]);
    assert_eq!(entries[0].stream, Stream::Stderr);
    assert_eq!(entries[0].at_ns % 1_000_000_000, 500_000_000);
}
