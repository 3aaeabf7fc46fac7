//! `paasta logs` against a coordinator that plays streams from a script.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use paasta_proto::v1::{
    LogComponent, LogLevel, LogLine, LogsPart, LogsRequest,
    logs_server::{Logs, LogsServer},
};
use tokio::runtime::Runtime;
use tokio_stream::{Stream, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};

use crate::paasta::{Ran, paasta};

type Parts = Vec<Result<LogsPart, Status>>;

#[derive(Clone, Default)]
struct Player {
    streams: Arc<Mutex<Vec<Parts>>>,
    asked: Arc<Mutex<Vec<LogsRequest>>>,
}

#[tonic::async_trait]
impl Logs for Player {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<LogsPart, Status>> + Send>>;

    async fn read(
        &self,
        request: Request<LogsRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let mut asked = self.asked.lock().expect("no test panics with the lock");
        asked.push(request.into_inner());
        let mut streams = self.streams.lock().expect("no test panics with the lock");
        match streams.is_empty() {
            true => Err(Status::not_found("service \"helo\" is not known")),
            false => Ok(Response::new(Box::pin(tokio_stream::iter(
                streams.remove(0),
            )))),
        }
    }
}

/// Runs `paasta logs -s hello MORE` against these streams; returns what was asked for, too.
fn logs(streams: Vec<Parts>, more: &[&str]) -> (Ran, Vec<LogsRequest>) {
    let runtime = Runtime::new().expect("a runtime");
    let bind = tokio::net::TcpListener::bind("127.0.0.1:0");
    let listener = runtime.block_on(bind).expect("listen on loopback");
    let address = listener.local_addr().expect("its address").to_string();
    let player = Player::default();
    *player.streams.lock().expect("nobody has it yet") = streams;
    let server = Server::builder().add_service(LogsServer::new(player.clone()));
    runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let begin = ["--coordinators", &address, "--timeout", "2s", "logs"];
    let ran = paasta(&[&begin[..], &["-s", "hello"], more].concat());
    let asked = player.asked.lock().expect("nobody has it any more").clone();
    (ran, asked)
}

fn lines(messages: &[(u64, &str)]) -> Result<LogsPart, Status> {
    let line = |(at_ns, message): &(u64, &str)| LogLine {
        at_ns: *at_ns,
        component: LogComponent::Stdout.into(),
        level: LogLevel::Event.into(),
        cluster: "demo".to_owned(),
        service: "hello".to_owned(),
        instance: "main".to_owned(),
        host: "host1".to_owned(),
        replica: "r7".to_owned(),
        run: 1,
        message: message.as_bytes().to_vec(),
        ..LogLine::default()
    };
    Ok(LogsPart {
        lines: messages.iter().map(line).collect(),
        notices: Vec::new(),
    })
}

fn notice(text: &str) -> Result<LogsPart, Status> {
    Ok(LogsPart {
        lines: Vec::new(),
        notices: vec![text.to_owned()],
    })
}

#[test]
fn lines_are_printed_and_what_is_missing_is_said_apart() {
    let (ran, asked) = logs(
        vec![vec![lines(&[
            (1_000_000_000, "one"),
            (2_000_000_000, "two"),
        ])]],
        &[],
    );
    let ran = ran.exits(0);
    assert_eq!(
        ran.stdout,
        "1970-01-01 00:00:01 [stdout] [demo] [main] - [event] one\n\
         1970-01-01 00:00:02 [stdout] [demo] [main] - [event] two\n"
    );
    assert_eq!((asked[0].lines, asked[0].since_ns), (100, 0));
    let silent = notice("host host2: no answer within 5s");
    let (ran, _) = logs(vec![vec![silent, lines(&[(1, "one")])]], &["--raw"]);
    let ran = ran.exits(2);
    assert_eq!(ran.stdout, "one\n");
    assert_eq!(ran.stderr, "paasta: host host2: no answer within 5s\n");
}

#[test]
fn what_is_asked_for_is_what_was_said() {
    let more = [
        "-i",
        "main,worker",
        "-c",
        "demo",
        "-C",
        "stderr,deploy",
        "--since",
        "1970-01-01T00:00:05Z",
        "--until",
        "1970-01-01T00:00:09Z",
        "--replica",
        "r7",
        "--host",
        "host1",
        "--json",
    ];
    let (ran, asked) = logs(vec![vec![lines(&[(1, "a"), (2, "b")])]], &more);
    let ran = ran.exits(0);
    let wanted = LogsRequest {
        service: "hello".to_owned(),
        instances: vec!["main".to_owned(), "worker".to_owned()],
        components: vec![LogComponent::Stderr.into(), LogComponent::Deploy.into()],
        since_ns: 5_000_000_000,
        until_ns: 9_000_000_000,
        lines: 0,
        follow: false,
        replica: "r7".to_owned(),
        host: "host1".to_owned(),
        cluster: "demo".to_owned(),
        components_word: Vec::new(),
    };
    assert_eq!(asked, [wanted]);
    let each: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON on each line"))
        .collect();
    assert_eq!(
        (&each[0]["message"], &each[1]["replica"]),
        (&"a".into(), &"r7".into())
    );
}

#[test]
fn following_goes_on_with_the_next_leader_after_the_last_line() {
    let moved = || Err(Status::unavailable("leadership moved"));
    let streams = vec![
        vec![lines(&[(5, "one")]), moved()],
        vec![moved()],
        vec![lines(&[(7, "two")])],
    ];
    let (ran, asked) = logs(streams, &["-f", "-r", "-n", "3"]);
    assert_eq!(ran.exits(0).stdout, "one\ntwo\n");
    let begun: Vec<(u64, u32)> = asked.iter().map(|ask| (ask.since_ns, ask.lines)).collect();
    assert_eq!(begun, [(0, 3), (6, 0), (6, 0)]);
    let (ran, _) = logs(vec![vec![lines(&[(5, "one")]), moved()]], &["-r"]);
    let ran = ran.exits(1);
    assert!(
        ran.stderr.contains("the logs broke off: leadership moved"),
        "{ran:?}"
    );
}

#[test]
fn mistakes_are_refused_before_anybody_is_asked() {
    for (more, said) in [
        (&["--since", "yesterday"][..], "neither a time ago"),
        (&["-C", "tron"], "stdout, stderr, deploy, monitoring"),
        (&["-C", "build"], "no component is left"),
        (&["-n", "0"], "from 1 to 10000"),
        (&["-f", "--until", "1m"], "cannot be used with"),
        (
            &["--since", "1m", "--until", "2m"],
            "--until is before --since",
        ),
    ] {
        let (ran, asked) = logs(Vec::new(), more);
        let ran = ran.exits(1);
        assert!(ran.stderr.contains(said), "{ran:?}");
        assert!(asked.is_empty());
    }
    let (ran, _) = logs(Vec::new(), &[]);
    assert!(ran.exits(1).stderr.contains("is not known"));
}
