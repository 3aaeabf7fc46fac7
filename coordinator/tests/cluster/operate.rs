//! What operators do, on whole coordinators: drain a host, release the brake, clean up, and be told
//! of instances that lack replicas.

use std::{fs, path::PathBuf, time::Duration};

use paasta_proto::v1::{
    Asker, BrakeStatusRequest, CheckReplicationRequest, CleanupRequest, CleanupResponse,
    DeployStatus, DrainHostRequest, EventKind, EventsRequest, ListRequest,
    MaintenanceStatusRequest, MetastatusRequest, OperateResponse, ReleaseBrakeRequest,
    RemovalReason, RemoveHostRequest, ReplicaClass, ReplicationLevel, ReplicationStatus,
    RequestOutcome, ResetBackoffRequest, StatusRequest, UndrainHostRequest,
    operate_client::OperateClient,
};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use crate::{
    PATIENCE,
    cluster::{agent::FakeAgent, coordinators::Coordinators},
};

const STEP: Duration = Duration::from_millis(50);
const SMALL: &str = "main: {instances: 3, cpus: 0.1, mem: 64}";

fn operate(cluster: &Coordinators, at: usize) -> OperateClient<Channel> {
    let address = cluster.addresses()[at].clone();
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    OperateClient::new(endpoint.connect_lazy())
}

fn asker(request_id: &str) -> Option<Asker> {
    Some(Asker {
        request_id: request_id.to_owned(),
        by: "ann@desk".to_owned(),
    })
}

/// Waits until `look` finds something; panics with `what` when it does not.
async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(STEP).await;
    }
    panic!("not within {PATIENCE:?}: {what}");
}

async fn drain(client: &mut OperateClient<Channel>, id: &str, host: &str) -> OperateResponse {
    let ask = DrainHostRequest {
        asker: asker(id),
        host: host.to_owned(),
        reason: "new disk".to_owned(),
        for_ms: 0,
    };
    let answer = client.drain_host(ask).await;
    answer.expect("it is answered").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_host_is_empty_only_when_its_replacements_serve() {
    let cluster = Coordinators::start(3).await;
    let agents = FakeAgent::several(&cluster, 3).await;
    cluster.declare("hello", SMALL);
    cluster.deploy("hello", 'a');
    cluster.wait_running("hello.main", 3, PATIENCE).await;
    assert_eq!(agents[0].running(), 1);

    // Hosts are told to forget failures, and the events say who asked for it.
    let mut client = operate(&cluster, 1);
    let mut reset = ResetBackoffRequest {
        asker: asker("reset-1"),
        instance: "hello.main".to_owned(),
        host: String::new(),
    };
    for _ in 0..2 {
        let done = client.reset_backoff(reset.clone()).await;
        assert_eq!(
            done.expect("it is answered").get_ref().outcome(),
            RequestOutcome::Done
        );
    }
    eventually("every host is told", async || {
        agents
            .iter()
            .all(FakeAgent::was_told_to_forget)
            .then_some(())
    })
    .await;
    reset.instance = "hello.man".to_owned();
    let unknown = client.reset_backoff(reset).await;
    let unknown = unknown.expect_err("there is no such instance");
    assert!(unknown.message().contains("hello.main"), "{unknown:?}");
    let events = cluster.admin(1).events(EventsRequest::default()).await;
    let events = events.expect("it is answered").into_inner().events;
    let resets = events
        .iter()
        .filter(|event| event.text.contains("backoff of 3 replicas"));
    assert_eq!(
        resets.map(|event| event.by.as_str()).collect::<Vec<_>>(),
        ["\"ann@desk\" (claimed)"]
    );

    // A coordinator that does not lead passes it on; and a repetition is the same request.
    let leader = cluster.leader(PATIENCE).await;
    let others = (0..3).filter(|at| cluster.ids()[*at] != leader);
    for at in others {
        let mut client = operate(&cluster, at);
        let done = drain(&mut client, "drain-1", "host-1").await;
        assert_eq!(done.outcome(), RequestOutcome::Done, "{}", done.text);
    }
    let mut client = operate(&cluster, 0);
    let again = drain(&mut client, "drain-2", "host-1").await;
    assert_eq!(again.outcome(), RequestOutcome::Unchanged, "{}", again.text);
    let unknown = client.drain_host(DrainHostRequest {
        asker: asker("drain-3"),
        host: "host-11".to_owned(),
        reason: "new disk".to_owned(),
        for_ms: 0,
    });
    let unknown = unknown.await.expect_err("there is no such host");
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    assert!(
        unknown.message().contains("host-1"),
        "{}",
        unknown.message()
    );

    let ask = MaintenanceStatusRequest::default();
    let safe = eventually("host-1 is safe to stop", async || {
        let answer = client.maintenance_status(ask.clone()).await.ok()?;
        let hosts = answer.into_inner().hosts;
        hosts
            .into_iter()
            .find(|host| host.host == "host-1" && host.safe)
    })
    .await;
    assert_eq!((safe.reason.as_str(), safe.replicas.len()), ("new disk", 0));
    let events = cluster.admin(1).events(EventsRequest::default()).await;
    assert_eq!(
        (agents[0].running(), agents[0].fewest_serving()),
        (0, 3),
        "{events:#?}"
    );
    let in_use = RemoveHostRequest {
        asker: asker("remove-1"),
        host: "host-2".to_owned(),
    };
    let in_use = client.remove_host(in_use).await.expect("it is answered");
    assert_eq!(in_use.get_ref().outcome(), RequestOutcome::Refused);
    assert!(
        in_use.get_ref().text.contains("drain it first"),
        "{in_use:?}"
    );

    let undrain = UndrainHostRequest {
        asker: asker("undrain-1"),
        host: "host-1".to_owned(),
    };
    let done = client.undrain_host(undrain).await.expect("it is answered");
    assert_eq!(done.get_ref().outcome(), RequestOutcome::Done);
    let events = cluster.admin(1).events(EventsRequest::default()).await;
    let events = events.expect("it is answered").into_inner().events;
    let drains: Vec<_> = events
        .iter()
        .filter(|event| event.host == "host-1" && event.text.contains("new disk"))
        .collect();
    assert_eq!(drains.len(), 1, "{events:#?}");
    assert_eq!(drains[0].by, "\"ann@desk\" (claimed)");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_hosts_are_replaced_when_an_operator_says_that_they_are_lost() {
    let cluster = Coordinators::start(1).await;
    let mut agents = FakeAgent::several(&cluster, 4).await;
    cluster.declare("hello", "main: {instances: 4, cpus: 0.1, mem: 64}");
    cluster.deploy("hello", 'a');
    let before = cluster.wait_running("hello.main", 4, PATIENCE).await;
    let left = agents.pop().expect("there are four");
    for agent in agents {
        agent.fall_silent().await;
    }
    let mut client = operate(&cluster, 0);
    // Lease and patience are a second each: a lone host would be replaced long since.
    let silent = eventually("three hosts are silent for long", async || {
        let answer = client.brake_status(BrakeStatusRequest {}).await.ok()?;
        let answer = answer.into_inner();
        let long = answer.now_ms.saturating_sub(4_000);
        let long = |seen: Option<u64>| seen.is_some_and(|seen| seen < long);
        let all = answer.hosts.iter().all(|host| long(host.last_seen_ms));
        (answer.hosts.len() == 3 && all && !answer.brake.is_empty()).then_some(answer)
    })
    .await;
    assert!(silent.hosts.iter().all(|host| host.replicas == 1));
    let ids = |status: &paasta_proto::v1::InstanceStatus| -> Vec<String> {
        status
            .replicas
            .iter()
            .map(|replica| replica.id.clone())
            .collect()
    };
    let braked = cluster.wait("hello.main", PATIENCE, |_| true).await;
    assert_eq!(ids(&braked), ids(&before), "nothing is replaced");

    let mut hosts: Vec<String> = silent.hosts.into_iter().map(|host| host.host).collect();
    hosts.push("host-4".to_owned());
    let release = |id: &str, hosts: &[String]| ReleaseBrakeRequest {
        asker: asker(id),
        hosts: hosts.to_vec(),
    };
    let refused = client.release_brake(release("r1", &hosts)).await;
    let refused = refused.expect("it is answered").into_inner();
    assert_eq!(refused.outcome(), RequestOutcome::Refused);
    assert!(
        refused.text.contains("host-4 is not silent"),
        "{}",
        refused.text
    );
    hosts.pop();
    for _ in 0..2 {
        let done = client.release_brake(release("r2", &hosts)).await;
        assert_eq!(
            done.expect("it is answered").get_ref().outcome(),
            RequestOutcome::Done
        );
    }
    cluster
        .wait("hello.main", PATIENCE, |status| {
            let here = status.replicas.iter().filter(|r| r.host == "host-4");
            here.filter(|replica| replica.class() == ReplicaClass::Happy)
                .count()
                == 4
        })
        .await;
    assert_eq!(left.running(), 4);
    cluster.stop().await;
}

async fn cleanup(
    client: &mut OperateClient<Channel>,
    id: &str,
    force: bool,
    dry_run: bool,
) -> CleanupResponse {
    let ask = CleanupRequest {
        asker: asker(id),
        force,
        dry_run,
    };
    let answer = client.cleanup(ask).await;
    answer.expect("it is answered").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_directory_removes_nothing_until_somebody_means_it() {
    let cluster = Coordinators::start(1).await;
    let agents = FakeAgent::several(&cluster, 2).await;
    let services = ["a", "b", "c"];
    for service in services {
        cluster.declare(service, "main: {instances: 1, cpus: 0.1, mem: 64}");
        cluster.deploy(service, 'a');
    }
    for service in services {
        cluster
            .wait_running(&format!("{service}.main"), 1, PATIENCE)
            .await;
    }
    let mut client = operate(&cluster, 0);
    let nothing = cleanup(&mut client, "c0", false, true).await;
    assert_eq!(
        (nothing.outcome(), nothing.total),
        (RequestOutcome::Unchanged, 3)
    );
    // All at once: what goes piece by piece is counted together, but half of it may go.
    let soa = cluster.scratch().join("soa");
    fs::rename(&soa, cluster.scratch().join("away")).expect("it is there");
    fs::create_dir(&soa).expect("it is gone");
    let desired_error = async || {
        let told = cluster
            .admin(1)
            .metastatus(MetastatusRequest::default())
            .await;
        let error = told.ok()?.into_inner().desired_error;
        error.contains("3 of 3 instances").then_some(error)
    };
    let error = eventually("the refusal is told", desired_error).await;
    assert!(error.contains("paasta cleanup --force"), "{error}");

    // Reading again does not hide it.
    for (id, dry_run) in [("c1", true), ("c2", false)] {
        let refused = cleanup(&mut client, id, false, dry_run).await;
        assert_eq!(
            refused.outcome(),
            RequestOutcome::Refused,
            "{}",
            refused.text
        );
        assert_eq!(refused.instances.len(), 3);
        assert!(
            refused
                .instances
                .iter()
                .all(|one| one.why() == RemovalReason::Undeclared && one.replicas == 1)
        );
    }
    assert!(desired_error().await.is_some());
    assert_eq!(agents.iter().map(FakeAgent::running).sum::<usize>(), 3);
    let planned = cleanup(&mut client, "c3", true, true).await;
    assert_eq!(planned.outcome(), RequestOutcome::Planned);

    let done = cleanup(&mut client, "c4", true, false).await;
    assert_eq!(done.outcome(), RequestOutcome::Done, "{}", done.text);
    eventually("all instances are gone", async || {
        let list = cluster.admin(1).list(ListRequest::default()).await.ok()?;
        list.get_ref().instances.is_empty().then_some(())
    })
    .await;
    eventually("their replicas, too", async || {
        let running: usize = agents.iter().map(FakeAgent::running).sum();
        (running == 0).then_some(())
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_deployed_goes_and_what_cannot_be_read_stays() {
    let cluster = Coordinators::start(1).await;
    let agents = FakeAgent::several(&cluster, 2).await;
    for service in ["a", "b"] {
        cluster.declare(service, "main: {instances: 1, cpus: 0.1, mem: 64}");
        cluster.deploy(service, 'a');
    }
    for service in ["a", "b"] {
        cluster
            .wait_running(&format!("{service}.main"), 1, PATIENCE)
            .await;
    }
    fs::remove_file(soa(&cluster, "a").join("deployments.json")).expect("it is there");
    let kept = cluster
        .wait("a.main", PATIENCE, |status| !status.problems.is_empty())
        .await;
    assert!(!kept.undeclared, "a file that is missing removes nothing");

    fs::write(soa(&cluster, "b").join("deployments.json"), r#"{"v1": {}}"#).expect("written");
    let gone = cluster
        .wait("b.main", PATIENCE, |status| {
            status.deploy_status() == DeployStatus::NotDeployed
        })
        .await;
    assert!(
        gone.problems[0].message.contains("nothing is deployed"),
        "{gone:?}"
    );
    eventually("only a.main runs", async || {
        let running: usize = agents.iter().map(FakeAgent::running).sum();
        (running == 1).then_some(())
    })
    .await;
    cluster.wait_running("a.main", 1, PATIENCE).await;
    cluster.deploy("b", 'b');
    cluster.wait_running("b.main", 1, PATIENCE).await;
    cluster.stop().await;
}

fn soa(cluster: &Coordinators, service: &str) -> PathBuf {
    cluster.scratch().join("soa").join(service)
}

/// The events that the alert command received about an instance, oldest first.
fn alerts(cluster: &Coordinators, instance: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(cluster.alerts()).unwrap_or_default();
    let name = format!("check_paasta_services_replication.{instance}");
    let events = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    events
        .filter(|event: &serde_json::Value| event["name"] == name.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_is_told_when_its_instance_lacks_replicas_and_when_it_no_longer_does() {
    let cluster = Coordinators::start(1).await;
    let _agents = FakeAgent::several(&cluster, 2).await;
    // Two hosts of four cores each take eight.
    let [few, many] = [2, 20].map(|instances| {
        format!(
            "main: {{instances: {instances}, cpus: 1, mem: 64, bounce_health_params: {{min_task_uptime: 0}}}}"
        )
    });
    for service in ["hello", "quiet"] {
        cluster.declare(service, &few);
        cluster.deploy(service, 'a');
        cluster
            .wait_running(&format!("{service}.main"), 2, PATIENCE)
            .await;
    }
    let monitoring = "team: greeters\nrunbook: y/rb-hello\npage: true\n";
    fs::write(soa(&cluster, "hello").join("monitoring.yaml"), monitoring).expect("written");
    for service in ["quiet", "hello"] {
        cluster.declare(service, &many);
    }
    let mut client = operate(&cluster, 0);
    let alerted: ReplicationStatus = eventually("both are in alarm", async || {
        let ask = CheckReplicationRequest::default();
        let answer = client.check_replication(ask).await.ok()?.into_inner();
        let alarmed = |one: &ReplicationStatus| {
            one.alerted_since_ms.is_some()
                && one.expected == 20
                && one.status() == ReplicationLevel::Critical
        };
        let all = answer.instances.iter().all(alarmed);
        (answer.instances.len() == 2 && all).then(|| answer.instances.into_iter().next())?
    })
    .await;
    assert_eq!(alerted.instance, "hello.main");
    assert!(
        alerted.text.contains("out of 20 expected instances"),
        "{}",
        alerted.text
    );
    let told = eventually("the command was run", async || {
        let all = alerts(&cluster, "hello.main");
        all.into_iter().find(|event| event["status"] == 2)
    })
    .await;
    assert_eq!(
        (&told["status"], &told["team"]),
        (&2.into(), &"greeters".into())
    );
    assert_eq!(
        (&told["source"], &told["page"]),
        (&"paasta-demo".into(), &true.into())
    );
    assert_eq!(told["runbook"], "y/rb-hello");
    assert!(
        told["output"]
            .as_str()
            .is_some_and(|text| text.starts_with("CRITICAL: ")),
        "{told}"
    );

    for service in ["quiet", "hello"] {
        cluster.declare(service, &few);
    }
    let all = eventually("it is over", async || {
        let all = alerts(&cluster, "hello.main");
        (all.last()?["status"] == 0).then_some(all)
    })
    .await;
    let repeats = all
        .windows(2)
        .filter(|pair| pair[0]["status"] == pair[1]["status"]);
    assert_eq!(repeats.count(), 0, "each change is told once: {all:?}");
    assert!(
        alerts(&cluster, "quiet.main").is_empty(),
        "nobody asked to be told"
    );
    let ask = CheckReplicationRequest {
        instances: vec!["quiet.mian".to_owned()],
    };
    let unknown = client
        .check_replication(ask)
        .await
        .expect_err("it does not exist");
    assert!(
        unknown.message().contains("quiet.main"),
        "{}",
        unknown.message()
    );
    let events = cluster.admin(1).events(EventsRequest::default()).await;
    let events = events.expect("it is answered").into_inner().events;
    let said = |instance: &str| {
        let alerts = events
            .iter()
            .filter(|event| event.kind() == EventKind::Alert);
        alerts.filter(|event| event.instance == instance).count()
    };
    assert!(
        said("hello.main") >= 2 && said("quiet.main") >= 1,
        "{events:?}"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_is_told_that_an_alarm_is_over_when_its_instance_is_removed() {
    let cluster = Coordinators::start(1).await;
    let _agents = FakeAgent::several(&cluster, 1).await;
    cluster.declare("other", "main: {instances: 1, cpus: 0.1, mem: 64}");
    cluster.deploy("other", 'a');
    cluster.wait_running("other.main", 1, PATIENCE).await;
    // No host has room for it.
    cluster.declare("hello", "main: {instances: 2, cpus: 100, mem: 64}");
    let monitoring = "team: greeters\n";
    fs::write(soa(&cluster, "hello").join("monitoring.yaml"), monitoring).expect("written");
    cluster.deploy("hello", 'a');
    eventually("it is in alarm", async || {
        let all = alerts(&cluster, "hello.main");
        (all.last()?["status"] == 2).then_some(())
    })
    .await;
    fs::remove_dir_all(soa(&cluster, "hello")).expect("it is there");
    let over = eventually("it is over", async || {
        let last = alerts(&cluster, "hello.main").pop()?;
        (last["status"] == 0).then_some(last)
    })
    .await;
    assert_eq!(over["team"], "greeters");
    assert_eq!(over["output"], "OK: no longer declared or deployed");
    assert!(alerts(&cluster, "other.main").is_empty());
    let status = StatusRequest {
        service: "hello".to_owned(),
        ..StatusRequest::default()
    };
    eventually("it is gone", async || {
        let asked = cluster.admin(1).status(status.clone()).await;
        asked.is_err().then_some(())
    })
    .await;
    cluster.stop().await;
}
