//! What is let through, by method, role and scope, as one table in a file; and what is recorded.

use std::{fmt::Write as _, fs, path::Path};

use paasta_coordinator_core::{
    access::scope::Scopes,
    state::{
        actor::Actor,
        command::{Command, Envelope, Init, RemovePrincipal, SetPrincipal},
        outcome::Outcome,
    },
};
use paasta_process::{clock::ManualClock, metrics::Meters};
use paasta_proto::v1;
use prost::Message;
use tempfile::TempDir;
use tonic::{Code, Status};
use tower::service_fn;

use super::*;
use crate::{
    audit::{AuditMeters, Place},
    codec,
    raft::Machine as _,
    refusals::Refusals,
    rpc::roles::{METHODS, allowed},
};

/// The table. Written anew by `UPDATE_GOLDEN=1`.
const GOLDEN: &str = "src/rpc/guard/table.txt";
/// The scopes of a principal, by the column of the table: `-` is a certificate without a principal.
const COLUMNS: [(&str, &[&str]); 8] = [
    ("-", &[]),
    ("none", &[]),
    ("web", &["web"]),
    ("web.main", &["web.main"]),
    ("web.m*", &["web.m*"]),
    ("w*", &["w*"]),
    ("api", &["api"]),
    ("*", &["*"]),
];

struct Scene {
    guard: Guard,
    machine: ClusterMachine,
    clock: Arc<ManualClock>,
    index: u64,
    dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let machine = ClusterMachine::new();
        let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
        let place = place(dir.path());
        let meters = Meters::default();
        let refusals = Refusals::new(&meters);
        let meters = AuditMeters::new(&meters);
        let audit = Audit::start(place, 1, Arc::clone(&clock) as _, meters).unwrap();
        let guard = Guard::new(machine.clone(), Arc::clone(&clock) as _, audit, refusals);
        let mut scene = Self {
            guard,
            machine,
            clock,
            index: 0,
            dir,
        };
        scene.apply(Command::Init(Init {
            cluster_id: "id".to_owned(),
            name: "prod".parse().unwrap(),
        }));
        scene.grant("root", Role::Admin, &[]);
        scene
    }

    fn apply(&mut self, command: Command) {
        self.index += 1;
        let envelope = Envelope {
            request_id: None,
            at: self.clock.now(),
            by: Actor::claimed("test"),
            command,
        };
        let bytes = codec::encode(&envelope).unwrap();
        let outcome = self.machine.apply(self.index, &bytes);
        let outcome: Outcome = codec::decode(&outcome).unwrap();
        assert!(outcome.is_ok(), "{outcome:?}");
    }

    fn grant(&mut self, name: &str, role: Role, scopes: &[&str]) {
        self.apply(Command::SetPrincipal(SetPrincipal {
            name: name.parse().unwrap(),
            role,
            scopes: Scopes::new(scopes.iter().copied()).unwrap(),
            expires: None,
            not_before: None,
            note: String::new(),
            asker: None,
        }));
    }

    fn remove(&mut self, name: &str) {
        let name = name.parse().unwrap();
        self.apply(Command::RemovePrincipal(RemovePrincipal { name }));
    }

    /// Whether a call is let through, by the same steps as a real one.
    fn lets(&self, identity: &str, path: &str, request: &[u8]) -> bool {
        let origin = origin(identity);
        let role = origin.principal.as_ref().unwrap().role();
        if !allowed(path).contains(&role) {
            return false;
        }
        let Ok(sight) = self.guard.sight(&origin, path) else {
            return false;
        };
        let effect = effect(path);
        let asked = match effect {
            Some(Effect::Changes(read) | Effect::Shows(read)) => {
                read(Bytes::copy_from_slice(request)).unwrap()
            }
            Some(Effect::Apart) | None => Asked::default(),
        };
        check(&origin, path, effect, &asked, &sight).is_ok()
    }

    /// The records, when the log is closed.
    fn records(self) -> Vec<Record> {
        let place = place(self.dir.path());
        drop(self.guard);
        let meters = AuditMeters::new(&Meters::default());
        let audit = Audit::start(place, 1, self.clock, meters).unwrap();
        audit.newest(1_000, |_| true).unwrap()
    }
}

fn place(dir: &Path) -> Place {
    Place {
        dir: dir.join("audit"),
        file_bytes: 1 << 20,
        files: 1,
    }
}

fn origin(identity: &str) -> Origin {
    Origin {
        principal: Some(format!("paasta://prod/{identity}").parse().unwrap()),
        peer: "10.0.0.9".to_owned(),
        ..Origin::default()
    }
}

/// A request about `web.main`, or all of `web` where the method takes a service.
fn request(path: &str) -> Vec<u8> {
    let (main, web) = ("web.main".to_owned(), "web".to_owned());
    macro_rules! about {
        ($request:ident { $($field:ident: $value:expr),* }) => {
            v1::$request { $($field: $value,)* ..Default::default() }.encode_to_vec()
        };
    }
    match path.trim_start_matches("/paasta.v1.") {
        "Admin/Status" => about!(StatusRequest {
            service: web,
            instances: vec!["main".to_owned()]
        }),
        "Admin/List" => about!(ListRequest { service: web }),
        "Admin/Why" => v1::WhyRequest { instance: main }.encode_to_vec(),
        "Admin/Events" => about!(EventsRequest { instance: main }),
        "Admin/Follow" => about!(FollowRequest { instance: main }),
        "Admin/Describe" => about!(DescribeRequest { instance: main }),
        "Bounces/BounceStatus" => v1::BounceStatusRequest {
            instances: vec![main],
        }
        .encode_to_vec(),
        "Bounces/ResumeBounce" => about!(ResumeBounceRequest { instance: main }),
        "Bounces/RollBack" => about!(RollBackRequest { instance: main }),
        "Bounces/ForceBounce" => about!(ForceBounceRequest { instance: main }),
        "Deploys/Poke" => about!(PokeRequest { service: web }),
        "Deploys/Remotes" => about!(RemotesRequest { service: web }),
        "Deploys/Override" => about!(OverrideRequest { instance: main }),
        "Deploys/History" => about!(HistoryRequest { instance: main }),
        "Logs/Read" => about!(LogsRequest {
            service: web,
            instances: vec!["main".to_owned()]
        }),
        "Operate/ResetBackoff" => about!(ResetBackoffRequest { instance: main }),
        "Operate/CheckReplication" => v1::CheckReplicationRequest {
            instances: vec![main],
        }
        .encode_to_vec(),
        // They name nothing of services.
        _ => Vec::new(),
    }
}

#[test]
fn the_table_of_methods_roles_and_scopes_is_as_it_was_agreed() {
    let mut text = String::from(
        "# What a call about the service web or the instance web.main is answered, by role and by the\n\
         # scopes of the principal: + let through, . denied. Column - is a certificate without a\n\
         # principal, none a principal without a scope.\n#\n",
    );
    let columns: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    writeln!(text, "# {:<47}{}", "method, role", columns.join(" ")).unwrap();
    let scene = |role: Role, name: &str, scopes: &[&str]| {
        let mut scene = Scene::new();
        let scoped = matches!(role, Role::Deployer | Role::Reader);
        if !matches!(role, Role::Coordinator | Role::Agent) && name != "-" {
            scene.grant("7", role, if scoped { scopes } else { &[] });
        }
        scene
    };
    let scenes = Role::ALL.map(|role| COLUMNS.map(|(name, scopes)| scene(role, name, scopes)));
    for (service, methods) in METHODS {
        for (method, _) in *methods {
            let path = format!("/{service}/{method}");
            writeln!(text, "{service}/{method}").unwrap();
            for (role, scenes) in Role::ALL.into_iter().zip(&scenes) {
                let marks = COLUMNS.iter().zip(scenes).map(|((name, _), scene)| {
                    let lets = scene.lets(&format!("{role}/7"), &path, &request(&path));
                    format!(
                        "{:<width$}",
                        if lets { "+" } else { "." },
                        width = name.len() + 1
                    )
                });
                let marks: String = marks.collect();
                writeln!(text, "    {:<45}{}", role.as_str(), marks.trim_end()).unwrap();
            }
        }
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &text).unwrap();
    }
    let kept = fs::read_to_string(&golden).expect("the table is there");
    assert!(
        kept == text,
        "run this test with UPDATE_GOLDEN=1 and look at what changes"
    );
}

#[test]
fn a_request_that_names_several_is_in_scope_only_if_each_is() {
    let mut scene = Scene::new();
    scene.grant("ci", Role::Deployer, &["web.main", "api"]);
    let path = "/paasta.v1.Admin/Status";
    let lets = |service: &str, instances: &[&str]| {
        let request = v1::StatusRequest {
            service: service.to_owned(),
            instances: instances.iter().map(|&name| name.to_owned()).collect(),
            ..v1::StatusRequest::default()
        };
        scene.lets("deployer/ci", path, &request.encode_to_vec())
    };
    assert!(lets("web", &["main"]));
    assert!(lets("web", &[]), "its answer shows what is in scope");
    assert!(lets("", &[]), "its answer shows what is in scope");
    assert!(lets("api", &["a", "b"]));
    assert!(!lets("web", &["main", "canary"]));
    assert!(!lets("db", &[]));
    assert!(!lets("web", &["ma in"]), "what is no name is in no scope");
}

fn frame(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    frame.into()
}

fn call(path: &str, message: &impl Message) -> Request<Body> {
    let body = Body::new(Full::new(frame(message)));
    Request::builder()
        .uri(format!("http://x{path}"))
        .body(body)
        .unwrap()
}

fn drain() -> Request<Body> {
    let asked = v1::DrainHostRequest {
        asker: Some(v1::Asker {
            request_id: "one".to_owned(),
            by: "bob@desk".to_owned(),
        }),
        host: "h1".to_owned(),
        ..v1::DrainHostRequest::default()
    };
    call("/paasta.v1.Operate/DrainHost", &asked)
}

/// An answer as a service gives it.
fn answered(outcome: v1::RequestOutcome, text: &str) -> Response<Body> {
    let said = v1::OperateResponse {
        outcome: outcome.into(),
        text: text.to_owned(),
        ..v1::OperateResponse::default()
    };
    let body = Full::new(frame(&said)).with_trailers(async {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        Some(Ok(trailers))
    });
    Response::new(Body::new(body))
}

#[tokio::test]
async fn a_change_is_recorded_with_its_author_and_what_came_of_it() {
    let scene = Scene::new();
    let root = origin("admin/root");
    for outcome in [
        v1::RequestOutcome::Done,
        v1::RequestOutcome::Unchanged,
        v1::RequestOutcome::Refused,
    ] {
        let service = service_fn(move |request: Request<Body>| async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let asked = v1::DrainHostRequest::decode(message(&body).unwrap()).unwrap();
            assert_eq!(asked.host, "h1", "the service gets the request as it was");
            Ok::<_, Status>(answered(outcome, "h1 is being drained"))
        });
        let guard = scene.guard.clone();
        let answer = guard.pass(service, drain(), root.clone()).await.unwrap();
        answer.into_body().collect().await.unwrap();
    }
    // One without TLS, one that fails, and one whose caller goes away.
    let failing =
        service_fn(|_| async { Ok::<_, Status>(Status::unavailable("no leader").into_http()) });
    let plain = Origin {
        peer: "127.0.0.1".to_owned(),
        ..Origin::default()
    };
    let guard = scene.guard.clone();
    let answer = guard.pass(failing, drain(), plain).await.unwrap();
    answer.into_body().collect().await.unwrap();
    let never = service_fn(|_| std::future::pending::<Result<Response<Body>, Status>>());
    let guard = scene.guard.clone();
    let gone = guard.pass(never, drain(), root);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), gone)
            .await
            .is_err()
    );
    let records = scene.records();
    let outcomes: Vec<AuditOutcome> = records.iter().map(|one| one.outcome).collect();
    use AuditOutcome::{Done, Failed, Refused, Unchanged, Unknown};
    assert_eq!(outcomes, [Done, Unchanged, Refused, Failed, Unknown]);
    let first = &records[0];
    assert_eq!(
        (
            first.user.as_str(),
            first.principal.as_str(),
            first.claimed.as_str()
        ),
        ("admin/root", "admin/root", "bob@desk")
    );
    assert_eq!(
        (first.host.as_str(), first.peer.as_str()),
        ("h1", "10.0.0.9")
    );
    assert_eq!(
        (first.action.as_str(), first.role.as_str()),
        ("Operate.DrainHost", "admin")
    );
    assert_eq!(
        (first.request_id.as_str(), first.cluster.as_str()),
        ("one", "prod")
    );
    assert_eq!(first.action_details, "h1 is being drained");
    assert_eq!(records[3].user, "\"bob@desk\" (claimed)");
    assert_eq!(records[3].principal, "");
    assert_eq!(records[3].action_details, "no leader");
}

#[tokio::test]
async fn a_refusal_is_recorded_and_reaches_no_service() {
    let mut scene = Scene::new();
    scene.grant("ci", Role::Deployer, &["api"]);
    let none = || {
        service_fn(|_| async {
            panic!("a refused call reaches a service");
            #[allow(unreachable_code)]
            Ok::<Response<Body>, Status>(Response::new(Body::default()))
        })
    };
    let why = || {
        let asked = v1::WhyRequest {
            instance: "web.main".to_owned(),
        };
        call("/paasta.v1.Admin/Why", &asked)
    };
    for (identity, words) in [
        ("deployer/ci", "\"web.main\" is not in its scope (api)"),
        ("reader/bob", "it is no principal of this cluster"),
        ("reader/ci", "the principal ci has the role deployer"),
        ("admin/local.root", "are for the local socket"),
    ] {
        let guard = scene.guard.clone();
        let answer = guard.pass(none(), why(), origin(identity)).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.message().contains(words), "{status:?}");
    }
    let records = scene.records();
    assert_eq!(records.len(), 4);
    for record in &records {
        assert_eq!(record.outcome, AuditOutcome::Denied);
        assert_eq!(
            (record.service.as_str(), record.instance.as_str()),
            ("web", "main")
        );
    }
    assert_eq!(records[0].principal, "deployer/ci");
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_ends_when_its_principal_is_removed_or_sees_something_else() {
    for change in [
        |scene: &mut Scene| scene.remove("ci"),
        |scene: &mut Scene| scene.grant("ci", Role::Deployer, &["web"]),
        |scene: &mut Scene| scene.grant("ci", Role::Reader, &["api"]),
    ] {
        let mut scene = Scene::new();
        scene.grant("ci", Role::Deployer, &["api"]);
        let endless = service_fn(|_| async {
            let nothing =
                futures_util::stream::pending::<Result<hyper::body::Frame<Bytes>, Status>>();
            Ok::<_, Status>(Response::new(Body::new(http_body_util::StreamBody::new(
                nothing,
            ))))
        });
        let follow = call("/paasta.v1.Admin/Follow", &v1::FollowRequest::default());
        let guard = scene.guard.clone();
        let answer = guard
            .pass(endless, follow, origin("deployer/ci"))
            .await
            .unwrap();
        let mut body = answer.into_body();
        let quiet = tokio::time::timeout(Duration::from_secs(60), body.frame()).await;
        assert!(quiet.is_err(), "nothing has changed: {quiet:?}");
        change(&mut scene);
        let cut = tokio::time::timeout(Duration::from_secs(30), body.frame()).await;
        let cut = cut.expect("it ends within 30 s").unwrap().unwrap();
        let status = Status::from_header_map(cut.trailers_ref().unwrap()).unwrap();
        assert!(
            matches!(status.code(), Code::PermissionDenied | Code::Unavailable),
            "{status:?}"
        );
        assert!(body.frame().await.is_none());
    }
}
