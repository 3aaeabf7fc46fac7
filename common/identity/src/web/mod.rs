//! The callers of an HTTP endpoint: the identity that one proves, by a client certificate or by a
//! bearer token, and whether a path may be answered to it. Which paths there are is the daemon's
//! own affair: it brings the table.

mod access;
mod bearer;
mod endpoint;

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, Method, header::AUTHORIZATION},
};
use paasta_common::id::ClusterName;

pub use access::{Access, Refusal, Row};
use access::{Caller, judge, row};
use bearer::Tokens;
pub use endpoint::Endpoint;

use crate::{name::Identity, peer::Peer, tls::Tls};

/// Where an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surrounding {
    /// The daemon has no TLS: nothing of it is judged, and it is on loopback.
    Trusting,
    /// Plain text on loopback, of a daemon that has TLS.
    Loopback,
    /// TLS.
    Secure,
}

/// Judges the requests of one endpoint. Clones are the same.
#[derive(Clone, Debug)]
pub struct Door {
    surrounding: Surrounding,
    rows: &'static [Row],
    cluster: Option<ClusterName>,
    tokens: Option<Arc<Tokens>>,
}

impl Door {
    /// The door of an endpoint of a daemon without TLS, which is open.
    #[must_use]
    pub fn trusting() -> Self {
        Self {
            surrounding: Surrounding::Trusting,
            rows: &[],
            cluster: None,
            tokens: None,
        }
    }

    /// The door of an endpoint of a daemon with TLS. `rows` has each path that may be answered;
    /// `tokens` is the file of bearer tokens.
    #[must_use]
    pub fn new(secure: bool, rows: &'static [Row], tls: &Tls, tokens: Option<PathBuf>) -> Self {
        Self {
            surrounding: match secure {
                true => Surrounding::Secure,
                false => Surrounding::Loopback,
            },
            rows,
            cluster: Some(tls.identity().cluster().clone()),
            tokens: tokens.map(|path| Arc::new(Tokens::new(path))),
        }
    }

    /// Logs what is wrong with the file of bearer tokens: once, when the daemon starts.
    pub async fn check(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.check().await;
        }
    }

    /// The identity for which the request is answered; `None` for one that needs none.
    ///
    /// # Errors
    /// [`Refusal`] has the answer.
    pub fn admit(
        &self,
        request: &Request,
    ) -> impl Future<Output = Result<Option<Identity>, Refusal>> + Send + use<> {
        let extensions = request.extensions();
        let path = extensions.get::<MatchedPath>().map(MatchedPath::as_str);
        let asked = Asked {
            access: path.map(|path| row(self.rows, request.method(), path)),
            words: describe(request.method(), path),
            token: bearer(request.headers()).map(<[u8]>::to_vec),
            peer: extensions.get::<Arc<Peer>>().cloned(),
        };
        let door = self.clone();
        async move { door.judge(asked).await }
    }

    async fn judge(&self, asked: Asked) -> Result<Option<Identity>, Refusal> {
        if self.surrounding == Surrounding::Trusting || asked.access == Some(Some(Access::Open)) {
            return Ok(None);
        }
        let caller = self.caller(asked.token.as_deref(), asked.peer).await?;
        judge(asked.access, caller, &asked.words)
    }

    async fn caller(
        &self,
        token: Option<&[u8]>,
        peer: Option<Arc<Peer>>,
    ) -> Result<Caller, Refusal> {
        if let Some(token) = token {
            let (Some(tokens), Some(cluster)) = (&self.tokens, &self.cluster) else {
                return Err(Refusal::NoTokens);
            };
            let found = tokens.find(cluster, token, SystemTime::now()).await?;
            return Ok(Caller::Proven(found));
        }
        let identity = peer.and_then(|peer| peer.identity().cloned());
        Ok(match (identity, self.surrounding) {
            (Some(identity), _) => Caller::Proven(identity),
            (None, Surrounding::Secure) => Caller::Stranger,
            (None, Surrounding::Loopback | Surrounding::Trusting) => Caller::Local,
        })
    }
}

/// What is judged of a request.
struct Asked {
    /// As the table has it; `None` where the router has no such path.
    access: Option<Option<Access>>,
    words: String,
    token: Option<Vec<u8>>,
    peer: Option<Arc<Peer>>,
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// The request in words: the path as the table has it, which is bounded.
fn describe(method: &Method, path: Option<&str>) -> String {
    match path {
        Some(path) => format!("{method} {path}"),
        None => "this path".to_owned(),
    }
}
