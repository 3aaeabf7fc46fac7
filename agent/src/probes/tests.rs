//! Probes against real sockets of this machine.

use paasta_process::clock::SystemClock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

const HERE: &str = "127.0.0.1";
use crate::engine::fake::FakeEngine;

struct Prober {
    probes: Probes,
    inbox: mpsc::Receiver<Happened>,
    engine: FakeEngine,
}

impl Prober {
    fn new() -> Self {
        let engine = FakeEngine::new(Arc::new(SystemClock));
        let (sender, inbox) = mpsc::channel(16);
        Self {
            probes: Probes::new(Arc::new(engine.clone()), sender, HERE),
            inbox,
            engine,
        }
    }

    async fn event(&mut self) -> Event {
        let patience = Duration::from_secs(20);
        match timeout(patience, self.inbox.recv()).await.unwrap().unwrap() {
            Happened::Event(event) => event,
            other => panic!("{other:?}"),
        }
    }

    async fn ask(&mut self, target: Target, timeout_ms: u64) -> Result<(), String> {
        self.probes.probe(ReplicaId(1), 1, target, timeout_ms);
        match self.event().await {
            Event::Probed { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }
}

/// Answers every connection with these bytes, once something was asked.
async fn server(answer: &'static str) -> u16 {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 1024];
                if stream.read(&mut asked).await.unwrap_or(0) > 0 {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    port
}

fn http(port: u16) -> Target {
    Target::Http {
        port,
        uri: "/status".to_owned(),
        tls: false,
    }
}

#[tokio::test]
async fn http_is_healthy_from_200_to_399() {
    let mut prober = Prober::new();
    for (answer, healthy) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            true,
        ),
        ("HTTP/1.0 200 OK\r\n\r\nuntil the end", true),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false),
        ("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", false),
        ("", false),
        ("what?\r\n\r\n", false),
    ] {
        let port = server(answer).await;
        let result = prober.ask(http(port), 5_000).await;
        assert_eq!(result.is_ok(), healthy, "{answer:?}: {result:?}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_fails_at_the_timeout_and_delays_nobody() {
    let mut prober = Prober::new();
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    prober.probes.probe(ReplicaId(9), 1, http(port), 15_000);
    let good = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(prober.ask(http(good), 5_000).await, Ok(()));
    let words = prober.ask(http(port), 100).await.unwrap_err();
    assert!(words.contains("100 ms"), "{words}");
}

#[tokio::test]
async fn tcp_needs_someone_who_listens() {
    let mut prober = Prober::new();
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(prober.ask(Target::Tcp { port }, 5_000).await, Ok(()));
    drop(listener);
    assert!(prober.ask(Target::Tcp { port }, 5_000).await.is_err());
    assert!(prober.ask(Target::Tcp { port: 0 }, 5_000).await.is_err());
}

#[tokio::test]
async fn a_command_is_run_in_the_container() {
    let mut prober = Prober::new();
    let cmd = || Target::Cmd {
        container: "none".to_owned(),
        command: "true".to_owned(),
    };
    assert!(
        prober
            .ask(cmd(), 5_000)
            .await
            .unwrap_err()
            .contains("no such container")
    );
    prober.engine.faults(|faults| faults.hangs = true);
    assert!(prober.ask(cmd(), 50).await.unwrap_err().contains("50 ms"));
}

fn cmd(container: &str) -> Target {
    Target::Cmd {
        container: container.to_owned(),
        command: "true".to_owned(),
    }
}

#[tokio::test]
async fn a_run_has_one_command_at_a_time() {
    let mut prober = Prober::new();
    prober.engine.faults(|faults| faults.hangs = true);
    for _ in 0..3 {
        prober.probes.probe(ReplicaId(1), 1, cmd("none"), 300);
    }
    prober.probes.probe(ReplicaId(2), 1, cmd("none"), 300);
    let asked = [prober.event().await, prober.event().await];
    let replicas = asked.map(|event| match event {
        Event::Probed { replica, .. } => replica.0,
        other => panic!("{other:?}"),
    });
    assert_eq!(replicas.iter().sum::<u64>(), 3, "one answer of each run");
    let more = timeout(Duration::from_millis(400), prober.inbox.recv()).await;
    assert!(more.is_err(), "{more:?}");
    // The next may begin.
    assert!(prober.ask(cmd("none"), 50).await.is_err());
}

#[tokio::test]
async fn commands_that_hang_keep_no_other_run_waiting() {
    let mut prober = Prober::new();
    prober.engine.faults(|faults| {
        faults.stuck.insert("hangs".to_owned());
    });
    let hanging = 2..=30;
    let hang = |prober: &Prober, timeout_ms| {
        for id in hanging.clone() {
            let id = ReplicaId(id);
            prober.probes.probe(id, 1, cmd("hangs"), timeout_ms);
        }
    };
    hang(&prober, 20);
    for _ in hanging.clone() {
        prober.event().await;
    }
    hang(&prober, 60_000);
    let asked = timeout(Duration::from_secs(5), prober.ask(cmd("none"), 1_000)).await;
    let words = asked.unwrap().unwrap_err();
    assert!(words.contains("no such container"), "{words}");
}

#[tokio::test]
async fn a_drain_call_is_yes_only_if_every_registration_says_so() {
    let mut prober = Prober::new();
    let yes = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let no = server("HTTP/1.1 409 No\r\nContent-Length: 0\r\n\r\n").await;
    let closed = {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let request = |port: u16| Request {
        method: "POST".to_owned(),
        url: format!("http://{HERE}:{port}/drain"),
        form: None,
        success: vec![(200, 299)],
    };
    for (ports, expected) in [
        (vec![yes, yes], Some(true)),
        (vec![yes, no], Some(false)),
        (vec![yes, closed], None),
    ] {
        let requests = ports.into_iter().map(request).collect();
        prober.probes.drain(ReplicaId(1), Call::Drain, requests);
        let Event::DrainAnswered { result, .. } = prober.event().await else {
            panic!("not a drain");
        };
        assert_eq!(result.ok(), expected);
    }
}

#[tokio::test]
async fn https_takes_whatever_certificate_the_container_has() {
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
    };
    let cert = include_bytes!("../../tests/data/self-signed.crt.der").as_slice();
    let key = include_bytes!("../../tests/data/self-signed.key.der").as_slice();
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.into()], PrivateKeyDer::Pkcs8(key.into()))
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await;
            let _ = stream.shutdown().await;
        }
    });
    let mut prober = Prober::new();
    let target = |tls| Target::Http {
        port,
        uri: "/status".to_owned(),
        tls,
    };
    assert_eq!(prober.ask(target(true), 10_000).await, Ok(()));
    assert!(prober.ask(target(false), 10_000).await.is_err());
}
