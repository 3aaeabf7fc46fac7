//! What runs write is captured once and in order, whatever becomes of dockerd's files, of the
//! agent and of dockerd itself; and where something is really gone a line says so.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use paasta_agent::{
    engine::Stream,
    logs::{
        read::{Query, Reader},
        store::LogStore,
    },
};
use paasta_common::{assignment::Want, report::Phase};

use crate::{
    truth::{Busybox, until},
    world::World,
};

/// What all of them run.
const INSTANCE: &str = "hello_svc.main";

/// The lines of an output of a run, oldest first, without their times: `!` before what the
/// container did not write.
pub(crate) fn captured(dir: &Path, stream: &str) -> Vec<String> {
    let mut numbers: Vec<u64> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_prefix(stream)?.strip_prefix('.')?.parse().ok()
        })
        .collect();
    numbers.sort_unstable();
    let mut lines = Vec::new();
    for number in numbers {
        // One may be rotated away meanwhile.
        let bytes = std::fs::read(dir.join(format!("{stream}.{number}"))).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // The time has thirty characters, the mark one.
        lines.extend(text.lines().filter_map(|line| match line.get(30..31)? {
            "!" => Some(line[30..].to_owned()),
            _ => Some(line[31..].to_owned()),
        }));
    }
    lines
}

pub(crate) fn last(dir: &Path) -> Option<u64> {
    captured(dir, "stdout").last()?.parse().ok()
}

/// Asserts that numbers follow each other, and that a gap is said exactly where some are missing.
/// Returns how many gaps there are.
pub(crate) fn gaps(lines: &[String]) -> usize {
    let (mut before, mut gap, mut gaps) = (None::<u64>, false, 0);
    for line in lines {
        if line.starts_with("![paasta: output is missing here") {
            (gap, gaps) = (true, gaps + 1);
            continue;
        }
        let number: u64 = line.parse().unwrap_or_else(|_| panic!("{line:?}"));
        if let Some(before) = before {
            assert!(number > before, "{number} after {before}");
            assert!(
                gap || number == before + 1,
                "lost from {before} to {number}"
            );
        }
        (before, gap) = (Some(number), false);
    }
    gaps
}

async fn run(world: &mut World, image: &Busybox, cmd: &str) -> PathBuf {
    let app = image.app(world, cmd);
    world.assign(&[(1, Want::Run, app)]).await;
    let report = world
        .until(1, "running", |report| report.phase == Phase::Running)
        .await;
    let name = format!("state/logs/{INSTANCE}/{}-1", report.id);
    world.dir.path().join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_over_many_rotations_is_captured_once_and_in_order() {
    let mut world = World::with_logs(1 << 20, 30);
    let image = Busybox::new(&world, &[], &[]);
    let dir = run(&mut world, &image, "seq 1 300000; exec sleep 1000").await;
    until("all is captured", || last(&dir) == Some(300_000)).await;
    let lines = captured(&dir, "stdout");
    assert_eq!((lines.len(), gaps(&lines)), (300_000, 0));
    // A new agent neither doubles nor loses any of it.
    world.restart().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(captured(&dir, "stdout").len(), 300_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_slowly_is_captured_over_rotations_and_restarts_of_the_agent() {
    let mut world = World::with_logs(20_000, 8);
    let image = Busybox::new(&world, &[], &[]);
    // Some 400 bytes a line in dockerd's files: a rotation every fifty lines.
    let cmd = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; \
               head -c 300 /dev/zero | tr '\\0' x >&2; echo >&2; sleep 0.03; done; exec sleep 1000";
    let dir = run(&mut world, &image, cmd).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.restart().await;
    }
    until("all is captured", || last(&dir) == Some(300)).await;
    let lines = captured(&dir, "stdout");
    assert_eq!((lines.len(), gaps(&lines)), (300, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dockerd_removed_while_no_agent_looked_is_said_to_be_missing() {
    let mut world = World::with_logs(50_000, 3);
    let image = Busybox::new(&world, &[], &[]);
    let cmd = "seq 1 100; while [ ! -e /tmp/go ]; do sleep 0.1; done; seq 101 20000; \
               while [ ! -e /tmp/end ]; do sleep 0.1; done; seq 20001 20010; exec sleep 1000";
    let dir = run(&mut world, &image, cmd).await;
    until("the beginning is captured", || last(&dir) == Some(100)).await;
    let container = world.containers().remove(0);
    world.stop().await;
    crate::world::docker(&["exec", &container, "touch", "/tmp/go"]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.start();
    until("what is left is captured", || last(&dir) == Some(20_000)).await;
    crate::world::docker(&["exec", &container, "touch", "/tmp/end"]);
    until("the rest is captured", || last(&dir) == Some(20_010)).await;
    let lines = captured(&dir, "stdout");
    assert_eq!(gaps(&lines), 1);
    let gap = lines.iter().position(|line| line.starts_with('!')).unwrap();
    assert!(lines[gap].contains("removed it before it was captured"));
    assert_eq!(lines[gap - 1], "100");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_many_pieces_is_one_line_and_its_pieces_are_marked() {
    let mut world = World::with_logs(1 << 20, 5);
    let image = Busybox::new(&world, &[], &[]);
    let cmd = "echo first; head -c 100000 /dev/zero | tr '\\0' x; echo; echo 7; exec sleep 1000";
    let dir = run(&mut world, &image, cmd).await;
    until("all is captured", || last(&dir) == Some(7)).await;
    let logs = world.dir.path().join("state/logs");
    let store = || LogStore::new(logs.clone(), 1 << 20, 5, 100 << 20);
    let read = |lines| {
        let query = Query {
            instances: [INSTANCE.parse().unwrap()].into(),
            streams: vec![Stream::Stdout],
            since_ns: 0,
            until_ns: 0,
            lines,
            replica: None,
        };
        let mut reader = Reader::open(store(), query).unwrap();
        reader.next(usize::MAX).unwrap()
    };
    assert_eq!(read(1).len(), 1);
    // The line of 100,000 bytes, which dockerd has in pieces of 16 KiB, and the last one.
    let two = read(2);
    let (end, long) = two.split_last().unwrap();
    assert_eq!(end.line, b"7");
    assert!(long.len() >= 6, "{} pieces", long.len());
    assert_eq!(
        long.iter().map(|one| one.line.len()).sum::<usize>(),
        100_000
    );
    let (closing, before) = long.split_last().unwrap();
    assert!(before.iter().all(|one| one.partial) && !closing.partial);
    assert_eq!(read(3).first().unwrap().line, b"first");
}
