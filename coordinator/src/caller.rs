//! The caller of a gRPC call: the connection that it came by, and the identity for which it is
//! made.

use std::sync::Arc;

use http::Extensions;
use paasta_identity::{Identity, Peer};
use paasta_process::accept::Activity;

tokio::task_local! {
    /// The identity for which the present task works.
    static PRINCIPAL: Identity;
}

/// The connection of a call. tonic puts it among the extensions of every request.
#[derive(Clone, Debug)]
pub struct Caller {
    activity: Arc<Activity>,
    /// `None` on a connection without TLS.
    peer: Option<Arc<Peer>>,
}

/// A message of consensus that its sender's certificate does not fit.
#[derive(Debug, thiserror::Error)]
#[error(
    "the message says that it comes from coordinator {claimed}, and the certificate is that of {proven}: it is refused"
)]
pub struct ForgedSender {
    claimed: u64,
    proven: String,
}

impl Caller {
    /// By a connection; `peer` where it speaks TLS.
    pub fn new(activity: Arc<Activity>, peer: Option<Arc<Peer>>) -> Self {
        Self { activity, peer }
    }

    /// The caller of a request; `None` where the connection is a simulation's.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// What goes on on its connection.
    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// The proven other end; `None` on a connection without TLS.
    pub fn peer(&self) -> Option<&Arc<Peer>> {
        self.peer.as_ref()
    }
}

/// Checks that a message of consensus comes from the coordinator that it names: with TLS the
/// certificate must be that coordinator's own. A message of a trusted network proves nothing.
///
/// # Errors
/// [`ForgedSender`].
pub fn check_sender(caller: Option<&Caller>, claimed: u64) -> Result<(), ForgedSender> {
    let Some(peer) = caller.and_then(Caller::peer) else {
        return Ok(());
    };
    match peer.identity() {
        Some(identity) if identity.member() == Some(claimed) => Ok(()),
        identity => Err(ForgedSender {
            claimed,
            proven: identity.map_or_else(|| "no identity".to_owned(), Identity::short),
        }),
    }
}

/// Works for this identity.
pub async fn on_behalf_of<F: Future>(principal: Identity, work: F) -> F::Output {
    PRINCIPAL.scope(principal, work).await
}

/// The identity for which the present task works; `None` without TLS, and for what a coordinator
/// does by itself.
pub fn principal() -> Option<Identity> {
    PRINCIPAL.try_with(Clone::clone).ok()
}
