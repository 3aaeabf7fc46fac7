//! The desired state is read when it is at rest, and nothing is removed in a hurry: files that are
//! written slowly, directories that go piece by piece, and what comes back.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use paasta_proto::v1::{
    Asker, CleanupRequest, CleanupResponse, DeployStatus, EventsRequest, HistoryRequest,
    InstanceStatus, MetastatusRequest, OverrideAction, OverrideKind, OverrideRequest,
    RemovalReason, RequestOutcome, WaitingKind, WhyRequest, deploys_client::DeploysClient,
    operate_client::OperateClient,
};
use tokio::time::{Instant, sleep};

use crate::{
    PATIENCE,
    cluster::{agent::FakeAgent, coordinators::Coordinators},
};

const STEP: Duration = Duration::from_millis(50);
const SMALL: &str = "main: {instances: 1, cpus: 0.1, mem: 64}";
const SERVICES: [&str; 10] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"];

fn asker(request_id: &str) -> Option<Asker> {
    Some(Asker {
        request_id: request_id.to_owned(),
        by: "ann@desk".to_owned(),
    })
}

async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(found) = look().await {
            return found;
        }
        sleep(STEP).await;
    }
    panic!("not within {PATIENCE:?}: {what}");
}

fn file(cluster: &Coordinators, service: &str) -> PathBuf {
    cluster.soa().join(service).join("marathon-demo.yaml")
}

/// As a slow editor or copy does: truncated, a pause, then the old text and one comment more.
async fn rewrite_slowly(file: &Path) {
    let text = fs::read_to_string(file).expect("it is there");
    let mut torn = fs::File::create(file).expect("it can be written");
    sleep(Duration::from_millis(50)).await;
    torn.write_all(text.as_bytes()).expect("written");
    torn.write_all(b"\n# a comment\n").expect("written");
}

async fn kill_switch(cluster: &Coordinators, instance: &str) {
    let mut client = DeploysClient::new(cluster.channel(1));
    let stop = OverrideRequest {
        asker: asker(&format!("stop-{instance}")),
        instance: instance.to_owned(),
        action: OverrideAction::Stop.into(),
        ..OverrideRequest::default()
    };
    let answer = client.r#override(stop).await.expect("it is answered");
    assert_eq!(answer.into_inner().outcome(), RequestOutcome::Done);
    cluster
        .wait(instance, PATIENCE, |status| {
            status.deploy_status() == DeployStatus::Stopped
        })
        .await;
}

async fn events(cluster: &Coordinators) -> Vec<String> {
    let asked = cluster.admin(1).events(EventsRequest::default()).await;
    let events = asked.expect("it is answered").into_inner().events;
    events.into_iter().map(|event| event.text).collect()
}

async fn cleanup(cluster: &Coordinators, id: &str, force: bool, dry_run: bool) -> CleanupResponse {
    let ask = CleanupRequest {
        asker: asker(id),
        force,
        dry_run,
    };
    let mut client = OperateClient::new(cluster.channel(1));
    let answer = client.cleanup(ask).await.expect("it is answered");
    answer.into_inner()
}

async fn desired_error(cluster: &Coordinators) -> String {
    let mut admin = cluster.admin(1);
    let asked = admin.metastatus(MetastatusRequest::default()).await;
    let told = asked.map(tonic::Response::into_inner);
    told.map(|told| told.desired_error).unwrap_or_default()
}

fn removal(status: &InstanceStatus) -> Option<&paasta_proto::v1::Waiting> {
    status
        .waiting
        .iter()
        .find(|on| matches!(on.kind(), WaitingKind::Removal | WaitingKind::RemovalHeld))
}

fn replicas(agents: &[FakeAgent]) -> Vec<u64> {
    let mut all: Vec<u64> = agents.iter().flat_map(FakeAgent::replicas).collect();
    all.sort_unstable();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_slowly_changes_nothing_that_runs() {
    let cluster = Coordinators::start(1).await;
    let agents = FakeAgent::several(&cluster, 2).await;
    cluster.declare(
        "hello",
        "main: {instances: 2, cpus: 0.1, mem: 64}\nweb: {instances: 1, cpus: 0.1, mem: 64}",
    );
    cluster.declare("other", SMALL);
    for service in ["hello", "other"] {
        cluster.deploy(service, 'a');
    }
    cluster.wait_running("hello.main", 2, PATIENCE).await;
    cluster.wait_running("other.main", 1, PATIENCE).await;
    kill_switch(&cluster, "hello.web").await;
    let before = replicas(&agents);
    let hello = file(&cluster, "hello");
    for _ in 0..7 {
        rewrite_slowly(&hello).await;
        sleep(Duration::from_millis(300)).await;
        assert_eq!(replicas(&agents), before);
    }
    // Byte by byte, so that it is every prefix of itself for a moment.
    let text = fs::read_to_string(&hello).expect("it is there");
    let mut slow = fs::File::create(&hello).expect("it can be written");
    for byte in text.as_bytes() {
        slow.write_all(&[*byte]).expect("written");
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_secs(4)).await;
    // A writer that dies in the middle leaves it empty, for much longer than the patience.
    fs::write(&hello, "").expect("written");
    let torn = cluster
        .wait("hello.main", PATIENCE, |status| !status.problems.is_empty())
        .await;
    assert!(torn.problems[0].message.starts_with("is empty"), "{torn:?}");
    sleep(Duration::from_secs(4)).await;
    assert_eq!(replicas(&agents), before);
    fs::write(&hello, &text).expect("written");
    cluster
        .wait("hello.main", PATIENCE, |status| status.problems.is_empty())
        .await;
    let web = cluster.wait("hello.web", PATIENCE, |_| true).await;
    assert_eq!(
        web.overridden.map(|one| one.kind()),
        Some(OverrideKind::Stop)
    );
    assert_eq!(replicas(&agents), before);
    let events = events(&cluster).await;
    let gone = |text: &&String| text.contains("no longer") || text.contains("declared again");
    assert_eq!(events.iter().find(gone), None);
    // What rests is read: an instance that is left out is meant to go.
    fs::write(&hello, "main: {instances: 2, cpus: 0.1, mem: 64}\n").expect("written");
    eventually("hello.web is removed", async || {
        let asked = WhyRequest {
            instance: "hello.web".to_owned(),
        };
        cluster.admin(1).why(asked).await.is_err().then_some(())
    })
    .await;
    assert_eq!(replicas(&agents), before);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_that_go_in_pieces_are_held_back_and_come_back_as_they_were() {
    let mut cluster = Coordinators::start_patient(3, 4_000).await;
    let agents = FakeAgent::several(&cluster, 2).await;
    for service in SERVICES {
        cluster.declare(service, SMALL);
        cluster.deploy(service, 'a');
    }
    for service in SERVICES {
        let instance = format!("{service}.main");
        cluster.wait_running(&instance, 1, PATIENCE).await;
    }
    let before = replicas(&agents);
    let away = cluster.scratch().join("away");
    fs::create_dir(&away).expect("a directory");
    for service in SERVICES {
        let from = cluster.soa().join(service);
        fs::rename(from, away.join(service)).expect("it is there");
        sleep(Duration::from_millis(500)).await;
    }
    let error = eventually("it is told", async || {
        let error = desired_error(&cluster).await;
        error.contains("10 of 10 instances").then_some(error)
    })
    .await;
    assert!(error.contains("paasta cleanup --force"), "{error}");
    sleep(Duration::from_secs(6)).await;
    assert_eq!(replicas(&agents), before, "nothing went");
    let held = cleanup(&cluster, "c1", false, true).await;
    assert_eq!((held.outcome(), held.total), (RequestOutcome::Refused, 10));
    assert_eq!(held.instances.len(), 10);
    let undated = |one: &paasta_proto::v1::RemovedInstance| {
        one.why() == RemovalReason::Undeclared && one.replicas == 1 && one.removed_at_ms.is_none()
    };
    assert!(held.instances.iter().all(undated), "{held:?}");
    let status = cluster
        .wait("s3.main", PATIENCE, |status| removal(status).is_some())
        .await;
    let waiting = removal(&status).expect("just seen");
    assert_eq!(
        (waiting.kind(), waiting.deadline_ms),
        (WaitingKind::RemovalHeld, None)
    );

    // The next leader holds it back as well.
    let leader = cluster.leader(PATIENCE).await;
    cluster.kill(leader).await;
    let next = cluster.leader(PATIENCE).await;
    assert_ne!(next, leader);
    sleep(Duration::from_secs(7)).await;
    assert_eq!(replicas(&agents), before, "nothing went after an election");
    cluster.restart(leader).await;
    cluster.wait_caught_up(leader, PATIENCE).await;

    for service in SERVICES {
        let to = cluster.soa().join(service);
        fs::rename(away.join(service), to).expect("it is there");
    }
    eventually("nothing is held back", async || {
        desired_error(&cluster).await.is_empty().then_some(())
    })
    .await;
    let said = events(&cluster).await;
    let count = |words: &str| said.iter().filter(|text| text.contains(words)).count();
    assert_eq!(count("no removal is held back any more"), 1, "{said:?}");
    assert_eq!(count("is back before its removal"), 10, "{said:?}");
    assert_eq!(replicas(&agents), before);

    // The same by deploy refs.
    for service in SERVICES {
        let text = r#"{"v1": {}}"#;
        fs::write(cluster.soa().join(service).join("deployments.json"), text).expect("written");
    }
    eventually("it is told", async || {
        let error = desired_error(&cluster).await;
        error.contains("10 of 10 instances").then_some(())
    })
    .await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(replicas(&agents), before, "nothing went");
    cluster.stop().await;
}

/// Declares and deploys `a`, `b` and `c`, and waits until one replica of each runs.
async fn three_run(cluster: &Coordinators) {
    for service in ["a", "b", "c"] {
        cluster.declare(service, SMALL);
        cluster.deploy(service, 'a');
    }
    for instance in ["a.main", "b.main", "c.main"] {
        cluster.wait_running(instance, 1, PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_has_a_deadline_and_what_returns_is_as_it_was() {
    let mut cluster = Coordinators::start_patient(3, 6_000).await;
    let agents = FakeAgent::several(&cluster, 2).await;
    three_run(&cluster).await;
    let before = replicas(&agents);
    let (here, away) = (cluster.soa().join("a"), cluster.scratch().join("away"));
    fs::rename(&here, &away).expect("it is there");
    let status = cluster
        .wait("a.main", PATIENCE, |status| removal(status).is_some())
        .await;
    let waiting = removal(&status).expect("just seen").clone();
    assert!(waiting.what.contains("no longer declared"), "{waiting:?}");
    let (since, until) = (waiting.since_ms, waiting.deadline_ms.expect("a deadline"));
    assert_eq!(until - since, 6_000);
    let asked = WhyRequest {
        instance: "a.main".to_owned(),
    };
    let why = cluster.admin(1).why(asked).await.expect("it is answered");
    let why = why.into_inner().status.expect("it is known");
    assert_eq!(
        removal(&why).map(|one| one.kind()),
        Some(WaitingKind::Removal)
    );
    let planned = cleanup(&cluster, "c1", false, true).await;
    assert_eq!(
        planned.outcome(),
        RequestOutcome::Planned,
        "{}",
        planned.text
    );
    assert_eq!(planned.instances[0].removed_at_ms, Some(until));
    let waits = cleanup(&cluster, "c2", false, false).await;
    assert_eq!(waits.outcome(), RequestOutcome::Unchanged, "{}", waits.text);
    assert!(waits.text.contains("--force"), "{}", waits.text);

    // Back in time: untouched.
    fs::rename(&away, &here).expect("it is there");
    cluster
        .wait("a.main", PATIENCE, |status| removal(status).is_none())
        .await;
    assert_eq!(replicas(&agents), before);

    // Gone for good, with an election on the way; what was waited for is not forgotten.
    kill_switch(&cluster, "b.main").await;
    for (service, to) in [("a", &away), ("b", &cluster.scratch().join("away-b"))] {
        fs::rename(cluster.soa().join(service), to).expect("it is there");
        if service == "a" {
            cluster
                .wait("a.main", PATIENCE, |status| removal(status).is_some())
                .await;
            let leader = cluster.leader(PATIENCE).await;
            cluster.kill(leader).await;
            cluster
                .wait("a.main", PATIENCE, |status| removal(status).is_some())
                .await;
            assert_eq!(replicas(&agents).len(), 2, "it still runs");
            cluster.restart(leader).await;
            eventually("a.main is removed", async || {
                (replicas(&agents).len() == 1).then_some(())
            })
            .await;
            fs::rename(to, cluster.soa().join(service)).expect("it is there");
            cluster.wait_running("a.main", 1, PATIENCE).await;
        }
    }
    let removed = async || {
        let asked = WhyRequest {
            instance: "b.main".to_owned(),
        };
        cluster.admin(1).why(asked).await.is_err().then_some(())
    };
    eventually("b.main is dropped", removed).await;
    let back = cluster.scratch().join("away-b");
    fs::rename(back, cluster.soa().join("b")).expect("it is there");
    let status = eventually("b.main is back", async || {
        let asked = WhyRequest {
            instance: "b.main".to_owned(),
        };
        cluster.admin(1).why(asked).await.ok()?.into_inner().status
    })
    .await;
    assert_eq!(
        (status.wanted, status.deploy_status()),
        (0, DeployStatus::Stopped)
    );
    assert_eq!(
        status.overridden.map(|one| one.kind()),
        Some(OverrideKind::Stop)
    );
    let asked = HistoryRequest {
        instance: "b.main".to_owned(),
        ..HistoryRequest::default()
    };
    let mut client = DeploysClient::new(cluster.channel(1));
    let told = client.history(asked).await.expect("it is answered");
    let kinds: Vec<String> = told
        .into_inner()
        .changes
        .into_iter()
        .map(|one| one.kinds.join(" "))
        .collect();
    assert_eq!(kinds, ["declared", "override", "removed", "declared"]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_vanishes_for_less_than_the_patience_changes_nothing() {
    let cluster = Coordinators::start_patient(1, 8_000).await;
    let agents = FakeAgent::several(&cluster, 2).await;
    three_run(&cluster).await;
    kill_switch(&cluster, "a.main").await;
    eventually("it is stopped", async || {
        (replicas(&agents).len() == 2).then_some(())
    })
    .await;
    let before = replicas(&agents);
    for service in ["a", "b"] {
        let (here, away) = (file(&cluster, service), cluster.scratch().join("away"));
        let instance = format!("{service}.main");
        fs::rename(&here, &away).expect("it is there");
        let status = cluster
            .wait(&instance, PATIENCE, |status| removal(status).is_some())
            .await;
        let waiting = removal(&status).expect("just seen");
        assert_eq!(waiting.kind(), WaitingKind::Removal, "{waiting:?}");
        assert_eq!(
            waiting.deadline_ms.map(|until| until - waiting.since_ms),
            Some(8_000)
        );
        assert!(
            here.parent().is_some_and(Path::is_dir),
            "the directory stays"
        );
        fs::rename(&away, &here).expect("it is there");
        cluster
            .wait(&instance, PATIENCE, |status| removal(status).is_none())
            .await;
    }
    // Longer than the patience since either went.
    sleep(Duration::from_secs(9)).await;
    assert_eq!(replicas(&agents), before);
    let a = cluster.wait("a.main", PATIENCE, |_| true).await;
    assert_eq!(a.overridden.map(|one| one.kind()), Some(OverrideKind::Stop));
    let said = events(&cluster).await;
    let back = |text: &&String| text.contains("is back before its removal");
    assert_eq!(said.iter().filter(back).count(), 2, "{said:?}");
    cluster.stop().await;
}
