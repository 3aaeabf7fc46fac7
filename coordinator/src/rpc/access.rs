//! Decides, before any service gets a call, for which identity it is made and whether that identity
//! may make it. A coordinator that passes a call on names the identity that it found; from every
//! other caller such a name is removed. Where the endpoint has TLS, a call without a proven caller is
//! refused; without TLS it is on loopback, and nothing is judged.

use std::{
    str::FromStr as _,
    task::{Context, Poll},
    time::SystemTime,
};

use futures_util::{FutureExt, future::BoxFuture};
use http::HeaderMap;
use paasta_identity::{Identity, Role};
use tonic::body::Body;
use tower::Service;

use super::{
    peers::{CLIENT, FORWARDED, PRINCIPAL},
    rights::{self, Rights},
    roles,
    status::RpcError,
};
use crate::caller::{Caller, on_behalf_of};

/// Characters of a refused method that are repeated, at most.
const METHOD_MAX: usize = 128;

/// Lets the calls through that the caller's standing and the table of roles allow.
#[derive(Clone)]
pub struct Access<S> {
    inner: S,
    rights: Rights,
}

impl<S> Access<S> {
    /// Before a service.
    pub fn new(inner: S, rights: Rights) -> Self {
        Self { inner, rights }
    }
}

impl<S> Service<http::Request<Body>> for Access<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
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
        match permit(&self.rights, &mut request) {
            Ok(None) => self.inner.call(request).boxed(),
            Ok(Some(principal)) => on_behalf_of(principal, self.inner.call(request)).boxed(),
            Err(error) => {
                if let Some(cause) = rights::cause(&error) {
                    self.rights.refusals().call(cause, &error.to_string());
                }
                std::future::ready(Ok(error.into_http())).boxed()
            }
        }
    }
}

/// The identity for which the call is made, if it may make it now; `None` without TLS, and for a
/// stranger that may make it.
fn permit(
    rights: &Rights,
    request: &mut http::Request<Body>,
) -> Result<Option<Identity>, RpcError> {
    let Some(peer) = rights.peer(Caller::of(request.extensions()))? else {
        return Ok(None);
    };
    let standing = rights.standing(&peer, SystemTime::now())?;
    let path = request.uri().path().to_owned();
    rights.check_method(standing, peer.identity(), &path)?;
    let principal = judge(peer.identity(), request.headers_mut(), &path)?;
    if let Some(named) = &principal
        && peer.identity() != Some(named)
    {
        rights.check_named(named)?;
    }
    Ok(principal)
}

/// The identity for which the call is made, if it may make it; `None` for a stranger at one of the
/// methods by which a program or a person joins. The headers that only a coordinator
/// may send are removed from the calls of all others.
fn judge(
    proven: Option<&Identity>,
    headers: &mut HeaderMap,
    path: &str,
) -> Result<Option<Identity>, RpcError> {
    let Some(proven) = proven else {
        for name in [PRINCIPAL, FORWARDED, CLIENT] {
            headers.remove(name);
        }
        return match roles::OPEN.contains(&path) {
            true => Ok(None),
            false => Err(RpcError::NoCertificate),
        };
    };
    let passed_on = headers.contains_key(FORWARDED);
    let said = headers.remove(PRINCIPAL);
    let principal = match proven.role() {
        Role::Coordinator => match said.filter(|_| passed_on) {
            Some(said) => named(&said, proven)?,
            None => proven.clone(),
        },
        Role::Agent | Role::Admin | Role::Deployer | Role::Reader | Role::Metrics => {
            headers.remove(FORWARDED);
            headers.remove(CLIENT);
            proven.clone()
        }
    };
    let allowed = roles::allowed(path);
    if allowed.contains(&principal.role()) {
        return Ok(Some(principal));
    }
    let method: String = path
        .trim_start_matches('/')
        .chars()
        .take(METHOD_MAX)
        .collect();
    if allowed.is_empty() {
        return Err(RpcError::NoMethod { method });
    }
    let roles: Vec<&str> = allowed.iter().map(|role| role.as_str()).collect();
    Err(RpcError::Denied {
        principal: principal.short(),
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
