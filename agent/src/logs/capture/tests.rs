//! Logs of runs that come late, twice, in pieces or not at all, as an engine in memory tells them.

use std::{path::Path, time::Duration};

use paasta_agent_core::{
    compose::{RunOf, compose},
    settings::HostSettings,
};
use paasta_common::{assignment::Want, container::ContainerSpec};
use paasta_process::clock::SystemClock;
use tokio::time::timeout;

use super::*;
use crate::{
    agent::tests::{IMAGE, assignment, unchecked},
    engine::fake::FakeEngine,
    logs::{
        read::{Query, Reader},
        store::tests::key,
    },
};

const PATIENCE: Duration = Duration::from_secs(20);
const NAME: &str = "paasta-hello.main-r7-1";

fn spec() -> ContainerSpec {
    let settings = HostSettings::new("host1".parse().unwrap(), "127.0.0.1", "/sandboxes");
    let id = key(1).replica;
    let held = assignment(1, &[(id.0, Want::Run)], unchecked());
    let run = RunOf {
        number: 1,
        host_port: None,
        image_working_dir: None,
    };
    compose(&settings, "c1", id, &held.replicas[&id], run)
}

async fn running(engine: &FakeEngine) -> String {
    let (told, _) = watch::channel(Default::default());
    engine.pull(IMAGE, &told).await.unwrap();
    let id = engine.create(&spec()).await.unwrap();
    engine.start(&id).await.unwrap();
    id
}

fn captures(engine: &FakeEngine, dir: &Path) -> Captures {
    let store = LogStore::new(dir, 1 << 20, 5, 1 << 20);
    Captures::new(Arc::new(engine.clone()), store, CancellationToken::new())
}

fn keep(captures: &Captures, id: &str) {
    captures.keep(&BTreeMap::from([(key(1), id.to_owned())]), &BTreeSet::new());
}

fn read(captures: &Captures) -> Vec<String> {
    let query = Query {
        instances: BTreeSet::from([key(1).instance]),
        streams: Stream::ALL.to_vec(),
        ..Query::default()
    };
    let mut reader = Reader::open(captures.store().clone(), query).unwrap();
    let records = reader.next(1 << 20).unwrap();
    let lines = records.into_iter().map(|record| record.line);
    lines.map(|line| String::from_utf8(line).unwrap()).collect()
}

async fn until_read(captures: &Captures, wanted: &[&str]) {
    let mut appended = captures.appended();
    let read = async {
        while read(captures) != wanted {
            appended.changed().await.unwrap();
        }
    };
    timeout(PATIENCE, read)
        .await
        .unwrap_or_else(|_| panic!("{wanted:?}, not {:?}", self::read(captures)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_writes_is_captured_once_by_one_agent_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let engine = FakeEngine::new(Arc::new(SystemClock));
    let id = running(&engine).await;
    engine.say(NAME, Stream::Stdout, "one");
    let first = captures(&engine, dir.path());
    keep(&first, &id);
    until_read(&first, &["one"]).await;
    engine.say(NAME, Stream::Stderr, "two");
    until_read(&first, &["one", "two"]).await;
    // The first agent stops; what is written meanwhile is in the engine.
    first.keep(&BTreeMap::new(), &BTreeSet::new());
    engine.say(NAME, Stream::Stdout, "three");
    let second = captures(&engine, dir.path());
    keep(&second, &id);
    keep(&second, &id);
    until_read(&second, &["one", "two", "three"]).await;
    engine.say(NAME, Stream::Stdout, "four");
    engine.crash(NAME, 1);
    engine.say(NAME, Stream::Stderr, "last");
    let words = timeout(PATIENCE, second.finish(&key(1), &id)).await;
    assert_eq!(words.unwrap(), Ok("two | last".to_owned()));
    assert_eq!(read(&second), ["one", "two", "three", "four", "last"]);
    // Once more, as after an agent that died in between.
    let words = timeout(PATIENCE, second.finish(&key(1), &id)).await;
    assert_eq!(words.unwrap(), Ok("two | last".to_owned()));
    assert_eq!(read(&second).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_gone_has_the_words_it_left() {
    let dir = tempfile::tempdir().unwrap();
    let engine = FakeEngine::new(Arc::new(SystemClock));
    let id = running(&engine).await;
    engine.say(NAME, Stream::Stdout, "one");
    let captures = captures(&engine, dir.path());
    keep(&captures, &id);
    until_read(&captures, &["one"]).await;
    engine.remove(&id).await.unwrap();
    let words = timeout(PATIENCE, captures.finish(&key(1), &id)).await;
    assert_eq!(words.unwrap(), Ok("one".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_written_is_captured_when_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let engine = FakeEngine::new(Arc::new(SystemClock));
    let id = running(&engine).await;
    // A file where the directory should be.
    let root = dir.path().join("logs");
    std::fs::write(&root, "in the way").unwrap();
    engine.say(NAME, Stream::Stdout, "one");
    let captures = captures(&engine, &root);
    let refused = timeout(PATIENCE, captures.finish(&key(1), &id)).await;
    assert!(refused.unwrap().is_err());
    keep(&captures, &id);
    std::fs::remove_file(&root).unwrap();
    until_read(&captures, &["one"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_holds_up_only_its_own_capture() {
    let dir = tempfile::tempdir().unwrap();
    let engine = FakeEngine::new(Arc::new(SystemClock));
    let id = running(&engine).await;
    engine.faults(|faults| faults.hangs = true);
    let captures = captures(&engine, dir.path());
    keep(&captures, &id);
    // Called off at once, though nothing ever answers.
    captures.keep(&BTreeMap::new(), &BTreeSet::new());
    engine.faults(|faults| faults.hangs = false);
    engine.say(NAME, Stream::Stdout, "one");
    keep(&captures, &id);
    until_read(&captures, &["one"]).await;
}

#[test]
fn what_was_captured_before_is_told_from_what_was_not() {
    let mark = |at_ns, count| Mark { at_ns, count };
    let mut replay = Replay {
        outputs: [
            (Stream::Stdout, mark(5_000_000_000, 2), true),
            (Stream::Stderr, Mark::default(), false),
        ],
        unjoined: true,
    };
    assert_eq!(replay.since_s(), 3);
    let mut news =
        |at_ns, stream| replay.is_news(&crate::logs::store::tests::entry(at_ns, stream, ""));
    let out = Stream::Stdout;
    assert!(!news(4_999_999_999, out));
    assert!(news(1, Stream::Stderr));
    assert!(!news(5_000_000_000, out) && !news(5_000_000_000, out));
    // The third part of that line, and what follows, though the clock be set back.
    assert!(news(5_000_000_000, out) && news(5_000_000_001, out) && news(9, out));
}

#[test]
fn what_the_engine_removed_before_it_was_captured_is_said_to_be_missing() {
    let replay = |mark| Replay {
        outputs: [
            (Stream::Stdout, mark, mark != Mark::default()),
            (Stream::Stderr, Mark::default(), false),
        ],
        unjoined: mark != Mark::default(),
    };
    let mark = Mark {
        at_ns: 5_000_000_000,
        count: 1,
    };
    let entry = |at_ns| crate::logs::store::tests::entry(at_ns, Stream::Stderr, "");
    let mut joined = replay(mark);
    assert_eq!(joined.gap_before(&entry(5_000_000_000)), None);
    assert_eq!(joined.gap_before(&entry(9_000_000_000)), None);
    let mut torn = replay(mark);
    let gap = torn.gap_before(&entry(9_000_000_000)).unwrap();
    assert!(gap.gap && gap.stream == Stream::Stderr && gap.at_ns == 9_000_000_000);
    let words = String::from_utf8(gap.line.to_vec()).unwrap();
    assert!(words.contains("after 1970-01-01T00:00:05"), "{words}");
    assert_eq!(torn.gap_before(&entry(9_000_000_001)), None, "once");
    assert_eq!(replay(Mark::default()).gap_before(&entry(1)), None);
}
