//! A program that joins with a wrong clock: the difference is named in minutes, and the coordinator
//! does not get the token's secret.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use paasta_identity::{
    ClientCertificates, IdentityDir, Tls,
    joining::{JoinError, Wanted, join},
    token::{Joiner, Token},
};
use paasta_proto::v1::{
    JoinRequest, JoinResponse, JoiningHelloRequest, JoiningHelloResponse, RenewRequest,
    RenewResponse,
    joining_server::{Joining, JoiningServer},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status, transport::Server};

use crate::pki::Pki;

/// A coordinator with another clock; it counts the secrets that it gets.
#[derive(Clone)]
struct Coordinator {
    ahead: Duration,
    secrets: Arc<AtomicU32>,
}

#[tonic::async_trait]
impl Joining for Coordinator {
    async fn hello(
        &self,
        _: Request<JoiningHelloRequest>,
    ) -> Result<Response<JoiningHelloResponse>, Status> {
        let now = SystemTime::now() + self.ahead;
        let since = now.duration_since(UNIX_EPOCH).unwrap();
        Ok(Response::new(JoiningHelloResponse {
            now_ms: u64::try_from(since.as_millis()).unwrap(),
            ..JoiningHelloResponse::default()
        }))
    }

    async fn join(&self, _: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        self.secrets.fetch_add(1, Ordering::SeqCst);
        Err(Status::permission_denied("the join token is not known"))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }
}

/// Joins by a coordinator whose clock is this far ahead, with a certificate that it signed now.
async fn joining(ahead: Duration) -> (JoinError, u32) {
    let pki = Pki::new("prod");
    let files = pki.files_at("coordinator/1", SystemTime::now() + ahead);
    let tls = Tls::read(&files, ClientCertificates::Optional).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let coordinator = Coordinator {
        ahead,
        secrets: Arc::default(),
    };
    let secrets = Arc::clone(&coordinator.secrets);
    let incoming = futures_util::stream::unfold(listener, move |listener| {
        let acceptor = TlsAcceptor::from(tls.server());
        async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(tcp).await {
                    return Some((Ok::<_, std::io::Error>(stream), listener));
                }
            }
        }
    });
    let server = Server::builder().add_service(JoiningServer::new(coordinator));
    let serving = tokio::spawn(server.serve_with_incoming(Box::pin(incoming)));
    let dir = IdentityDir::new(&pki.dir.path().join("joined"));
    let token = Token::random(Joiner::Agent, pki.authority.pin().unwrap());
    let wanted = Wanted {
        joiner: Joiner::Agent,
        name: "h1".to_owned(),
    };
    let error = join(&dir, &token, &wanted, &[address]).await.unwrap_err();
    serving.abort();
    (error, secrets.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_clock_that_is_behind_is_named_in_minutes() {
    // The coordinator's certificate is valid here, or not valid yet.
    for minutes in [59, 92] {
        let ahead = Duration::from_secs(minutes * 60 + 30);
        let (error, secrets) = joining(ahead).await;
        let words = error.to_string();
        let expected =
            format!("this machine's clock is {minutes} min behind that of the coordinator");
        assert!(words.contains(&expected), "{words}");
        assert_eq!(secrets, 0, "the secret was sent");
    }
    let (error, secrets) = joining(Duration::from_secs(600)).await;
    assert!(matches!(error, JoinError::Refused { .. }), "{error}");
    assert_eq!(secrets, 1);
}
