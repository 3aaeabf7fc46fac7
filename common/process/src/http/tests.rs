//! Clients that send too much, too slowly or nothing at all.

use axum::routing::get;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;
use crate::metrics::Meters;

async fn served() -> (
    std::net::SocketAddr,
    CancellationToken,
    tokio::task::JoinHandle<()>,
) {
    let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let router = Router::new()
        .route("/", get(|| async { text("well".to_owned()) }))
        .route("/never", get(std::future::pending::<()>));
    let task = tokio::spawn(serve(
        acceptor(
            listener,
            CONNECTIONS_MAX,
            &Refusals::new(&Meters::default()),
        ),
        router,
        shutdown.clone(),
    ));
    (address, shutdown, task)
}

async fn said(address: std::net::SocketAddr, words: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(words.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(30), read)
        .await
        .expect("an answer in time")
        .unwrap();
    answer
}

#[tokio::test]
async fn it_answers_refuses_what_is_too_large_and_stops() {
    let (address, shutdown, task) = served().await;
    let asked = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = said(address, asked).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("well"),
        "{answer}"
    );
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(HEAD_BYTES_MAX * 2));
    let answer = said(address, &long).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    for (path, what) in [
        (
            format!("/{}", "a".repeat(600)),
            "a part of the path: 600 bytes",
        ),
        (format!("/?{}", "a".repeat(3_000)), "the query: 3000 bytes"),
    ] {
        let asked = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = said(address, &asked).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains(what) && answer.len() < 500, "{answer}");
    }
    let nothing = said(
        address,
        "GET /no HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(nothing.starts_with("HTTP/1.1 404"), "{nothing}");
    // One is resting and one waits for an answer that never comes: neither holds it up.
    let _resting = TcpStream::connect(address).await.unwrap();
    let mut waiting = TcpStream::connect(address).await.unwrap();
    waiting
        .write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    shutdown.cancel();
    tokio::time::timeout(STOP_GRACE * 5, task)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let (address, _shutdown, _task) = served().await;
    let error = bind(address).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()));
}
