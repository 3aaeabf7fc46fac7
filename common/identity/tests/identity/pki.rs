//! An authority in a directory, certificates of it, and a server that answers with one byte.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use paasta_common::id::ClusterName;
use paasta_identity::{
    ClientCertificates, Credentials, Files, Identity, Peer, Tls,
    accept::{HandshakeLimits, Handshakes, SecureAcceptor},
    authority::{Authority, Request},
    reason::Reason,
};
use paasta_process::{
    accept::{Acceptor, Greeting, Limits, Open, Refusals},
    metrics::Meters,
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
    time::{interval, timeout},
};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
/// Clients of one server, at most.
const PEERS_MAX: usize = 64;
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An authority and the files of those that it signed.
pub(crate) struct Pki {
    pub(crate) dir: TempDir,
    pub(crate) authority: Authority,
    pub(crate) cluster: ClusterName,
}

impl Pki {
    pub(crate) fn new(cluster: &str) -> Self {
        let cluster = ClusterName::new(cluster).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(&cluster, SystemTime::now()).unwrap();
        authority
            .write(&dir.path().join("ca.pem"), &dir.path().join("ca.key"))
            .unwrap();
        Self {
            dir,
            authority,
            cluster,
        }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Files of `ROLE/NAME`, signed now.
    pub(crate) fn files(&self, identity: &str) -> Files {
        self.files_at(identity, SystemTime::now())
    }

    /// Files of `ROLE/NAME`, signed at another time.
    pub(crate) fn files_at(&self, identity: &str, now: SystemTime) -> Files {
        let identity = format!("paasta://{}/{identity}", self.cluster);
        let identity: Identity = identity.parse().unwrap();
        let request = Request::create().unwrap();
        let pem = self.authority.issue(request.pem(), &identity, now).unwrap();
        self.lay(&pem, &request.key_pem())
    }

    /// Files of a certificate that this crate would not sign.
    pub(crate) fn forged(
        &self,
        names: Vec<SanType>,
        purposes: Vec<ExtendedKeyUsagePurpose>,
    ) -> Files {
        let read = |name| fs::read_to_string(self.dir.path().join(name)).unwrap();
        let key = KeyPair::from_pem(&read("ca.key")).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), key).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.not_before = (SystemTime::now() - HOUR).into();
        params.not_after = (SystemTime::now() + DAY).into();
        params.extended_key_usages = purposes;
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &issuer).unwrap();
        self.lay(&signed.pem(), &key.serialize_pem())
    }

    fn lay(&self, certificate: &str, key: &str) -> Files {
        let at = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        let files = Files {
            ca: self.ca(),
            certificate: at.join("certificate.pem"),
            key: at.join("key.pem"),
        };
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        chmod(&files.key, 0o600);
        files
    }

    /// TLS of `ROLE/NAME`.
    pub(crate) fn tls(&self, identity: &str) -> Tls {
        tls(&self.files(identity))
    }
}

pub(crate) fn tls(files: &Files) -> Tls {
    Tls::read(files, ClientCertificates::Required).unwrap()
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// One bundle of two authorities.
pub(crate) fn both(one: &Pki, two: &Pki) -> PathBuf {
    let path = one.dir.path().join("both.pem");
    let bundle = [&one.ca(), &two.ca()].map(|path| fs::read_to_string(path).unwrap());
    fs::write(&path, bundle.concat()).unwrap();
    path
}

/// A server; it sends each client whose handshake is done one byte.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) counts: Handshakes,
    pub(crate) peers: mpsc::Receiver<Arc<Peer>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    pub(crate) async fn start(tls: Tls) -> Self {
        Self::limited(tls, HandshakeLimits::default()).await
    }

    pub(crate) async fn limited(tls: Tls, limits: HandshakeLimits) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let meters = Meters::default();
        let counts = Handshakes::new(&meters);
        let open = Open::new("test", &Refusals::new(&meters));
        let many = Limits {
            total: 4_000,
            per_address: 4_000,
            handshake: PATIENCE,
            idle: PATIENCE,
        };
        let acceptor = Acceptor::new(listener, many, Greeting(1), open);
        let mut acceptor = SecureAcceptor::new(acceptor, tls, limits, counts.clone());
        let (sender, peers) = mpsc::channel(PEERS_MAX);
        let serving = tokio::spawn(async move {
            let mut kept = Vec::new();
            loop {
                let mut secured = acceptor.next().await;
                let _ = secured.write_all(b"x").await;
                let _ = secured.flush().await;
                sender.try_send(secured.peer()).unwrap();
                kept.push(secured);
            }
        });
        Self {
            address,
            counts,
            peers,
            serving,
        }
    }

    /// The next client whose handshake is done.
    pub(crate) async fn peer(&mut self) -> Arc<Peer> {
        timeout(PATIENCE, self.peers.recv()).await.unwrap().unwrap()
    }

    /// Waits until a handshake failed for this reason.
    pub(crate) async fn failed(&self, reason: Reason) {
        let wait = async {
            let mut looks = interval(Duration::from_millis(10));
            while self.counts.failed(reason) == 0 {
                looks.tick().await;
            }
        };
        if timeout(Duration::from_secs(10), wait).await.is_err() {
            let all = Reason::ALL.map(|reason| (reason.as_str(), self.counts.failed(reason)));
            panic!("{reason:?} was not counted, but {all:?}");
        }
    }
}

/// Reads the byte of a server that has accepted this client.
pub(crate) async fn read_byte(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
) -> std::io::Result<u8> {
    timeout(PATIENCE, stream.read_u8()).await.unwrap()
}

pub(crate) fn credentials(files: &Files) -> Credentials {
    Credentials::read(files).unwrap()
}
