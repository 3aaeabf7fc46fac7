//! Questions about logs, answered piece by piece and within what was asked for.

use paasta_process::clock::SystemClock;
use tokio::time::timeout;

use super::*;
use crate::{
    engine::fake::FakeEngine,
    logs::store::tests::{entry, key},
};

const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    _dir: tempfile::TempDir,
    server: LogServer,
    store: LogStore,
    appended: watch::Sender<u64>,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::new(dir.path(), 1 << 20, 5, 1 << 20);
    let engine = Arc::new(FakeEngine::new(Arc::new(SystemClock)));
    let captures = Captures::new(engine, store.clone(), CancellationToken::new());
    let (appended, receiver) = watch::channel(0);
    World {
        _dir: dir,
        server: LogServer {
            appended: receiver,
            ..LogServer::new(&captures)
        },
        store,
        appended,
    }
}

impl World {
    fn write(&self, times: impl IntoIterator<Item = u64>, text: &str) {
        let mut writer = self.store.writer(&key(1)).unwrap();
        for at in times {
            let line = entry(at, Stream::Stdout, text);
            writer.append(&[line]).unwrap();
        }
        self.appended.send_modify(|times| *times += 1);
    }
}

fn asked(id: u64, answers: u32, follow: bool) -> v1::LogQuery {
    v1::LogQuery {
        id,
        instances: vec!["hello.main".to_owned()],
        answers,
        follow,
        ..v1::LogQuery::default()
    }
}

async fn next(answers: &mut Answers) -> v1::LogAnswer {
    timeout(PATIENCE, answers.next()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_is_answered_and_then_the_end() {
    let world = world();
    world.write(1..=3, "a");
    let mut answers = world.server.session();
    answers.begin(asked(9, 1, false));
    let first = next(&mut answers).await;
    assert_eq!((first.id, first.ended), (9, false));
    let record = &first.records[0];
    assert_eq!(
        (
            record.at_ns,
            record.instance.as_str(),
            record.replica.as_str(),
            record.run
        ),
        (1, "hello.main", "r7", 1)
    );
    assert_eq!(first.records.len(), 3);
    let last = next(&mut answers).await;
    assert!(last.ended && last.problem.is_empty());
    assert!(answers.queries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_sent_than_there_is_room_for_and_nothing_is_lost() {
    let world = world();
    // 200 lines of 1 KiB are seven answers.
    world.write(1..=200, &"x".repeat(1_000));
    let mut answers = world.server.session();
    answers.begin(asked(1, 2, true));
    let mut lines = 0;
    for _ in 0..2 {
        lines += next(&mut answers).await.records.len();
    }
    let early = timeout(Duration::from_millis(100), answers.next()).await;
    assert!(early.is_err(), "{early:?}");
    loop {
        answers.more(&v1::LogMore { id: 1, answers: 1 });
        let answer = next(&mut answers).await;
        lines += answer.records.len();
        if answer.caught_up {
            break;
        }
    }
    assert_eq!(lines, 200);
    world.write([500], "new");
    answers.more(&v1::LogMore { id: 1, answers: 1 });
    assert_eq!(next(&mut answers).await.records[0].line, b"new");
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_have_so_many_places_and_leave_them_when_called_off() {
    let world = world();
    let mut answers = world.server.session();
    let count = u64::try_from(QUERIES_MAX).unwrap();
    for id in 0..count {
        answers.begin(asked(id, 1, true));
    }
    answers.begin(asked(99, 1, false));
    let refused = loop {
        let answer = next(&mut answers).await;
        if answer.id == 99 {
            break answer;
        }
    };
    assert!(refused.ended && refused.problem.contains("16 log queries"));
    for id in 0..count {
        answers.cancel(id);
    }
    let places = Arc::clone(&world.server.places);
    let all = u32::try_from(QUERIES_MAX).unwrap();
    let freed = timeout(PATIENCE, places.acquire_many(all)).await;
    drop(freed.unwrap().unwrap());
    drop(answers);
    let mut others = world.server.session();
    others.begin(asked(1, 1, false));
    assert!(next(&mut others).await.problem.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_by_field() {
    let world = world();
    let mut answers = world.server.session();
    type Spoil = fn(&mut v1::LogQuery);
    let cases: [(&str, Spoil); 4] = [
        ("instances", |query| {
            query.instances[0] = "../etc".to_owned()
        }),
        ("streams", |query| query.streams = vec![17]),
        ("streams", |query| {
            query.streams_word = vec!["stdin".to_owned()]
        }),
        ("replica", |query| query.replica = "seven".to_owned()),
    ];
    for (field, spoil) in cases {
        let mut query = asked(1, 1, false);
        spoil(&mut query);
        answers.begin(query);
        let answer = next(&mut answers).await;
        assert!(
            answer.ended && answer.problem.starts_with(field),
            "{}",
            answer.problem
        );
    }
}
