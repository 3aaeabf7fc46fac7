//! A program that joins: it knows the pin of an authority, and nothing else.

use paasta_identity::{
    ClientCertificates, Tls,
    connect::{ConnectError, join},
    reason::Reason,
    token::{Joiner, Token},
};
use tokio::net::TcpStream;

use crate::pki::{Pki, Server, read_byte};

#[tokio::test]
async fn a_token_leads_to_its_own_cluster_only() {
    let (pki, other) = (Pki::new("prod"), Pki::new("prod"));
    let files = pki.files("coordinator/3");
    let open = Tls::read(&files, ClientCertificates::Optional).unwrap();
    let mut server = Server::start(open).await;
    let token = Token::random(Joiner::Agent, pki.authority.pin().unwrap());
    let token: Token = token.to_string().parse().unwrap();
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let (mut stream, identity) = join(tcp, token.pin).await.unwrap();
    assert_eq!(read_byte(&mut stream).await.unwrap(), b'x');
    assert_eq!(identity.to_string(), "paasta://prod/coordinator/3");
    assert_eq!(server.peer().await.identity(), None);

    let wrong = other.authority.pin().unwrap();
    let tcp = TcpStream::connect(server.address).await.unwrap();
    match join(tcp, wrong).await {
        Err(ConnectError::Handshake(error)) => {
            assert_eq!(error.reason(), Reason::UnknownAuthority, "{error}");
        }
        other => panic!("{other:?}"),
    }

    // An agent of the same authority is no coordinator, whatever it serves.
    let agent = Tls::read(&pki.files("agent/h"), ClientCertificates::Optional).unwrap();
    let impostor = Server::start(agent).await;
    let tcp = TcpStream::connect(impostor.address).await.unwrap();
    match join(tcp, token.pin).await {
        Err(ConnectError::Handshake(error)) => assert_eq!(error.reason(), Reason::Role, "{error}"),
        other => panic!("{other:?}"),
    }
}
