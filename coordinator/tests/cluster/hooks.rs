//! A git server tells of a push, to whichever coordinator: the leader asks that repository at once,
//! though its turn would come in an hour. Nobody without the secret makes it ask.

use std::fs;

use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::{
    agent::FakeAgent,
    coordinators::Coordinators,
    git::{Repository, describe},
    http::{Said, get, send},
    schema::Description,
};
use crate::PATIENCE;

const SECRET: &str = "a secret of the test";
const MAIN: &str = "hello.main";

fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    mac.update(body);
    let bytes = mac.finalize().into_bytes();
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

async fn hook(cluster: &Coordinators, id: u64, headers: &[(&str, &str)], body: &[u8]) -> Said {
    let line = "POST /v1/hooks/git HTTP/1.1";
    send(cluster.http(id), line, headers, body).await
}

/// A hook with the right signature.
async fn signed(cluster: &Coordinators, id: u64, body: &serde_json::Value) -> Said {
    let body = body.to_string();
    let signature = signature(body.as_bytes());
    let headers = [("X-Hub-Signature-256", signature.as_str())];
    hook(cluster, id, &headers, body.as_bytes()).await
}

/// A repository that says that its first commit runs, and everything that runs it.
async fn running(cluster: &Coordinators) -> Repository {
    let repository = Repository::new(cluster);
    repository.tag(
        "paasta-demo.all-20250101T000000-deploy",
        &repository.commit(),
    );
    let url = format!("file://{}", repository.path.display());
    let wanted = "main: {instances: 2, cpus: 0.1, mem: 64, deploy_group: demo.all}";
    cluster.declare("hello", wanted);
    describe(cluster, "hello", &url);
    repository
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_seen_at_once_by_a_hook_to_any_coordinator() {
    let cluster = Coordinators::told_by_hooks(3).await;
    let repository = running(&cluster).await;
    let _agents = FakeAgent::several(&cluster, 2).await;
    cluster.wait_running(MAIN, 2, PATIENCE).await;
    let leader = cluster.leader(PATIENCE).await;
    let follower = cluster.ids().into_iter().find(|id| *id != leader);
    let follower = follower.expect("there are three");
    let description = Description(get(cluster.http(1), "/v1/openapi.json").await.json());

    // There is a secret from now on: no coordinator was started anew for it.
    let push = json!({
        "ref": "refs/tags/x",
        "repository": {
            "clone_url": "https://git.example.com/a.git",
            "ssh_url": repository.path,
        },
    });
    let early = signed(&cluster, leader, &push).await;
    assert_eq!(early.code, 503, "{}", early.body);
    assert!(early.body.contains("hook_secret_file"), "{}", early.body);
    fs::write(cluster.hook_secret(), format!("{SECRET}\n")).expect("written");

    let second = repository.commit();
    repository.tag("paasta-demo.all-20250102T000000-deploy", &second);
    let told = signed(&cluster, follower, &push).await;
    assert_eq!(told.code, 202, "{}", told.body);
    assert_eq!(told.json(), json!({"asked": ["hello"]}));
    let wrong = description.faults_of("/hooks/git", "post", 202, &told.json());
    assert!(wrong.is_empty(), "{wrong:#?}");
    cluster
        .wait(MAIN, PATIENCE, |status| status.git_sha == second)
        .await;

    // By the name of the service, with the secret itself, told to the leader.
    let third = repository.commit();
    repository.tag("paasta-demo.all-20250103T000000-deploy", &third);
    let headers = [("X-Gitlab-Token", SECRET)];
    let told = hook(&cluster, leader, &headers, br#"{"service": "hello"}"#).await;
    assert_eq!(told.code, 202, "{}", told.body);
    cluster
        .wait(MAIN, PATIENCE, |status| status.git_sha == third)
        .await;
    refusals(&cluster, &push).await;
    cluster.stop().await;
}

async fn refusals(cluster: &Coordinators, push: &serde_json::Value) {
    let body = push.to_string();
    let others = signature(b"another body");
    for (headers, words) in [
        (&[][..], "X-Hub-Signature-256"),
        (&[("X-Hub-Signature-256", others.as_str())], "the signature"),
        (&[("X-Gitlab-Token", "a secret")], "the token"),
    ] {
        let said = hook(cluster, 1, headers, body.as_bytes()).await;
        assert_eq!(said.code, 401, "{headers:?}: {}", said.body);
        assert!(said.body.contains(words), "{headers:?}: {}", said.body);
    }
    for id in cluster.ids() {
        let elsewhere = json!({"repository": {"ssh_url": "git@git.example.com:other.git"}});
        let said = signed(cluster, id, &elsewhere).await;
        assert_eq!(said.code, 404, "{}", said.body);
        assert!(
            said.body.contains("git.example.com:other.git"),
            "{}",
            said.body
        );
        let said = signed(cluster, id, &json!({"service": "helo"})).await;
        assert_eq!(said.code, 404, "{}", said.body);
        assert!(said.body.contains("no service helo"), "{}", said.body);
    }
    let said = signed(cluster, 1, &json!({"ref": "refs/tags/x"})).await;
    assert_eq!(said.code, 400, "{}", said.body);
    assert!(said.body.contains("names no repository"), "{}", said.body);
    let large = vec![b' '; (1 << 20) + 1];
    let said = hook(cluster, 1, &[("X-Gitlab-Token", SECRET)], &large).await;
    assert_eq!(said.code, 413, "{}", said.body);
    assert_eq!(get(cluster.http(1), "/v1/hooks/git").await.code, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_there_are_no_hooks() {
    let cluster = Coordinators::start_with_http(1).await;
    let said = signed(&cluster, 1, &json!({"service": "hello"})).await;
    assert_eq!(said.code, 404, "{}", said.body);
    assert!(
        said.body.contains("deployments.hook_secret_file"),
        "{}",
        said.body
    );
    cluster.stop().await;
}
