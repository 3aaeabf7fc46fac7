//! `paasta settings`, against a coordinator that has a preview and takes only what it showed.

use std::sync::{Arc, Mutex};

use paasta_proto::v1::{
    ApplySettingsRequest, BouncingInstance, CoordinatorSettings, DiffSettingsRequest,
    DiffSettingsResponse, OperateResponse, OwnSettingsRequest, OwnSettingsResponse, RequestOutcome,
    SettingDifference, SettingsState,
    settings_server::{Settings, SettingsServer},
};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::paasta::{Ran, paasta_with};

const SHOWN: &str = "digest-of-what-was-shown";

/// Coordinators whose files differ, or not.
struct Coordinators {
    address: String,
    applied: Arc<Mutex<Vec<ApplySettingsRequest>>>,
    _runtime: Runtime,
}

struct Service {
    differ: bool,
    /// What is in force has changed since it was shown.
    moved_on: bool,
    applied: Arc<Mutex<Vec<ApplySettingsRequest>>>,
}

fn start(differ: bool, moved_on: bool) -> Coordinators {
    let runtime = Runtime::new().expect("a runtime");
    let bind = tokio::net::TcpListener::bind("127.0.0.1:0");
    let listener = runtime.block_on(bind).expect("listen on loopback");
    let address = listener.local_addr().expect("its address").to_string();
    let applied = Arc::default();
    let service = Service {
        differ,
        moved_on,
        applied: Arc::clone(&applied),
    };
    let server = Server::builder().add_service(SettingsServer::new(service));
    runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    Coordinators {
        address,
        applied,
        _runtime: runtime,
    }
}

#[tonic::async_trait]
impl Settings for Service {
    async fn own(
        &self,
        _: Request<OwnSettingsRequest>,
    ) -> Result<Response<OwnSettingsResponse>, Status> {
        Err(Status::unimplemented("coordinators ask each other"))
    }

    async fn diff(
        &self,
        ask: Request<DiffSettingsRequest>,
    ) -> Result<Response<DiffSettingsResponse>, Status> {
        let mut answer = DiffSettingsResponse {
            settings: "{}".to_owned(),
            by: "ann".to_owned(),
            why: "a test".to_owned(),
            now_ms: 1_000,
            ..DiffSettingsResponse::default()
        };
        for id in 1..=3 {
            let differs = self.differ && id == 2;
            let key = || SettingDifference {
                key: "volumes".to_owned(),
                cluster: "[]".to_owned(),
                file: "[{hostPath: /srv}]".to_owned(),
            };
            answer.coordinators.push(CoordinatorSettings {
                id,
                address: format!("c{id}:7401"),
                state: match differs {
                    true => SettingsState::Differs.into(),
                    false => SettingsState::Same.into(),
                },
                state_word: String::new(),
                differences: differs.then(key).into_iter().collect(),
            });
        }
        if self.differ {
            answer.from = ask.into_inner().from.max(2);
            answer.digest = SHOWN.to_owned();
            answer.bounces = vec![BouncingInstance {
                instance: "hello.main".to_owned(),
                replicas: 3,
            }];
        }
        Ok(Response::new(answer))
    }

    async fn apply(
        &self,
        ask: Request<ApplySettingsRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let ask = ask.into_inner();
        let right = ask.digest == SHOWN && !self.moved_on;
        self.applied.lock().expect("not poisoned").push(ask);
        let (outcome, text) = match right {
            true => (
                RequestOutcome::Done,
                "the settings are those of coordinator 2",
            ),
            false => (
                RequestOutcome::Refused,
                "what was shown is not what would be applied; look again",
            ),
        };
        Ok(Response::new(OperateResponse {
            outcome: outcome.into(),
            outcome_word: String::new(),
            text: text.to_owned(),
        }))
    }
}

fn settings(of: &Coordinators, args: &[&str], stdin: &str) -> Ran {
    let env = [
        ("PAASTA_COORDINATORS", of.address.as_str()),
        ("USER", "ann"),
    ];
    let args: Vec<&str> = ["settings"].iter().chain(args).copied().collect();
    paasta_with(&args, &env, stdin)
}

#[test]
fn a_diff_names_who_differs_in_what_and_what_would_bounce() {
    let same = settings(&start(false, false), &["diff"], "").exits(0);
    assert!(!same.stdout.contains("differs"), "{same:?}");
    let differs = settings(&start(true, false), &["diff"], "").exits(2);
    for words in [
        "coordinator 2 (c2:7401): differs",
        "volumes: [] in force, [{hostPath: /srv}] in its files",
        "would bounce 1",
        "hello.main",
    ] {
        assert!(differs.stdout.contains(words), "{words}: {differs:?}");
    }
    let json = settings(&start(true, false), &["diff", "--json"], "").exits(2);
    let answer: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(answer["bounces"][0]["instance"], "hello.main", "{answer}");
}

#[test]
fn what_was_shown_is_applied_and_nothing_else() {
    let coordinators = start(true, false);
    // Without a terminal and without --yes nobody agreed.
    let asked = settings(&coordinators, &["apply", "--from", "2"], "");
    assert_ne!(asked.code, 0, "{asked:?}");
    assert!(coordinators.applied.lock().expect("whole").is_empty());
    let done = settings(&coordinators, &["apply", "--from", "2", "--yes"], "").exits(0);
    assert!(done.stdout.contains("those of coordinator 2"), "{done:?}");
    let applied = coordinators.applied.lock().expect("whole").clone();
    assert_eq!(applied.len(), 1);
    let one = &applied[0];
    assert_eq!((one.from, one.digest.as_str()), (2, SHOWN));
    let asker = one.asker.as_ref().expect("an asker");
    assert!(asker.by.contains("ann"), "{asker:?}");

    let refused = settings(&start(true, true), &["apply", "--from", "2", "--yes"], "").exits(1);
    assert!(refused.stdout.contains("look again"), "{refused:?}");
}
