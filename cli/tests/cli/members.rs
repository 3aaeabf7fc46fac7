//! `paasta coordinator` and `paasta snapshot`, against coordinators that say what a test wants.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    pin::Pin,
    sync::{Arc, Mutex},
};

use paasta_process::saved::{Counts, Head, Writer};
use paasta_proto::v1::{
    AddMemberRequest, ChangeMembersResponse, ListMembersRequest, ListMembersResponse, Member,
    MemberRole, PromoteMemberRequest, RemoveMemberRequest, SaveSnapshotRequest, SnapshotPart,
    TransferLeaderRequest,
    members_server::{Members, MembersServer},
    snapshots_server::{Snapshots, SnapshotsServer},
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_stream::{Stream, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};

use crate::paasta::paasta;

type Changed = Result<Response<ChangeMembersResponse>, Status>;

/// What the coordinator says, and what it was asked.
#[derive(Default)]
struct Script {
    members: ListMembersResponse,
    refusal: Option<Status>,
    /// The bytes of a saved state, and whether the stream breaks at their end.
    saved: Vec<u8>,
    breaks: bool,
    asked: Vec<String>,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Script>>);

struct Running {
    address: String,
    script: Arc<Mutex<Script>>,
    _runtime: Runtime,
}

fn start(script: Script) -> Running {
    let runtime = Runtime::new().expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("listen on loopback");
    let address = listener.local_addr().expect("its address").to_string();
    let fake = Fake(Arc::new(Mutex::new(script)));
    let script = Arc::clone(&fake.0);
    let server = Server::builder()
        .add_service(MembersServer::new(fake.clone()))
        .add_service(SnapshotsServer::new(fake));
    runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    Running {
        address,
        script,
        _runtime: runtime,
    }
}

impl Fake {
    fn change(&self, asked: String) -> Changed {
        let mut script = self.0.lock().expect("no test panics while it holds it");
        script.asked.push(asked.clone());
        match &script.refusal {
            Some(status) => Err(status.clone()),
            None => Ok(Response::new(ChangeMembersResponse {
                members: Some(script.members.clone()),
                changed: true,
                text: format!("done: {asked}"),
            })),
        }
    }
}

#[tonic::async_trait]
impl Members for Fake {
    async fn list(
        &self,
        _: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersResponse>, Status> {
        let script = self.0.lock().expect("no test panics while it holds it");
        Ok(Response::new(script.members.clone()))
    }

    async fn add(&self, ask: Request<AddMemberRequest>) -> Changed {
        let ask = ask.into_inner();
        self.change(format!("add {} {} {}", ask.id, ask.address, ask.wait_ms))
    }

    async fn promote(&self, ask: Request<PromoteMemberRequest>) -> Changed {
        self.change(format!("promote {}", ask.into_inner().id))
    }

    async fn remove(&self, ask: Request<RemoveMemberRequest>) -> Changed {
        let ask = ask.into_inner();
        self.change(format!("remove {} {}", ask.id, ask.force))
    }

    async fn transfer_leader(&self, ask: Request<TransferLeaderRequest>) -> Changed {
        self.change(format!("transfer {}", ask.into_inner().to))
    }
}

#[tonic::async_trait]
impl Snapshots for Fake {
    type SaveStream = Pin<Box<dyn Stream<Item = Result<SnapshotPart, Status>> + Send>>;

    async fn save(
        &self,
        _: Request<SaveSnapshotRequest>,
    ) -> Result<Response<Self::SaveStream>, Status> {
        let script = self.0.lock().expect("no test panics while it holds it");
        let parts = script.saved.chunks(10);
        let mut parts: Vec<_> = parts
            .map(|part| {
                Ok(SnapshotPart {
                    data: part.to_vec(),
                })
            })
            .collect();
        if script.breaks {
            parts.truncate(parts.len() / 2);
            parts.push(Err(Status::unavailable("the leader is gone")));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }
}

fn members(last_answer_ms: Option<u64>) -> ListMembersResponse {
    let member = |id: u64, role: MemberRole, last_answer_ms| Member {
        id,
        address: format!("10.0.0.{id}:7401"),
        role: role.into(),
        role_word: String::new(),
        matched_index: Some(40),
        lag: Some(0),
        last_answer_ms,
        snapshot_index: None,
        refused: String::new(),
    };
    ListMembersResponse {
        cluster: "demo".to_owned(),
        cluster_id: "c1".to_owned(),
        epoch: 1,
        answered_by: 1,
        members: vec![
            member(1, MemberRole::Leader, Some(0)),
            member(2, MemberRole::Voter, last_answer_ms),
        ],
        ..ListMembersResponse::default()
    }
}

fn saved() -> Vec<u8> {
    let head = Head {
        cluster_id: "c1".to_owned(),
        cluster: "demo".to_owned(),
        epoch: 3,
        index: 99,
        term: 5,
        saved_at_ms: 1_763_903_530_000,
        saved_by: 2,
        version: "0.1.0".to_owned(),
        coordinators: BTreeMap::from([(2, "10.0.0.2:7401".to_owned())]),
        counts: Counts {
            replicas: 7,
            ..Counts::default()
        },
    };
    let mut writer = Writer::begin(Vec::new(), &head).expect("a vector takes it");
    writer.write_all(b"the state").expect("a vector takes it");
    writer.end().expect("a vector takes it")
}

#[test]
fn the_list_is_2_when_a_coordinator_is_silent() {
    for (last, code) in [(Some(80), 0), (Some(20_000), 2), (None, 2)] {
        let fake = start(Script {
            members: members(last),
            ..Script::default()
        });
        let ran = paasta(&["coordinator", "list", "--coordinators", &fake.address]).exits(code);
        assert!(ran.stdout.contains("10.0.0.2:7401"), "{ran:?}");
        let json = paasta(&[
            "coordinator",
            "list",
            "--json",
            "--coordinators",
            &fake.address,
        ]);
        assert_eq!(json.json()["members"][1]["id"], 2);
    }
}

#[test]
fn changes_are_asked_for_as_they_were_given_and_told_in_words() {
    let fake = start(Script {
        members: members(Some(80)),
        ..Script::default()
    });
    let verbs: [(&[&str], &str); 6] = [
        (
            &["add", "4=h4:7401", "--wait", "90s"],
            "add 4 h4:7401 90000",
        ),
        (&["promote", "4"], "promote 4"),
        (&["remove", "2", "--yes"], "remove 2 false"),
        (&["remove", "2", "--force", "-y"], "remove 2 true"),
        (&["transfer-leader"], "transfer 0"),
        (&["transfer-leader", "3"], "transfer 3"),
    ];
    for (args, asked) in verbs {
        let all = [&["coordinator", "--coordinators", &fake.address], args].concat();
        let ran = paasta(&all).exits(0);
        assert!(
            ran.stdout.starts_with(&format!("done: {asked}\n")),
            "{ran:?}"
        );
        assert!(ran.stdout.contains("10.0.0.1:7401"), "{ran:?}");
    }
    let asked = fake.script.lock().expect("not poisoned").asked.len();
    assert_eq!(asked, verbs.len(), "each once");
}

#[test]
fn a_live_member_is_not_removed_without_a_yes_and_a_dead_one_is() {
    let remove = |fake: &Running| {
        let to = ["--coordinators", &fake.address];
        paasta(&[&["coordinator", "remove", "2"][..], &to].concat())
    };
    let alive = start(Script {
        members: members(Some(80)),
        ..Script::default()
    });
    let ran = remove(&alive).exits(1);
    assert!(
        ran.stderr.contains("is alive") && ran.stderr.contains("--yes"),
        "{ran:?}"
    );
    let dead = start(Script {
        members: members(Some(60_000)),
        ..Script::default()
    });
    remove(&dead).exits(0);
    let asked = |fake: &Running| fake.script.lock().expect("not poisoned").asked.clone();
    assert_eq!(asked(&alive), Vec::<String>::new());
    assert_eq!(asked(&dead), ["remove 2 false"]);
}

#[test]
fn a_refusal_is_1_and_says_why() {
    let fake = start(Script {
        members: members(Some(80)),
        refusal: Some(Status::failed_precondition("2 is the leader; hand over")),
        ..Script::default()
    });
    let ran = paasta(&[
        "coordinator",
        "remove",
        "2",
        "--yes",
        "--coordinators",
        &fake.address,
    ])
    .exits(1);
    assert!(ran.stderr.contains("hand over"), "{ran:?}");
    paasta(&["coordinator", "add", "nonsense"]).exits(1);
}

#[test]
fn a_state_is_saved_whole_and_can_be_looked_at() {
    let fake = start(Script {
        saved: saved(),
        ..Script::default()
    });
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("demo.state");
    let file = path.to_str().expect("it is text");
    let ran = paasta(&["snapshot", "save", file, "--coordinators", &fake.address]).exits(0);
    assert!(ran.stdout.contains("demo (id c1), epoch 3"), "{ran:?}");
    assert_eq!(fs::read(&path).expect("it is there"), saved());

    let shown = paasta(&["snapshot", "inspect", file]).exits(0);
    assert_eq!(shown.stdout, ran.stdout);
    let json = paasta(&["snapshot", "inspect", file, "--json"])
        .exits(0)
        .json();
    assert_eq!(json["index"], 99);
    assert_eq!(json["counts"]["replicas"], 7);
    assert_eq!(json["state_bytes"], 9);

    let mut cut = saved();
    cut.truncate(cut.len() - 1);
    fs::write(&path, cut).expect("written");
    let ran = paasta(&["snapshot", "inspect", file]).exits(1);
    assert!(ran.stderr.contains("not a whole saved state"), "{ran:?}");
}

#[test]
fn a_state_that_does_not_arrive_whole_leaves_what_was_there() {
    let fake = start(Script {
        saved: saved(),
        breaks: true,
        ..Script::default()
    });
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("demo.state");
    fs::write(&path, "the one of yesterday").expect("written");
    let file = path.to_str().expect("it is text");
    let ran = paasta(&["snapshot", "save", file, "--coordinators", &fake.address]).exits(1);
    assert!(ran.stderr.contains("the leader is gone"), "{ran:?}");
    let kept = fs::read_to_string(&path).expect("it is there");
    assert_eq!(kept, "the one of yesterday");
    let left = fs::read_dir(dir.path()).expect("a directory").count();
    assert_eq!(left, 1, "nothing is left beside it");
}
