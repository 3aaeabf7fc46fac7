//! Drains against real HTTP servers of this machine: those that do as they are told, and those
//! that hang, fail, hang up or are not there. None of them blocks.

use paasta_common::spec::DrainMethod;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// What a server does with a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Answers(u16),
    Hangs,
    HangsUp,
    /// Nobody listens at its port.
    Absent,
}

/// A server that remembers what it was asked: method, path and body.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn new(manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let memory = Arc::clone(&asked);
        if manner != Manner::Absent {
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, manner, Arc::clone(&memory)));
                }
            });
        }
        Self { port, asked }
    }

    async fn until(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        let look = async {
            let mut every = tokio::time::interval(Duration::from_millis(20));
            while !holds(&self.asked()) {
                every.tick().await;
            }
        };
        let waited = timeout(PATIENCE, look).await;
        assert!(waited.is_ok(), "never {what}: {:?}", self.asked());
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, asked: Arc<Mutex<Vec<String>>>) {
    let mut text = Vec::new();
    let head = loop {
        let mut part = [0; 1024];
        let count = stream.read(&mut part).await.unwrap_or(0);
        text.extend_from_slice(&part[..count]);
        let said = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = said.split_once("\r\n\r\n") else {
            if count == 0 {
                return;
            }
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            let first = head.lines().next().unwrap_or_default();
            let first = first.trim_end_matches(" HTTP/1.1");
            break format!("{first} {body}").trim_end().to_owned();
        }
    };
    asked.lock().push(head);
    match manner {
        Manner::Answers(status) => {
            let answer = format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n");
            // Who asked may have given up.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        Manner::Hangs => std::future::pending().await,
        Manner::HangsUp | Manner::Absent => {}
    }
}

fn hacheck(port: u16) -> DrainMethod {
    DrainMethod::Hacheck {
        delay_ms: 300,
        port,
        expiration_ms: 0,
    }
}

/// Every endpoint at that port.
fn http(port: u16) -> DrainMethod {
    let calls = ["drain", "stop_draining", "is_draining", "is_safe_to_kill"].map(|call| {
        format!(
            r#""{call}": {{"url_format": "http://{{host}}:{port}/{call}/{{nerve_ns}}/{{port}}",
                "success_codes": 200}}"#
        )
    });
    DrainMethod::Http {
        params: format!("{{{}}}", calls.join(",")),
    }
}

/// Replicas from 1 on, each with its way to leave.
fn leaving(generation: u64, want: Want, drains: &[DrainMethod]) -> Assignment {
    let ids: Vec<(u64, Want)> = (1..).zip(drains).map(|(id, _)| (id, want)).collect();
    let mut assignment = assignment(generation, &ids, unchecked());
    for (replica, drain) in assignment.replicas.values_mut().zip(drains) {
        replica.run = Arc::new(RunSettings {
            drain: drain.clone(),
            drain_timeout_ms: 4_000,
            ..replica.run.as_ref().clone()
        });
    }
    assignment
}

async fn until_drained(world: &World, id: u64) {
    world
        .until_report(id, &format!("r{id} drained"), |report| report.drained)
        .await;
}

#[tokio::test]
async fn hacheck_gets_down_once_and_up_again() {
    let server = Server::new(Manner::Answers(200)).await;
    let drains = [hacheck(server.port)];
    let mut world = World::new();
    world.order(leaving(1, Want::Run, &drains)).await.unwrap();
    world.until_phase(1, Phase::Running).await;
    let port = world.agent.handle.view.borrow().reports[&ReplicaId(1)]
        .host_port
        .unwrap();
    let told = format!("POST /spool/hello.main/{port}/status ");
    world.order(leaving(2, Want::Drain, &drains)).await.unwrap();
    until_drained(&world, 1).await;
    assert_eq!(world.running().len(), 1, "drained is not stopped");
    let down = server.asked();
    assert!(
        down.len() == 1 && down[0].starts_with(&format!("{told}status=down&expiration=")),
        "{down:?}"
    );
    world.restart().await;
    until_drained(&world, 1).await;
    assert_eq!(server.asked(), down, "the new agent knows that it was told");
    world.order(leaving(3, Want::Run, &drains)).await.unwrap();
    world
        .until_report(1, "back", |report| {
            report.phase == Phase::Running && !report.drained
        })
        .await;
    let up = format!("{told}status=up");
    server
        .until("told up", |asked| asked.last() == Some(&up))
        .await;
    assert_eq!(server.asked().len(), 2);
    assert_eq!(world.engine.created(), 1, "all the while it ran");
}

#[tokio::test]
async fn a_drain_that_fails_or_hangs_never_blocks() {
    let manners = [
        Manner::Answers(500),
        Manner::Hangs,
        Manner::HangsUp,
        Manner::Absent,
    ];
    let mut servers = Vec::new();
    let mut drains = vec![DrainMethod::Noop, DrainMethod::Test { delay_ms: 50 }];
    for manner in manners {
        let server = Server::new(manner).await;
        drains.extend([hacheck(server.port), http(server.port)]);
        servers.push(server);
    }
    let world = World::new();
    world.order(leaving(1, Want::Run, &drains)).await.unwrap();
    let all = (1..).zip(&drains).map(|(id, _)| id);
    for id in all.clone() {
        world.until_phase(id, Phase::Running).await;
    }
    world.order(leaving(2, Want::Drain, &drains)).await.unwrap();
    for id in all {
        until_drained(&world, id).await;
    }
    let message = |id: u64| {
        world.agent.handle.view.borrow().reports[&ReplicaId(id)]
            .message
            .clone()
    };
    for (id, words) in [
        (3, "drain refused"),
        (4, "going on without"),
        (5, "timed out after 4000 ms"),
        (6, "timed out after 4000 ms"),
        (7, "drain endpoint drain: http://127.0.0.1"),
        (8, "going on without"),
        (9, "drain endpoint drain: http://127.0.0.1"),
        (10, "going on without"),
    ] {
        assert!(message(id).contains(words), "r{id}: {}", message(id));
    }
    for server in servers.iter().take(3) {
        assert!(!server.asked().is_empty());
    }
    world.order(leaving(3, Want::Stop, &drains)).await.unwrap();
    world
        .until("all gone", |view| {
            view.reports
                .values()
                .all(|report| report.phase == Phase::Gone)
        })
        .await;
    assert!(world.engine.containers().is_empty());
}

#[tokio::test]
async fn a_service_is_asked_to_drain_and_until_it_is_safe() {
    let server = Server::new(Manner::Answers(200)).await;
    let drains = [http(server.port)];
    let world = World::new();
    world.order(leaving(1, Want::Run, &drains)).await.unwrap();
    world.until_phase(1, Phase::Running).await;
    world.order(leaving(2, Want::Drain, &drains)).await.unwrap();
    until_drained(&world, 1).await;
    let asked: Vec<String> = server
        .asked()
        .iter()
        .map(|line| line.split('/').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(asked, ["is_draining", "is_safe_to_kill"]);
}
