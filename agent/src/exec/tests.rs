//! Commands that are not run, and why.

use std::time::Duration;

use paasta_process::clock::SystemClock;
use tokio::time::timeout;

use super::*;
use crate::engine::fake::FakeEngine;

fn commands(enabled: bool) -> Commands {
    let engine = FakeEngine::new(Arc::new(SystemClock));
    let limit = Duration::from_secs(60);
    let settings = ExecSettings { enabled, limit };
    let host = "h1".parse().unwrap();
    ExecServer::new(Arc::new(engine), host, settings).session()
}

fn begin(id: u64, replica: &str, words: &[&str]) -> v1::ExecBegin {
    v1::ExecBegin {
        id,
        replica: replica.to_owned(),
        command: words.iter().map(|word| (*word).to_owned()).collect(),
        principal: "admin/alice".to_owned(),
        room: 1,
        ..v1::ExecBegin::default()
    }
}

async fn problem(commands: &mut Commands) -> String {
    let output = timeout(Duration::from_secs(30), commands.next())
        .await
        .unwrap();
    match output.kind {
        Some(exec_output::Kind::End(end)) => {
            assert_eq!(end.code, None);
            end.problem
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_not_run_has_its_reason() {
    let mut off = commands(false);
    off.begin(begin(1, "r1", &["true"]));
    assert!(problem(&mut off).await.contains("agent.exec is not set"));
    let mut on = commands(true);
    for (asked, expected) in [
        (
            begin(1, "r1", &["true"]),
            "r1 has no container that runs on h1",
        ),
        (begin(2, "17", &["true"]), "replica: \"17\""),
        (begin(3, "r1", &[]), "no program is named"),
        (begin(4, "r1", &[""]), "no program is named"),
        (
            begin(5, "r1", &["x"; WORDS_MAX + 1]),
            "more than 1000 words",
        ),
        (
            begin(6, "r1", &[&"x".repeat(WORDS_BYTES_MAX + 1)]),
            "or 64 KiB",
        ),
    ] {
        on.begin(asked);
        let found = problem(&mut on).await;
        assert!(found.contains(expected), "{found}");
    }
    assert!(on.running.is_empty());
}

#[tokio::test]
async fn room_and_inputs_are_bounded_and_other_ids_are_ignored() {
    let mut commands = commands(true);
    let message = |id, kind| v1::ExecInput {
        id,
        kind: Some(kind),
    };
    commands.input(message(
        9,
        exec_input::Kind::More(v1::ExecRoom { messages: 1 }),
    ));
    let (room, (input, _held)) = (Arc::new(Semaphore::new(1)), mpsc::channel(INPUTS_MAX));
    let held = Held {
        room: Arc::clone(&room),
        input,
        _stop: CancellationToken::new().drop_guard(),
    };
    commands.running.insert(1, held);
    for _ in 0..10 {
        commands.input(message(
            1,
            exec_input::Kind::More(v1::ExecRoom { messages: u32::MAX }),
        ));
    }
    assert_eq!(room.available_permits(), ROOM_MAX);
    for _ in 0..INPUTS_MAX {
        commands.input(message(
            1,
            exec_input::Kind::Stdin(v1::ExecStdin { data: vec![0] }),
        ));
    }
    assert_eq!(commands.running.len(), 1);
    commands.input(message(
        1,
        exec_input::Kind::Stdin(v1::ExecStdin { data: vec![0] }),
    ));
    assert!(commands.running.is_empty(), "more than it had room for");
}
