//! Programs that are not of the cluster: openssl, and one that speaks plain text.

use std::{
    net::SocketAddr,
    process::{Command, Output, Stdio},
};

use paasta_identity::{Files, connect::Expected, reason::Reason};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::pki::{Pki, Server};

async fn s_client(address: SocketAddr, arguments: Vec<String>) -> (bool, String) {
    let run = move || -> Output {
        Command::new("openssl")
            .args(["s_client", "-connect", &address.to_string(), "-alpn", "h2"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("run openssl: install it")
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(ToString::to_string).collect()
}

fn own(pki: &Pki, files: &Files) -> Vec<String> {
    let path = |path: &std::path::Path| path.display().to_string();
    vec![
        "-CAfile".to_owned(),
        path(&pki.ca()),
        "-cert".to_owned(),
        path(&files.certificate),
        "-key".to_owned(),
        path(&files.key),
    ]
}

#[tokio::test]
async fn openssl_is_served_tls_1_3_and_nothing_older() {
    let pki = Pki::new("prod");
    let server = Server::start(pki.tls("coordinator/1")).await;
    let (_, said) = s_client(server.address, words(&["-tls1_3"])).await;
    assert!(said.contains("TLSv1.3"), "{said}");
    assert!(said.contains("X25519") || said.contains("ECDH"), "{said}");
    server.failed(Reason::NoCertificate).await;
    for older in ["-tls1_2", "-tls1_1", "-tls1"] {
        let arguments = words(&[older, "-cipher", "ALL:@SECLEVEL=0"]);
        let (done, said) = s_client(server.address, arguments).await;
        assert!(!done, "{older}: {said}");
        assert!(said.contains("Cipher is (NONE)"), "{older}: {said}");
    }
    server.failed(Reason::Version).await;
    // The same program with a certificate of the cluster is none.
    let mut server = Server::start(pki.tls("coordinator/1")).await;
    let files = pki.files("metrics/prometheus");
    let (_, said) = s_client(server.address, own(&pki, &files)).await;
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    assert_eq!(
        server.peer().await.identity().unwrap().to_string(),
        "paasta://prod/metrics/prometheus"
    );
}

#[tokio::test]
async fn plain_text_on_either_side_is_said_to_be_that() {
    let pki = Pki::new("prod");
    let server = Server::start(pki.tls("coordinator/1")).await;
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    server.failed(Reason::NotTls).await;

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad\r\n\r\n").await.unwrap();
        stream
    };
    let client = pki.tls("agent/h");
    let (dialled, _stream) = tokio::join!(client.dial(&address, Expected::Any), answer);
    let error = dialled.unwrap_err().to_string();
    assert!(error.contains("does not speak TLS"), "{error}");
}
