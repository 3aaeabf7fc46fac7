//! Handshakes that must fail, each with its reason on the side that finds it, and those that must
//! not.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use paasta_identity::{
    ClientCertificates, Files, Role, Tls,
    connect::{ConnectError, Expected},
    credentials::OwnCertificateError,
    name::server_name,
    reason::Reason,
};
use rcgen::{ExtendedKeyUsagePurpose as Purpose, SanType};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
        version::TLS13,
    },
};

use crate::pki::{DAY, HOUR, Pki, Server, both, read_byte, tls};

fn uri(text: &str) -> SanType {
    SanType::URI(text.to_owned().try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.to_owned().try_into().unwrap())
}

const BOTH_SIDES: [Purpose; 2] = [Purpose::ClientAuth, Purpose::ServerAuth];

/// A client that does not look at its own certificate: what an attacker or another program is.
async fn careless(server: &Server, ca: &Pki, own: Option<&Files>) -> std::io::Result<u8> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(ca.ca()).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some(files) => {
            let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap();
            let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(server_name(&ca.cluster)).unwrap();
    let tcp = TcpStream::connect(server.address).await?;
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, tcp).await?;
    read_byte(&mut stream).await
}

async fn dial(tls: &Tls, server: &Server, expected: Expected) -> Result<u8, ConnectError> {
    let mut stream = tls.dial(&server.address.to_string(), expected).await?;
    Ok(read_byte(&mut stream).await.unwrap())
}

/// The reason for which the client refuses the server, and its words.
async fn refusal(tls: &Tls, server: &Server, expected: Expected) -> (Reason, String) {
    match dial(tls, server, expected).await {
        Err(ConnectError::Handshake(error)) => (error.reason(), error.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_role_is_known_by_its_certificate() {
    let pki = Pki::new("prod-1_a");
    let mut server = Server::start(pki.tls("coordinator/1")).await;
    for role in Role::ALL {
        let name = match role {
            Role::Coordinator => "2",
            _ => "host-1.example.com",
        };
        let client = pki.tls(&format!("{role}/{name}"));
        let byte = dial(&client, &server, Expected::Member(1)).await.unwrap();
        assert_eq!(byte, b'x');
        let peer = server.peer().await;
        assert_eq!(peer.identity(), Some(&client.identity()));
        assert_eq!(peer.role(), Some(role));
    }
    for reason in Reason::ALL {
        assert_eq!(server.counts.failed(reason), 0, "{reason:?}");
    }
}

#[tokio::test]
async fn the_server_refuses_certificates_of_others_and_of_other_times() {
    let (pki, other) = (Pki::new("prod"), Pki::new("prod"));
    let now = SystemTime::now();
    let cases = [
        (other.files("admin/eve"), Reason::UnknownAuthority),
        (pki.files_at("agent/h", now - 91 * DAY), Reason::Expired),
        (pki.files_at("agent/h", now + 2 * HOUR), Reason::NotYetValid),
        (
            pki.forged(
                vec![uri("paasta://prod/admin/eve")],
                vec![Purpose::ServerAuth],
            ),
            Reason::Purpose,
        ),
        (
            pki.forged(vec![dns("prod")], vec![Purpose::ClientAuth]),
            Reason::Identity,
        ),
        (
            pki.forged(
                vec![
                    uri("paasta://prod/reader/r"),
                    uri("paasta://prod/admin/eve"),
                ],
                vec![Purpose::ClientAuth],
            ),
            Reason::Identity,
        ),
        (
            pki.forged(
                vec![uri("paasta://prod/root/eve")],
                vec![Purpose::ClientAuth],
            ),
            Reason::Identity,
        ),
        (
            pki.forged(
                vec![uri("paasta://stage/admin/eve")],
                vec![Purpose::ClientAuth],
            ),
            Reason::Cluster,
        ),
    ];
    for (files, reason) in cases {
        let mut server = Server::start(pki.tls("coordinator/1")).await;
        let refused = careless(&server, &pki, Some(&files)).await;
        assert!(refused.is_err(), "{reason:?}");
        server.failed(reason).await;
        assert!(server.peers.try_recv().is_err(), "{reason:?} got in");
    }
}

#[tokio::test]
async fn without_a_certificate_only_an_open_door_lets_in() {
    let pki = Pki::new("prod");
    let files = pki.files("coordinator/1");
    let server = Server::start(tls(&files)).await;
    assert!(careless(&server, &pki, None).await.is_err());
    server.failed(Reason::NoCertificate).await;
    let optional = Tls::read(&files, ClientCertificates::Optional).unwrap();
    let mut server = Server::start(optional).await;
    assert_eq!(careless(&server, &pki, None).await.unwrap(), b'x');
    assert_eq!(server.peer().await.identity(), None);
    // A wrong one is no better than none.
    let other = Pki::new("prod");
    let eve = other.files("admin/eve");
    assert!(careless(&server, &pki, Some(&eve)).await.is_err());
    server.failed(Reason::UnknownAuthority).await;
}

#[tokio::test]
async fn the_client_refuses_all_but_the_coordinator_it_dialled() {
    let (pki, other) = (Pki::new("prod"), Pki::new("prod"));
    let agent = pki.tls("agent/h");
    let now = SystemTime::now();
    let without_name = pki.forged(vec![uri("paasta://prod/coordinator/1")], BOTH_SIDES.into());
    let named = dns(&server_name(&pki.cluster));
    let elsewhere = vec![uri("paasta://stage/coordinator/1"), named.clone()];
    let host = vec![uri("paasta://prod/agent/h"), named];
    let cases = [
        (
            other.files("coordinator/1"),
            Reason::UnknownAuthority,
            "not signed by an authority in this side's bundle",
        ),
        (
            pki.files("agent/h2"),
            Reason::Role,
            "paasta://prod/agent/h2, which is no coordinator",
        ),
        (
            pki.forged(host, BOTH_SIDES.into()),
            Reason::Role,
            "which is no coordinator",
        ),
        (
            pki.files("coordinator/2"),
            Reason::Member,
            "coordinator/2, not of coordinator 1: the address belongs to another",
        ),
        (
            pki.files_at("coordinator/1", now - 91 * DAY),
            Reason::Expired,
            "expired, by this machine's clock",
        ),
        (
            pki.files_at("coordinator/1", now + 2 * HOUR),
            Reason::NotYetValid,
            "one of the two clocks may be wrong",
        ),
        (without_name, Reason::ServerName, "without the DNS name"),
        (
            pki.forged(elsewhere, BOTH_SIDES.into()),
            Reason::Cluster,
            "of another cluster than prod",
        ),
    ];
    for (files, reason, words) in cases {
        let server = Server::start(tls(&files)).await;
        let (found, said) = refusal(&agent, &server, Expected::Member(1)).await;
        assert_eq!(found, reason, "{said}");
        assert!(said.contains(words), "{said}");
    }
    // An agent does not know which coordinator it dials: any of the cluster will do.
    let server = Server::start(pki.tls("coordinator/2")).await;
    assert!(dial(&agent, &server, Expected::Any).await.is_ok());
}

#[tokio::test]
async fn its_own_certificate_is_checked_before_dialling() {
    let (pki, other) = (Pki::new("prod"), Pki::new("prod"));
    let now = SystemTime::now();
    let own = |files: &Files| match tls(files).credentials().check(SystemTime::now()) {
        Err(error) => error,
        Ok(()) => panic!("{files:?} is fine"),
    };
    let server = Server::start(pki.tls("coordinator/1")).await;
    let expired = pki.files_at("admin/alice", now - DAY);
    let error = own(&expired);
    assert!(
        matches!(*error, OwnCertificateError::Expired { .. }),
        "{error}"
    );
    let said = error.to_string();
    for words in [
        "admin/alice",
        "expired at 20",
        "12 h ago by this machine's clock",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let refused = dial(&tls(&expired), &server, Expected::Any).await;
    assert!(matches!(refused, Err(ConnectError::Own(_))), "{refused:?}");

    let early = own(&pki.files_at("agent/h", now + 3 * HOUR));
    assert!(
        matches!(*early, OwnCertificateError::NotYetValid { .. }),
        "{early}"
    );
    assert!(
        early.to_string().contains("this clock is behind"),
        "{early}"
    );

    let mixed = Files {
        ca: other.ca(),
        ..pki.files("agent/h")
    };
    let error = own(&mixed);
    assert!(
        matches!(*error, OwnCertificateError::OtherAuthority { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("two authorities"), "{error}");

    let server_only = pki.forged(
        vec![uri("paasta://prod/agent/h")],
        vec![Purpose::ServerAuth],
    );
    let error = own(&server_only);
    assert!(
        matches!(*error, OwnCertificateError::Unusable { .. }),
        "{error}"
    );

    for reason in Reason::ALL {
        assert_eq!(
            server.counts.failed(reason),
            0,
            "nothing was dialled: {reason:?}"
        );
    }
    let near = pki.files_at("agent/h", now + HOUR - Duration::from_secs(60));
    assert!(tls(&near).credentials().check(now).is_ok(), "backdated");
}

#[tokio::test]
async fn authorities_are_rotated_while_the_server_runs() {
    let (old, new) = (Pki::new("prod"), Pki::new("prod"));
    let bundle = both(&old, &new);
    let with = |files: Files| Files {
        ca: bundle.clone(),
        ..files
    };
    let serving = tls(&with(old.files("coordinator/1")));
    let server = Server::start(serving.clone()).await;
    let (first, second) = (
        tls(&with(old.files("agent/h"))),
        tls(&with(new.files("agent/h"))),
    );
    let behind = old.tls("agent/h");
    for client in [&first, &second, &behind] {
        dial(client, &server, Expected::Member(1)).await.unwrap();
    }
    let next = with(new.files("coordinator/1"));
    serving.replace(crate::pki::credentials(&next)).unwrap();
    for client in [&first, &second] {
        dial(client, &server, Expected::Member(1)).await.unwrap();
    }
    let (reason, _) = refusal(&behind, &server, Expected::Member(1)).await;
    assert_eq!(reason, Reason::UnknownAuthority);
    let another = crate::pki::credentials(&new.files("coordinator/2"));
    let error = serving.replace(another).unwrap_err().to_string();
    assert!(
        error.contains("coordinator/2, and this program is"),
        "{error}"
    );
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_does_not_replace_one_that_is() {
    let pki = Pki::new("prod");
    let mut server = Server::start(pki.tls("coordinator/1")).await;
    let client = pki.tls("agent/h");
    let begins = client.credentials().validity().not_before;
    let early = pki.files_at("agent/h", SystemTime::now() + 3 * HOUR);
    let error = client.renew(crate::pki::credentials(&early)).unwrap_err();
    assert!(error.to_string().contains("not valid"), "{error}");
    assert_eq!(client.credentials().validity().not_before, begins);
    dial(&client, &server, Expected::Member(1)).await.unwrap();
    assert_eq!(server.peer().await.identity(), Some(&client.identity()));

    let later = pki.files_at("agent/h", SystemTime::now() + HOUR / 2);
    client.renew(crate::pki::credentials(&later)).unwrap();
    assert!(client.credentials().validity().not_before > begins);
}
