//! Decides, before any service gets a call, for which identity it is made, whether that has rights
//! at this moment, and whether its role may make it. A coordinator that passes a call on names the
//! identity that it found; from every other caller such a name is removed. Where the endpoint has
//! TLS, a call without a proven caller is refused; without TLS it is on loopback, and nothing is
//! judged. What the principal and its scopes let it do is in [`super::guard`].

use std::{
    str::FromStr as _,
    task::{Context, Poll},
    time::SystemTime,
};

use futures_util::{FutureExt, future::BoxFuture};
use http::HeaderMap;
use paasta_common::id::cut;
use paasta_identity::{Identity, Role};
use tonic::body::Body;
use tower::Service;

use super::{
    guard::{Guard, Origin, method, shown},
    peers::{CLIENT, FORWARDED, PRINCIPAL},
    rights::{self, Rights},
    roles,
    status::RpcError,
};
use crate::caller::{Caller, LocalUser};

/// Lets the calls through that the caller's standing, the table of roles, and the guard allow.
#[derive(Clone)]
pub struct Access<S> {
    inner: S,
    guard: Guard,
    rights: Rights,
}

impl<S> Access<S> {
    /// Before a service.
    pub fn new(inner: S, guard: Guard, rights: Rights) -> Self {
        Self {
            inner,
            guard,
            rights,
        }
    }
}

impl<S> Service<http::Request<Body>> for Access<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let mut origin = Origin::default();
        let caller = Caller::of(request.extensions()).cloned();
        if let Some(caller) = &caller {
            origin.peer = caller.address();
        }
        let judged = match caller.as_ref().and_then(Caller::user) {
            Some(user) => admit_local(&self.guard, user, &mut request, &mut origin),
            None => permit(&self.rights, caller.as_ref(), &mut request, &mut origin),
        };
        if caller.is_none() && judged.is_ok() {
            // A simulation's.
            return self.inner.call(request).boxed();
        }
        // The service that is ready is used; its clone waits for the next call.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        let guard = self.guard.clone();
        async move {
            match judged {
                Ok(()) => guard.pass(inner, request, origin).await,
                Err(error) => Ok(guard.refuse_unread(request, &origin, error).await),
            }
        }
        .boxed()
    }
}

/// The coordinator that passes a call on, as far as it is known without TLS.
const UNPROVEN: &str = "a coordinator (claimed)";

/// Whether a user of this host may make the call: the kernel proves who it is.
fn admit_local(
    guard: &Guard,
    user: &LocalUser,
    request: &mut http::Request<Body>,
    origin: &mut Origin,
) -> Result<(), RpcError> {
    let path = request.uri().path().to_owned();
    let headers = request.headers_mut();
    for name in [PRINCIPAL, FORWARDED, CLIENT] {
        headers.remove(name);
    }
    let principal = guard.local(user, origin)?;
    may_call(Some(&principal), &path)
}

/// Whether the other end of a connection may make the call now, by its certificate and its role. All
/// may where nothing is proven, as this coordinator has no TLS.
fn permit(
    rights: &Rights,
    caller: Option<&Caller>,
    request: &mut http::Request<Body>,
    origin: &mut Origin,
) -> Result<(), RpcError> {
    let Some(peer) = rights.peer(caller)? else {
        // On loopback, or inside a network of tests.
        if request.headers().contains_key(FORWARDED) {
            origin.via = UNPROVEN.to_owned();
        }
        return Ok(());
    };
    let path = request.uri().path().to_owned();
    origin.principal = peer.identity().cloned();
    let standing = rights.standing(&peer, SystemTime::now())?;
    rights.check_method(standing, peer.identity(), &path)?;
    let principal = identify(peer.identity(), request.headers_mut(), origin)?;
    match &principal {
        // Its certificate was looked at where it is connected.
        Some(named) if peer.identity() != Some(named) => rights.check_named(named)?,
        _ => origin.issued = rights::issued(&peer),
    }
    may_call(principal.as_ref(), &path)
}

/// Finds the identity for which the call is made; `None` for a stranger. The headers that only a
/// coordinator may send are removed from the calls of all others.
fn identify(
    proven: Option<&Identity>,
    headers: &mut HeaderMap,
    origin: &mut Origin,
) -> Result<Option<Identity>, RpcError> {
    let said = headers.remove(PRINCIPAL);
    let Some(proven) = proven else {
        headers.remove(FORWARDED);
        headers.remove(CLIENT);
        origin.stranger = true;
        return Ok(None);
    };
    origin.principal = Some(proven.clone());
    let passed_on = headers.contains_key(FORWARDED);
    match proven.role() {
        Role::Coordinator => {
            if passed_on {
                origin.via = proven.short();
                if let Some(client) = headers.get(CLIENT).and_then(|client| client.to_str().ok()) {
                    origin.peer = cut(client).to_owned();
                }
            }
            if let Some(said) = said.filter(|_| passed_on) {
                origin.principal = Some(named(&said, proven)?);
            }
        }
        Role::Agent | Role::Admin | Role::Deployer | Role::Reader | Role::Metrics => {
            headers.remove(FORWARDED);
            headers.remove(CLIENT);
        }
    }
    Ok(origin.principal.clone())
}

/// Whether the role may call the method of this path; a stranger may call those by which a program
/// or a person joins.
fn may_call(principal: Option<&Identity>, path: &str) -> Result<(), RpcError> {
    let Some(principal) = principal else {
        return match roles::OPEN.contains(&path) {
            true => Ok(()),
            false => Err(RpcError::NoCertificate),
        };
    };
    let allowed = roles::allowed(path);
    if allowed.contains(&principal.role()) {
        return Ok(());
    }
    let method = method(path);
    if allowed.is_empty() {
        return Err(RpcError::NoMethod { method });
    }
    let roles: Vec<&str> = allowed.iter().map(|role| role.as_str()).collect();
    Err(RpcError::Denied {
        principal: shown(principal),
        method,
        takes: format!("that takes the role {}", roles.join(" or ")),
    })
}

/// The identity that a coordinator names.
fn named(said: &http::HeaderValue, coordinator: &Identity) -> Result<Identity, RpcError> {
    let bad = |message: String| RpcError::BadRequest {
        field: PRINCIPAL,
        message,
    };
    let said = said.to_str().map_err(|error| bad(error.to_string()))?;
    let named = Identity::from_str(said).map_err(|error| bad(error.to_string()))?;
    match named.cluster() == coordinator.cluster() {
        true => Ok(named),
        false => Err(bad(format!("{named} is of another cluster"))),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    const STATUS: &str = "/paasta.v1.Admin/Status";
    const DRAIN: &str = "/paasta.v1.Operate/DrainHost";
    const VOTE: &str = "/paasta.v1.RaftService/Vote";

    fn identity(text: &str) -> Identity {
        format!("paasta://prod/{text}").parse().unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn judge(
        proven: Option<&Identity>,
        headers: &mut HeaderMap,
        path: &str,
    ) -> Result<Option<Identity>, RpcError> {
        let principal = identify(proven, headers, &mut Origin::default())?;
        may_call(principal.as_ref(), path).map(|()| principal)
    }

    fn judged(proven: &str, pairs: &[(&'static str, &str)], path: &str) -> Result<String, String> {
        let mut headers = headers(pairs);
        judge(Some(&identity(proven)), &mut headers, path)
            .map(|principal| principal.unwrap().short())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_in_the_headers_is_believed_of_a_coordinator_only() {
        let admin = [
            (FORWARDED, "1"),
            (PRINCIPAL, "paasta://prod/admin/alice"),
            (CLIENT, "10.9.9.9"),
        ];
        assert_eq!(
            judged("coordinator/2", &admin, DRAIN).unwrap(),
            "admin/alice"
        );
        for liar in ["agent/h", "reader/bob", "deployer/ci", "metrics/m"] {
            let refused = judged(liar, &admin, DRAIN).unwrap_err();
            assert!(refused.contains(liar), "{refused}");
        }
        let mut forged = headers(&admin);
        let found = judge(Some(&identity("reader/bob")), &mut forged, STATUS).unwrap();
        assert_eq!(found, Some(identity("reader/bob")));
        assert!(forged.is_empty(), "{forged:?}");
        // Not passed on, and not of this cluster, and nonsense.
        let alone = [(PRINCIPAL, "paasta://prod/admin/alice")];
        let refused = judged("coordinator/2", &alone, DRAIN).unwrap_err();
        assert!(refused.contains("coordinator/2 may not call"), "{refused}");
        for wrong in ["paasta://stage/admin/alice", "alice", ""] {
            let pairs = [(FORWARDED, "1"), (PRINCIPAL, wrong)];
            assert!(judged("coordinator/2", &pairs, DRAIN).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_coordinator_that_names_nobody_is_itself() {
        let passed_on = [(FORWARDED, "1")];
        assert_eq!(
            judged("coordinator/2", &passed_on, STATUS).unwrap(),
            "coordinator/2"
        );
        assert_eq!(judged("coordinator/2", &[], VOTE).unwrap(), "coordinator/2");
        assert!(judged("coordinator/2", &passed_on, DRAIN).is_err());
        // What it passes on for others is judged as theirs.
        let reader = [(FORWARDED, "1"), (PRINCIPAL, "paasta://prod/reader/bob")];
        assert!(judged("coordinator/2", &reader, DRAIN).is_err());
        assert!(judged("coordinator/2", &reader, VOTE).is_err());
    }

    #[test]
    fn a_refusal_names_the_caller_the_method_and_who_may() {
        let refused = judged("agent/h", &[], DRAIN).unwrap_err();
        assert_eq!(
            refused,
            "agent/h may not call paasta.v1.Operate/DrainHost: that takes the role admin"
        );
        let unknown = judged("admin/alice", &[], "/paasta.v1.Operate/Explode").unwrap_err();
        assert_eq!(
            unknown,
            "this coordinator has no method paasta.v1.Operate/Explode; is it older than the caller?"
        );
        let mut forged = headers(&[(FORWARDED, "1"), (PRINCIPAL, "paasta://prod/admin/alice")]);
        for path in roles::OPEN {
            assert_eq!(judge(None, &mut forged, path).unwrap(), None);
            assert!(forged.is_empty(), "{forged:?}");
        }
        let renew = judge(None, &mut forged, "/paasta.v1.Joining/Renew");
        assert!(matches!(renew, Err(RpcError::NoCertificate)));
        let stranger = judge(None, &mut HeaderMap::new(), STATUS).unwrap_err();
        assert!(matches!(stranger, RpcError::NoCertificate));
        assert_eq!(Status::from(stranger).code(), tonic::Code::Unauthenticated);
    }
}
