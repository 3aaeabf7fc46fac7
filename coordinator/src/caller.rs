//! The caller of a gRPC call: the connection that it came by, and the identity for which it is
//! made.

use std::sync::Arc;

use http::Extensions;
use paasta_coordinator_core::{access::Sight, state::principal::LOCAL};
use paasta_identity::{Identity, Peer};
use paasta_process::accept::Activity;

tokio::task_local! {
    /// For what caller the present task works.
    static CALL: OnBehalf;
}

/// The address of callers on the local socket, and the name of its file.
pub const LOCAL_SOCKET: &str = "admin.sock";

/// A call as it was judged: for what identity it is made, and what that may see and change.
#[derive(Clone, Debug)]
pub struct OnBehalf {
    /// The identity; none without TLS, and for what a coordinator does by itself.
    pub principal: Option<Identity>,
    /// What it may see and change.
    pub sight: Sight,
}

/// The connection of a call. tonic puts it among the extensions of every request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `None` on the local socket, which has limits of its own.
    activity: Option<Arc<Activity>>,
    /// `None` on a connection without TLS.
    peer: Option<Arc<Peer>>,
    /// The user of this host; `None` but on the local socket.
    user: Option<Arc<LocalUser>>,
}

/// A user of this host, as the kernel proves it on the local socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalUser(String);

/// A message of consensus that its sender's certificate does not fit.
#[derive(Debug, thiserror::Error)]
#[error(
    "the message says that it comes from coordinator {claimed}, and the certificate is that of {proven}: it is refused"
)]
pub struct ForgedSender {
    claimed: u64,
    proven: String,
}

impl LocalUser {
    /// The user of this name.
    pub fn new(name: String) -> Self {
        Self(name)
    }

    /// The name that its identity has, `local.USER`.
    pub fn identity_name(&self) -> String {
        format!("{LOCAL}{}", self.0)
    }
}

impl Caller {
    /// By a connection; `peer` where it speaks TLS.
    pub fn new(activity: Arc<Activity>, peer: Option<Arc<Peer>>) -> Self {
        Self {
            activity: Some(activity),
            peer,
            user: None,
        }
    }

    /// By the local socket.
    pub fn local(user: Arc<LocalUser>) -> Self {
        Self {
            activity: None,
            peer: None,
            user: Some(user),
        }
    }

    /// The user of this host that the kernel proves; `None` but on the local socket.
    pub fn user(&self) -> Option<&LocalUser> {
        self.user.as_deref()
    }

    /// The caller of a request; `None` where the connection is a simulation's.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// What goes on on its connection.
    pub fn activity(&self) -> Option<&Arc<Activity>> {
        self.activity.as_ref()
    }

    /// The address of its other end.
    pub fn address(&self) -> String {
        match &self.activity {
            Some(activity) => activity.address().to_string(),
            None => LOCAL_SOCKET.to_owned(),
        }
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

/// Works for this caller.
pub async fn on_behalf_of<F: Future>(call: OnBehalf, work: F) -> F::Output {
    CALL.scope(call, work).await
}

/// The call for which the present task works; one of everything and of no identity where there is
/// none: without a caller, a coordinator works for itself.
pub fn current() -> OnBehalf {
    CALL.try_with(Clone::clone).unwrap_or(OnBehalf {
        principal: None,
        sight: Sight::Everything,
    })
}

/// Works for this caller on a thread of its own.
pub fn within<T>(call: OnBehalf, work: impl FnOnce() -> T) -> T {
    CALL.sync_scope(call, work)
}

/// The identity for which the present task works; `None` without TLS, and for what a coordinator
/// does by itself.
pub fn principal() -> Option<Identity> {
    current().principal
}

/// What the caller may see and change for which the present task works.
pub fn sight() -> Sight {
    current().sight
}
