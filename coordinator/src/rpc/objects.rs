//! What a request is about: the services, instances and hosts that it names, and what its caller
//! says of itself. Read from the bytes of the request before any service gets it.

use bytes::Bytes;
use paasta_common::id::{InstanceId, ServiceName};
use paasta_coordinator_core::access::Sight;
use paasta_proto::{bounds, texts::Texts, v1, worker::off_worker};
use prost::{Message, Name};

/// Requests of more bytes are read off the threads of the runtime.
const LARGE_BYTES: usize = 32 << 10;

/// What a request is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// The request id and the name that the caller typed; none where the method takes none.
    pub asker: Option<v1::Asker>,
    /// What it names.
    pub objects: Vec<Object>,
}

/// Something that a request names, as it names it: it need not be a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A service as a whole.
    Service(String),
    /// Those instances of a service that the caller may see.
    Of(String),
    /// An instance, `SERVICE.INSTANCE`.
    Instance(String),
    /// A host.
    Host(String),
    /// Something of the cluster, in words.
    Cluster(String),
}

/// Reads what a request is about from its bytes.
pub type Read = fn(Bytes) -> Result<Asked, String>;

/// A request that says what it is about.
pub trait Names {
    /// What it is about.
    fn asked(self) -> Asked;
}

impl Object {
    /// Whether it is covered. What is no name is covered by nothing; a host and the cluster are the
    /// affair of roles.
    pub fn is_seen(&self, sight: &Sight) -> bool {
        match self {
            Self::Service(name) => {
                ServiceName::new(name).is_ok_and(|name| sight.covers_service(&name))
            }
            Self::Of(name) => ServiceName::new(name).is_ok_and(|name| sight.touches_service(&name)),
            Self::Instance(name) => name
                .parse::<InstanceId>()
                .is_ok_and(|id| sight.covers_instance(&id)),
            Self::Host(_) | Self::Cluster(_) => true,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Service(name)
            | Self::Of(name)
            | Self::Instance(name)
            | Self::Host(name)
            | Self::Cluster(name) => name,
        }
    }
}

/// Reads a request, within the bounds that it has for its service too.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read<Q: Message + Texts + Name + Names + Default>(bytes: Bytes) -> Result<Asked, String> {
    let name = Q::full_name();
    bounds::check(&name, &bytes).map_err(|refusal| refusal.to_string())?;
    let large = bytes.len() > LARGE_BYTES;
    let decode = || {
        let mut request = Q::decode(bytes)?;
        request.read_texts();
        Ok(request.asked())
    };
    let asked: Result<Asked, prost::DecodeError> = match large {
        true => off_worker(decode),
        false => decode(),
    };
    asked.map_err(|error| format!("the bytes are no {name}: {error}; use a client of this version"))
}

/// What a request is about, for each that names something or changes something.
macro_rules! names {
    ($($request:ident: |$it:ident| $asker:expr, $objects:expr;)*) => {
        $(impl Names for v1::$request {
            fn asked(self) -> Asked {
                let $it = self;
                Asked { objects: $objects, asker: $asker }
            }
        })*
    };
}

names! {
    StatusRequest: |it| None, instances_of(it.service, it.instances);
    ListRequest: |it| None, some(it.service, Object::Of);
    SearchRequest: |_it| None, Vec::new();
    WhyRequest: |it| None, vec![Object::Instance(it.instance)];
    EventsRequest: |it| None, some(it.instance, Object::Instance);
    FollowRequest: |it| None, some(it.instance, Object::Instance);
    DescribeRequest: |it| None, vec![Object::Instance(it.instance)];
    BounceStatusRequest: |it| None, instances(it.instances);
    ResumeBounceRequest: |it| it.asker, vec![Object::Instance(it.instance)];
    RollBackRequest: |it| it.asker, vec![Object::Instance(it.instance)];
    ForceBounceRequest: |it| it.asker, vec![Object::Instance(it.instance)];
    InitRequest: |it| None, vec![Object::Cluster(it.cluster)];
    PokeRequest: |it| it.asker, vec![Object::Service(it.service)];
    RemotesRequest: |it| None, some(it.service, Object::Of);
    OverrideRequest: |it| it.asker, vec![Object::Instance(it.instance)];
    HistoryRequest: |it| None, vec![Object::Instance(it.instance)];
    LogsRequest: |it| None, instances_of(it.service, it.instances);
    AddMemberRequest: |it| None, vec![member(it.id)];
    PromoteMemberRequest: |it| None, vec![member(it.id)];
    RemoveMemberRequest: |it| None, vec![member(it.id)];
    TransferLeaderRequest: |it| None, vec![member(it.to)];
    DrainHostRequest: |it| it.asker, vec![Object::Host(it.host)];
    UndrainHostRequest: |it| it.asker, vec![Object::Host(it.host)];
    RemoveHostRequest: |it| it.asker, vec![Object::Host(it.host)];
    ReleaseBrakeRequest: |it| it.asker, it.hosts.into_iter().map(Object::Host).collect();
    CleanupRequest: |it| it.asker, Vec::new();
    ResetBackoffRequest: |it| it.asker, backoff(it.instance, it.host);
    CheckReplicationRequest: |it| None, instances(it.instances);
    ApplySettingsRequest: |it| it.asker, vec![Object::Cluster("settings".to_owned())];
    SaveSnapshotRequest: |_it| None, vec![Object::Cluster("the whole state".to_owned())];
    AuthorityKeyRequest: |_it| None, vec![Object::Cluster("the authority's key".to_owned())];
    JoinRequest: |it| None, vec![token(&it.token), Object::Cluster(it.name)];
    RenewRequest: |_it| None, Vec::new();
    // What it says of an identity is the caller's word until it is proven.
    RenewLateRequest: |_it| None, Vec::new();
    RevokeRequest: |it| it.asker, some(it.identity, Object::Cluster);
    RestoreRequest: |it| it.asker, some(it.identity, Object::Cluster);
    CreateTokenRequest: |it| it.asker, some(it.principal, Object::Cluster);
    RevokeTokenRequest: |it| it.asker, vec![token(&it.id)];
    SetPrincipalRequest: |it| it.asker, vec![principal(&it.name)];
    RemovePrincipalRequest: |it| it.asker, vec![principal(&it.name)];
}

fn some(name: String, object: fn(String) -> Object) -> Vec<Object> {
    match name.is_empty() {
        true => Vec::new(),
        false => vec![object(name)],
    }
}

fn instances(names: Vec<String>) -> Vec<Object> {
    names.into_iter().map(Object::Instance).collect()
}

/// The named instances of a service; those that the caller may see when none is named.
fn instances_of(service: String, instances: Vec<String>) -> Vec<Object> {
    if instances.is_empty() {
        return some(service, Object::Of);
    }
    let names = instances.into_iter();
    names
        .map(|name| Object::Instance(format!("{service}.{name}")))
        .collect()
}

fn backoff(instance: String, host: String) -> Vec<Object> {
    let mut objects = vec![Object::Instance(instance)];
    objects.extend(some(host, Object::Host));
    objects
}

fn member(id: u64) -> Object {
    Object::Cluster(format!("coordinator {id}"))
}

/// A token by its name, which is no secret.
fn token(id: &str) -> Object {
    Object::Cluster(format!("token {id}"))
}

fn principal(name: &str) -> Object {
    Object::Cluster(format!("principal {name}"))
}

#[cfg(test)]
mod tests {
    use paasta_coordinator_core::access::scope::Scopes;

    use super::*;

    fn within(scopes: &[&str]) -> Sight {
        Sight::Within(Scopes::new(scopes.iter().copied()).unwrap())
    }

    #[test]
    fn what_is_no_name_is_covered_by_nothing() {
        let sight = within(&["web-*", "*.*x"]);
        for bad in [
            "",
            ".",
            "web-1",
            "web-1.",
            "web-1.main.x",
            "web-1.ma in",
            "*",
        ] {
            assert!(!Object::Instance(bad.to_owned()).is_seen(&sight), "{bad}");
        }
        for bad in ["", ".", "web-1.main", "web 1", "*"] {
            assert!(!Object::Service(bad.to_owned()).is_seen(&sight), "{bad}");
            assert!(!Object::Of(bad.to_owned()).is_seen(&sight), "{bad}");
        }
        assert!(Object::Instance("web-1.main".to_owned()).is_seen(&sight));
        assert!(Object::Service("web-1".to_owned()).is_seen(&sight));
    }

    #[test]
    fn a_request_is_read_from_its_bytes_within_its_bounds() {
        let request = v1::StatusRequest {
            service: "web".to_owned(),
            instances: vec!["main".to_owned(), "x".to_owned()],
            ..v1::StatusRequest::default()
        };
        let asked = read::<v1::StatusRequest>(request.encode_to_vec().into()).unwrap();
        let names: Vec<&str> = asked.objects.iter().map(Object::name).collect();
        assert_eq!(names, ["web.main", "web.x"]);
        let long = v1::WhyRequest {
            instance: "x".repeat(1_000),
        };
        let error = read::<v1::WhyRequest>(long.encode_to_vec().into()).unwrap_err();
        assert!(error.contains("WhyRequest.instance"), "{error}");
        assert!(read::<v1::WhyRequest>(Bytes::from_static(b"\xff\xff")).is_err());
    }
}
