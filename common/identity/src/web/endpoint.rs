//! The HTTP endpoint of a daemon that may have TLS: which connections it takes, and which of its
//! callers it answers.

use std::{path::PathBuf, sync::Arc};

use axum::Router;
use paasta_process::{
    accept::{Open, Refusals},
    http::{self, BindError, HttpAddress},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Door, Row};
use crate::{
    accept::{HandshakeLimits, Handshakes, SecureAcceptor},
    tls::Tls,
};

/// The endpoint: where it is, and with what it is served.
pub struct Endpoint {
    /// What is listened on.
    pub listener: TcpListener,
    /// As it was configured.
    pub at: HttpAddress,
    /// Connections for which there are file descriptors.
    pub room: usize,
    /// TLS of the daemon, where it has some.
    pub tls: Option<Tls>,
    /// The file of bearer tokens.
    pub tokens: Option<PathBuf>,
}

impl Endpoint {
    /// Takes the address.
    ///
    /// # Errors
    /// [`BindError`] when it is taken or not of this machine.
    pub async fn bind(
        at: HttpAddress,
        room: usize,
        tls: Option<Tls>,
        tokens: Option<PathBuf>,
    ) -> Result<Self, BindError> {
        Ok(Self {
            listener: http::bind(at.address).await?,
            at,
            room,
            tls,
            tokens,
        })
    }

    /// Serves until `shutdown`. `rows` has each path that may be answered; `router` is made with what
    /// is open here and the door that judges requests.
    pub async fn serve(
        self,
        rows: &'static [Row],
        counts: (&Refusals, Handshakes),
        router: impl FnOnce(Arc<Open>, Door) -> Router,
        shutdown: CancellationToken,
    ) {
        let (refusals, handshakes) = counts;
        let acceptor = http::acceptor(self.listener, self.room, refusals);
        let open = acceptor.open();
        let Some(tls) = self.tls else {
            let router = router(open, Door::trusting());
            return http::serve(acceptor, router, shutdown).await;
        };
        let door = Door::new(self.at.secure, rows, &tls, self.tokens);
        door.check().await;
        let router = router(open, door);
        match self.at.secure {
            true => {
                let limits = HandshakeLimits::default();
                let secure = SecureAcceptor::new(acceptor, tls, limits, handshakes).http();
                http::serve(secure, router, shutdown).await;
            }
            false => http::serve(acceptor, router, shutdown).await,
        }
    }
}
