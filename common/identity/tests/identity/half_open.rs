//! Handshakes that are begun and not ended.

use std::{net::SocketAddr, time::Duration};

use paasta_identity::{
    accept::HandshakeLimits, connect::Expected, flood::FailureRate, reason::Reason,
};
use paasta_process::accept::raise_limit;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

use crate::pki::{PATIENCE, Pki, Server, read_byte};

async fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_half_open_handshakes_keep_no_client_out() {
    assert!(raise_limit() > 3_000, "raise the limit of open files");
    let pki = Pki::new("prod");
    let limits = HandshakeLimits::default();
    let server = Server::limited(pki.tls("coordinator/1"), limits).await;
    let mut silent = Vec::new();
    for at in 0..1_000_u16 {
        let [high, low] = at.to_be_bytes();
        silent.push(connect([127, 1, high, low.max(1)], server.address).await);
    }
    let began = Instant::now();
    let client = pki.tls("agent/h");
    let address = server.address.to_string();
    let mut stream = client.dial(&address, Expected::Any).await.unwrap();
    assert_eq!(read_byte(&mut stream).await.unwrap(), b'x');
    assert!(began.elapsed() < limits.within, "{:?}", began.elapsed());
    assert!(server.counts.failed(Reason::Evicted) >= 1_000 - 256 - 1);
}

#[tokio::test]
async fn one_address_has_few_and_each_has_a_deadline() {
    let pki = Pki::new("prod");
    let limits = HandshakeLimits {
        total: 100,
        per_address: 3,
        within: Duration::from_millis(500),
        ..HandshakeLimits::default()
    };
    let server = Server::limited(pki.tls("coordinator/1"), limits).await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(connect([127, 0, 0, 9], server.address).await);
    }
    // Bytes that are no whole hello do not prolong it.
    silent[0].write_all(&[22, 3, 1, 1, 0]).await.unwrap();
    let client = pki.tls("agent/h");
    let address = server.address.to_string();
    client.dial(&address, Expected::Any).await.unwrap();
    for stream in &mut silent {
        let ended = timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap();
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
    server.failed(Reason::Late).await;
    assert_eq!(server.counts.failed(Reason::TooMany), 2);
}

#[tokio::test]
async fn an_address_whose_handshakes_fail_fast_is_closed_at_once() {
    let pki = Pki::new("prod");
    let other = Pki::new("prod");
    let limits = HandshakeLimits {
        failures: FailureRate {
            burst: 5.0,
            per_second: 0.01,
        },
        ..HandshakeLimits::default()
    };
    let server = Server::limited(pki.tls("coordinator/1"), limits).await;
    let stranger = other.tls("agent/h");
    let address = server.address.to_string();
    for _ in 0..5 {
        // The client side does not believe the server: it fails with an alert.
        assert!(stranger.dial(&address, Expected::Any).await.is_err());
    }
    let closed = async {
        while server.counts.failed(Reason::TooFast) == 0 {
            let mut stream = connect([127, 0, 0, 1], server.address).await;
            let ended = stream.read(&mut [0; 1]).await;
            assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
        }
    };
    timeout(PATIENCE, closed).await.unwrap();
    // Another address is not concerned.
    let tcp = connect([127, 0, 0, 2], server.address).await;
    pki.tls("agent/h")
        .connect(tcp, Expected::Any)
        .await
        .unwrap();
}
