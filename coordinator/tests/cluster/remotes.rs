//! Which repositories coordinators follow, on whole coordinators: those that services or the
//! operator's template name, those with the ids of SHA-256, and those whose tags vanish.

use paasta_proto::v1::{
    Asker, CleanupRequest, CleanupResponse, MetastatusRequest, Remote, RemotesRequest,
    RemovalReason, RequestOutcome, WaitingKind, deploys_client::DeploysClient,
    operate_client::OperateClient,
};

use crate::{
    PATIENCE,
    cluster::{
        agent::FakeAgent,
        coordinators::Coordinators,
        git::{Repository, describe, url},
    },
};

const SMALL: &str = "main: {instances: 1, cpus: 0.1, mem: 64, deploy_group: demo.all}";
const TAG: &str = "paasta-demo.all-20250101T000000-deploy";

/// The repositories that are followed; none where coordinator 1 does not answer.
async fn remotes(cluster: &Coordinators) -> Option<Vec<Remote>> {
    let mut client = DeploysClient::new(cluster.channel(1));
    let answer = client.remotes(RemotesRequest::default()).await.ok()?;
    Some(answer.into_inner().remotes)
}

async fn desired_error(cluster: &Coordinators) -> String {
    let mut admin = cluster.admin(1);
    let answer = admin.metastatus(MetastatusRequest::default()).await;
    answer.map_or_else(|_| String::new(), |told| told.into_inner().desired_error)
}

async fn dry_run(cluster: &Coordinators) -> CleanupResponse {
    let ask = CleanupRequest {
        asker: Some(Asker {
            request_id: "dry".to_owned(),
            by: "ann@desk".to_owned(),
        }),
        force: false,
        dry_run: true,
    };
    let mut client = OperateClient::new(cluster.channel(1));
    let answer = client.cleanup(ask).await.expect("it is answered");
    answer.into_inner()
}

fn replicas(agents: &[FakeAgent]) -> Vec<u64> {
    let mut all: Vec<u64> = agents.iter().flat_map(FakeAgent::replicas).collect();
    all.sort_unstable();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_git_url_is_asked_of_nobody_until_a_template_names_its_repository() {
    let mut cluster = Coordinators::following_git(1).await;
    let _agents = FakeAgent::several(&cluster, 1).await;
    let repository = Repository::named(&cluster, "plain", &[]);
    repository.tag(TAG, &repository.commit());
    cluster.declare("plain", SMALL);
    // Another service is asked several times meanwhile.
    let other = Repository::named(&cluster, "other", &[]);
    cluster.declare("other", SMALL);
    describe(&cluster, "other", &url(&other.path));
    for day in ["02", "03"] {
        let sha = other.commit();
        other.tag(&format!("paasta-demo.all-202501{day}T000000-deploy"), &sha);
        let arrived = |status: &paasta_proto::v1::InstanceStatus| status.git_sha == sha;
        cluster.wait("other.main", PATIENCE, arrived).await;
    }
    let followed = remotes(&cluster).await.expect("it is answered");
    let followed: Vec<&str> = followed.iter().map(|one| one.service.as_str()).collect();
    assert_eq!(followed, ["other"], "nobody is asked of the other one");
    let plain = cluster
        .wait("plain.main", PATIENCE, |status| !status.problems.is_empty())
        .await;
    let problem = &plain.problems[0].message;
    assert!(problem.contains("plain has no repository"), "{problem}");
    assert!(
        problem.contains("deployments.git_url_template"),
        "{problem}"
    );
    assert_eq!((plain.git_sha.as_str(), plain.replicas.len()), ("", 0));

    let template = format!("file://{}/{{service}}.git", cluster.scratch().display());
    cluster.git_url_template = Some(template);
    cluster.kill(1).await;
    cluster.restart(1).await;
    let running = cluster.wait_running("plain.main", 1, PATIENCE).await;
    assert!(running.problems.is_empty(), "{:?}", running.problems);
    let followed = remotes(&cluster).await.expect("it is answered");
    let named = followed.iter().find(|one| one.service == "plain");
    let named = named.expect("it is followed");
    assert_eq!(named.url, url(&repository.path));
    assert!(named.answered_at_ms.is_some(), "{named:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_with_the_ids_of_sha_256_is_followed() {
    let cluster = Coordinators::following_git(1).await;
    let _agents = FakeAgent::several(&cluster, 1).await;
    let repository = Repository::named(&cluster, "hello", &["--object-format=sha256"]);
    let sha = repository.commit();
    assert_eq!(sha.len(), 64, "{sha}");
    repository.tag(TAG, &sha);
    cluster.declare("hello", SMALL);
    describe(&cluster, "hello", &url(&repository.path));
    let running = cluster.wait_running("hello.main", 1, PATIENCE).await;
    assert_eq!(running.git_sha, sha);
    assert!(running.repository.is_none(), "{:?}", running.repository);
    let next = repository.commit();
    repository.tag("paasta-demo.all-20250102T000000-deploy", &next);
    let arrived = |status: &paasta_proto::v1::InstanceStatus| {
        status.git_sha == next && status.apps.len() == 1
    };
    cluster.wait("hello.main", PATIENCE, arrived).await;
    cluster.wait_running("hello.main", 1, PATIENCE).await;
    cluster.stop().await;
}

/// Six of seven services have one repository, and its tag is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn tags_that_vanish_for_more_than_half_of_what_is_declared_drain_nothing() {
    let cluster = Coordinators::following_git(1).await;
    let agents = FakeAgent::several(&cluster, 2).await;
    let shared = Repository::named(&cluster, "shared", &[]);
    let kept = Repository::named(&cluster, "kept", &[]);
    let services = ["s0", "s1", "s2", "s3", "s4", "s5"];
    for (service, repository) in services
        .map(|one| (one, &shared))
        .iter()
        .chain(&[("t0", &kept)])
    {
        cluster.declare(service, SMALL);
        describe(&cluster, service, &url(&repository.path));
    }
    for repository in [&shared, &kept] {
        repository.tag(TAG, &repository.commit());
    }
    for service in services.iter().chain(&["t0"]) {
        let instance = format!("{service}.main");
        cluster.wait_running(&instance, 1, PATIENCE).await;
    }
    let before = replicas(&agents);
    assert_eq!(before.len(), 7);

    shared.untag(TAG);
    let error = cluster
        .wait_for("it is held back", || async {
            let error = desired_error(&cluster).await;
            error.contains("6 of 7 instances").then_some(error)
        })
        .await;
    assert!(error.contains("paasta cleanup --force"), "{error}");
    let held = dry_run(&cluster).await;
    let told = (held.outcome(), held.total);
    assert_eq!(told, (RequestOutcome::Refused, 7), "of so many: {held:?}");
    let mut listed: Vec<&str> = Vec::new();
    for one in &held.instances {
        assert_eq!((one.removed_at_ms, one.replicas), (None, 1), "{one:?}");
        assert_eq!(one.why(), RemovalReason::Undeployed, "{one:?}");
        listed.push(&one.instance);
    }
    listed.sort_unstable();
    let expected = services.map(|service| format!("{service}.main"));
    assert_eq!(listed, expected);

    // A deploy of the one that is not held back goes on, much later than the patience.
    for day in ["02", "03", "04"] {
        let sha = kept.commit();
        kept.tag(&format!("paasta-demo.all-202501{day}T000000-deploy"), &sha);
        let arrived = |status: &paasta_proto::v1::InstanceStatus| {
            status.git_sha == sha && status.apps.len() == 1
        };
        cluster.wait("t0.main", PATIENCE, arrived).await;
    }
    let after = replicas(&agents);
    let stayed = before.iter().filter(|id| after.contains(id)).count();
    assert_eq!((stayed, after.len()), (6, 7), "{before:?}, then {after:?}");
    for service in services {
        let instance = format!("{service}.main");
        let status = cluster.wait_running(&instance, 1, PATIENCE).await;
        let held = status
            .waiting
            .iter()
            .any(|on| on.kind() == WaitingKind::RemovalHeld);
        assert!(held, "{status:?}");
    }

    let sha = shared.commit();
    shared.tag("paasta-demo.all-20250105T000000-deploy", &sha);
    let arrived = |status: &paasta_proto::v1::InstanceStatus| status.git_sha == sha;
    cluster.wait("s3.main", PATIENCE, arrived).await;
    cluster
        .wait_for("nothing is held back", || async {
            desired_error(&cluster).await.is_empty().then_some(())
        })
        .await;
    cluster.stop().await;
}
