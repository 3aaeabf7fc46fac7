//! What is checked and recorded of every call, where its caller connects and again on the leader:
//! the principal, the scope of what the request names, and the audit log.

use std::{sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use paasta_common::{
    id::{ClusterName, HostId, InstanceId, ServiceName},
    text::beginning,
    time::Timestamp,
};
use paasta_coordinator_core::{
    access::{Sight, scope::Scopes},
    state::principal::LOCAL,
};
use paasta_identity::{Identity, Role};
use paasta_process::{chain::chain, clock::Clock};
use tonic::body::Body;
use tower::Service;

use super::{
    effects::{Effect, effect},
    objects::{Asked, Object},
    passing::{Passing, Pending},
    rights,
    status::RpcError,
};
use crate::{
    audit::{Audit, AuditOutcome, OBJECTS_MAX, Record},
    caller::{LocalUser, OnBehalf, on_behalf_of},
    machine::ClusterMachine,
    refusals::Refusals,
};

/// Bytes of a request whose names are looked at: as many as a service reads.
const REQUEST_BYTES_MAX: usize = (4 << 20) + FRAME_BYTES;
/// What is before each message: whether it is compressed, and its length.
const FRAME_BYTES: usize = 5;
/// How long the bytes of a request may take to come.
const REQUEST_WAIT: Duration = Duration::from_secs(10);
/// Bytes of a refused request that are looked at, and how long they may take to come.
const REFUSED_BYTES_MAX: usize = 16 << 10;
const REFUSED_WAIT: Duration = Duration::from_secs(1);
/// The cluster of local users before one is made.
const NO_CLUSTER: &str = "none";
/// What PaaSTA's audit lines have where there is no name.
const NONE: &str = "N/A";

/// Where a call comes from.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin {
    /// The identity for which it is made; none without TLS.
    pub(super) principal: Option<Identity>,
    /// The caller's address, or `admin.sock`.
    pub(super) peer: String,
    /// The coordinator that passes it on; empty where the caller is connected here.
    pub(super) via: String,
    /// When the caller's certificate was issued, where that is known.
    pub(super) issued: Option<Timestamp>,
    /// Whether the kernel of this machine proves the caller.
    pub(super) local: bool,
    /// Whether the caller has no certificate where there should be one: it may join, and see nothing.
    pub(super) stranger: bool,
}

/// Checks and records calls. Clones are the same.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    machine: ClusterMachine,
    clock: Arc<dyn Clock>,
    audit: Audit,
    refusals: Refusals,
}

impl Guard {
    /// A guard by this state and clock, which records in `audit` and counts what it refuses.
    pub fn new(
        machine: ClusterMachine,
        clock: Arc<dyn Clock>,
        audit: Audit,
        refusals: Refusals,
    ) -> Self {
        Self(Arc::new(Inner {
            machine,
            clock,
            audit,
            refusals,
        }))
    }

    /// The audit log.
    pub fn audit(&self) -> &Audit {
        &self.0.audit
    }

    /// The identity of a user of this host, an admin.
    ///
    /// # Errors
    /// [`RpcError::BadRequest`], which the names of users do not cause.
    pub(super) fn local(
        &self,
        user: &LocalUser,
        origin: &mut Origin,
    ) -> Result<Identity, RpcError> {
        let cluster = {
            let state = self.0.machine.read();
            state.cluster().map(|cluster| cluster.name.clone())
        };
        let bad = |message: String| RpcError::BadRequest {
            field: "user",
            message,
        };
        let cluster = match cluster {
            Some(cluster) => cluster,
            None => ClusterName::new(NO_CLUSTER).map_err(|error| bad(error.to_string()))?,
        };
        let identity = Identity::new(cluster, Role::Admin, &user.identity_name())
            .map_err(|error| bad(error.to_string()))?;
        origin.local = true;
        origin.principal = Some(identity.clone());
        Ok(identity)
    }

    /// What the caller may see and change at this moment.
    ///
    /// # Errors
    /// [`RpcError::Denied`] when its certificate counts for nothing.
    pub(super) fn sight(&self, origin: &Origin, method: &str) -> Result<Sight, RpcError> {
        let Some(principal) = &origin.principal else {
            return Ok(match origin.stranger {
                true => Sight::Within(Scopes::default()),
                false => Sight::Everything,
            });
        };
        // A coordinator believes its own kernel, and the others believe that coordinator.
        let proven_locally = origin.local || !origin.via.is_empty();
        if proven_locally && principal.role() == Role::Admin && principal.name().starts_with(LOCAL)
        {
            return Ok(Sight::Everything);
        }
        if matches!(principal.role(), Role::Coordinator | Role::Agent) {
            return Ok(Sight::Everything);
        }
        let state = self.0.machine.read();
        let found = state.entitled(principal, origin.issued, self.0.clock.now());
        found.map_err(|why| RpcError::Denied {
            principal: shown(principal),
            method: method.to_owned(),
            takes: why.to_string(),
        })
    }

    /// Passes a call on to the services, if its caller may make it.
    pub(super) async fn pass<S>(
        self,
        mut inner: S,
        request: Request<Body>,
        origin: Origin,
    ) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let method = method(request.uri().path());
        let sight = match self.sight(&origin, &method) {
            Ok(sight) => sight,
            Err(error) => return Ok(self.refuse_unread(request, &origin, error).await),
        };
        let effect = effect(request.uri().path());
        let (request, asked) = match self.read(request, effect, &sight).await {
            Ok(read) => read,
            Err(error) => return Ok(self.refuse(&origin, &method, &Asked::default(), error)),
        };
        if let Err(error) = check(&origin, &method, effect, &asked, &sight) {
            return Ok(self.refuse(&origin, &method, &asked, error));
        }
        let changes = matches!(effect, Some(Effect::Changes(_)));
        let record = changes.then(|| self.record(&origin, &method, &asked));
        let pending = Pending::new(self.audit().clone(), record);
        let call = OnBehalf {
            principal: origin.principal.clone(),
            sight: sight.clone(),
        };
        match on_behalf_of(call, inner.call(request)).await {
            Ok(answer) => Ok(self.follow(answer, pending, origin, method, sight)),
            Err(error) => {
                pending.end(AuditOutcome::Failed, "the service failed");
                Err(error)
            }
        }
    }

    /// The answer, which is recorded when it is over, and ends when its caller may not see it any
    /// more.
    fn follow(
        &self,
        answer: Response<Body>,
        pending: Pending,
        origin: Origin,
        method: String,
        sight: Sight,
    ) -> Response<Body> {
        let person = origin
            .principal
            .as_ref()
            .is_some_and(|principal| !matches!(principal.role(), Role::Coordinator | Role::Agent));
        if !person && pending.is_nothing() {
            return answer;
        }
        let guard = self.clone();
        let check = move || match guard.sight(&origin, &method) {
            Ok(now) if now == sight => None,
            Ok(_) => Some(RpcError::ScopeChanged.into()),
            Err(error) => {
                let record = guard.record(&origin, &method, &Asked::default());
                guard.denied(&origin, record, &error);
                Some(error.into())
            }
        };
        let check: Option<Box<dyn Fn() -> Option<tonic::Status> + Send>> = match person {
            true => Some(Box::new(check)),
            false => None,
        };
        let (parts, body) = answer.into_parts();
        let body = Passing::new(body, &parts.headers, pending, check);
        Response::from_parts(parts, Body::new(body))
    }

    /// What the request is about, and the request as it was.
    async fn read(
        &self,
        request: Request<Body>,
        effect: Option<Effect>,
        sight: &Sight,
    ) -> Result<(Request<Body>, Asked), RpcError> {
        let limited = matches!(sight, Sight::Within(_));
        let read = match effect {
            Some(Effect::Changes(read)) => read,
            Some(Effect::Shows(read)) if limited => read,
            Some(Effect::Shows(_) | Effect::Apart) | None => {
                return Ok((request, Asked::default()));
            }
        };
        let bad = |message: String| RpcError::BadRequest {
            field: "request",
            message,
        };
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, REQUEST_BYTES_MAX).collect();
        let bytes = match tokio::time::timeout(REQUEST_WAIT, body).await {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(error)) => return Err(bad(chain(&*error))),
            Err(_) => return Err(bad("it did not come within 10 s".to_owned())),
        };
        let asked = match message(&bytes) {
            Some(message) => read(message),
            None => Err("it is not one message without compression".to_owned()),
        };
        let asked = match asked {
            Ok(asked) => asked,
            // A service says what is wrong with the request of a caller that may call it.
            Err(_) if !limited => Asked::default(),
            Err(why) => return Err(bad(why)),
        };
        let body = Body::new(Full::new(bytes));
        Ok((Request::from_parts(parts, body), asked))
    }

    /// The refusal of a request that nothing has looked at, as an answer; it is recorded with what
    /// the request names, unless that is much or comes slowly.
    pub(super) async fn refuse_unread(
        &self,
        request: Request<Body>,
        origin: &Origin,
        error: RpcError,
    ) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let read = match effect(&path) {
            Some(Effect::Changes(read) | Effect::Shows(read)) => Some(read),
            Some(Effect::Apart) | None => None,
        };
        let asked = async {
            let read = read?;
            let body = Limited::new(request.into_body(), REFUSED_BYTES_MAX).collect();
            let body = tokio::time::timeout(REFUSED_WAIT, body).await.ok()?.ok()?;
            read(message(&body.to_bytes())?).ok()
        };
        let asked = asked.await.unwrap_or_default();
        self.refuse(origin, &method(&path), &asked, error)
    }

    /// The refusal as an answer; it is recorded.
    fn refuse(
        &self,
        origin: &Origin,
        method: &str,
        asked: &Asked,
        error: RpcError,
    ) -> Response<Body> {
        let record = self.record(origin, method, asked);
        self.denied(origin, record, &error);
        error.into_http()
    }

    fn denied(&self, origin: &Origin, record: Record, error: &RpcError) {
        let caller = match &origin.principal {
            Some(principal) => shown(principal),
            None => origin.peer.clone(),
        };
        let record = Record {
            outcome: AuditOutcome::Denied,
            action_details: error.to_string(),
            ..record
        };
        let noted = self.audit().refuse(&caller, record);
        match rights::cause(error) {
            Some(cause) => self.0.refusals.call(cause, &error.to_string()),
            None if noted => tracing::warn!(%error, peer = origin.peer, "a call is refused"),
            None => {}
        }
    }

    /// A record of a call of which nothing has come yet.
    fn record(&self, origin: &Origin, method: &str, asked: &Asked) -> Record {
        let asker = asked.asker.clone().unwrap_or_default();
        let principal = origin.principal.as_ref();
        let author = match principal {
            Some(principal) => shown(principal),
            None if asker.by.is_empty() => NONE.to_owned(),
            None => format!("{:?} (claimed)", asker.by),
        };
        let (service, instance, host) = names(&asked.objects);
        let cluster = {
            let state = self.0.machine.read();
            state.cluster().map(|cluster| cluster.name.to_string())
        };
        Record {
            cluster: cluster.unwrap_or_default(),
            service: service.unwrap_or_else(|| NONE.to_owned()),
            instance: instance.unwrap_or_else(|| NONE.to_owned()),
            user: author,
            host: host.unwrap_or_else(|| origin.peer.clone()),
            action: method.trim_start_matches("paasta.v1.").replace('/', "."),
            principal: principal.map(shown).unwrap_or_default(),
            role: principal.map_or_else(String::new, |one| one.role().to_string()),
            claimed: asker.by,
            peer: origin.peer.clone(),
            via: origin.via.clone(),
            objects: asked
                .objects
                .iter()
                .take(OBJECTS_MAX)
                .map(|object| paasta_common::id::cut(object.name()).to_owned())
                .collect(),
            objects_total: asked.objects.len(),
            request_id: asker.request_id,
            ..self.audit().record()
        }
    }
}

/// Whether all that a request names is in the scope of its caller.
fn check(
    origin: &Origin,
    method: &str,
    effect: Option<Effect>,
    asked: &Asked,
    sight: &Sight,
) -> Result<(), RpcError> {
    let (Sight::Within(scopes), Some(principal)) = (sight, &origin.principal) else {
        return Ok(());
    };
    let denied = |takes: String| RpcError::Denied {
        principal: shown(principal),
        method: method.to_owned(),
        takes,
    };
    match effect {
        Some(Effect::Apart) => Ok(()),
        Some(Effect::Shows(_) | Effect::Changes(_)) => {
            let outside = asked.objects.iter().find(|object| !object.is_seen(sight));
            outside.map_or(Ok(()), |object| {
                let name = paasta_common::id::cut(object.name());
                let scopes = match scopes.is_empty() {
                    true => "it has none".to_owned(),
                    false => scopes.to_string(),
                };
                Err(denied(format!("{name:?} is not in its scope ({scopes})")))
            })
        }
        None => Err(denied("no scope covers this method".to_owned())),
    }
}

/// An identity as events name it: users of a coordinator's host are `local/USER`.
pub(crate) fn shown(identity: &Identity) -> String {
    match (identity.role(), identity.name().strip_prefix(LOCAL)) {
        (Role::Admin, Some(user)) => format!("local/{user}"),
        _ => identity.short(),
    }
}

/// `SERVICE/METHOD` of a path, cut.
pub(super) fn method(path: &str) -> String {
    let path = path.trim_start_matches('/');
    beginning(path, METHOD_CHARS_MAX).to_owned()
}

/// Characters of a method that are repeated, at most.
const METHOD_CHARS_MAX: usize = 128;

/// The service, the instance and the host that a request names first.
fn names(objects: &[Object]) -> (Option<String>, Option<String>, Option<String>) {
    let (mut service, mut instance, mut host) = (None, None, None);
    for object in objects {
        match object {
            Object::Service(name) | Object::Of(name) => {
                service = service.or(ServiceName::new(name).ok().map(|name| name.to_string()));
            }
            Object::Instance(name) => {
                if let (None, Ok(id)) = (&instance, name.parse::<InstanceId>()) {
                    service = Some(id.service.to_string());
                    instance = Some(id.instance.to_string());
                }
            }
            Object::Host(name) => {
                host = host.or(HostId::new(name).ok().map(|name| name.to_string()));
            }
            Object::Cluster(_) => {}
        }
    }
    (service, instance, host)
}

/// The only message of a request, if it is one that is not compressed.
pub(super) fn message(bytes: &Bytes) -> Option<Bytes> {
    let mut frame = bytes.clone();
    if frame.len() < FRAME_BYTES || frame.get_u8() != 0 {
        return None;
    }
    let length = usize::try_from(frame.get_u32()).ok()?;
    (frame.len() == length).then_some(frame)
}

#[cfg(test)]
mod tests;
