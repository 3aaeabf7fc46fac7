//! The HTTP API, asked of every coordinator: what it answers is what its description says.

use std::{collections::BTreeSet, net::SocketAddr};

use paasta_proto::v1::DeployStatus;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{agent::FakeAgent, coordinators::Coordinators, schema::Description};
use crate::PATIENCE;

pub(crate) struct Said {
    pub(crate) code: u16,
    pub(crate) body: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// GETs a path.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Said {
    send(address, &format!("GET {path} HTTP/1.1"), &[], b"").await
}

/// Sends a request with these headers and this body.
pub(crate) async fn send(
    address: SocketAddr,
    line: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Said {
    let mut head = format!("{line}\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("{head}\r\n").as_bytes()).await?;
        // A server that refuses a body need not read it.
        let _ = stream.write_all(body).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    let answer = answer.expect("an answer in time").expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    Said {
        code: head[9..12].parse().expect("a code"),
        body: body.to_owned(),
    }
}

const HELLO: &str = "
main: {instances: 3, cpus: 0.1, mem: 64, env: {COLOUR: red}, cap_add: [NET_RAW], constraints: [[hostname, UNIQUE]]}
web: {min_instances: 1, max_instances: 2, cpus: 900, mem: 64, cmd: serve, bounce_method: brutal}
";

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_as_its_description_says() {
    let cluster = Coordinators::start_with_http(3).await;
    let _agents = FakeAgent::several(&cluster, 3).await;
    cluster.declare("hello", HELLO);
    cluster.declare("never", "main: {cpus: 0.1, mem: 64}");
    cluster.deploy("hello", 'a');
    let main = cluster.wait_running("hello.main", 3, PATIENCE).await;
    cluster
        .wait("hello.web", PATIENCE, |status| {
            status.deploy_status() == DeployStatus::Waiting
        })
        .await;
    let description = Description(get(cluster.http(1), "/v1/openapi.json").await.json());
    let task = format!("/v1/services/hello/main/tasks/{}", main.replicas[0].id);
    let host = &main.replicas[0].host;
    let fine = [
        ("/version", "/v1/version".to_owned()),
        ("/openapi.json", "/v1/openapi.json".to_owned()),
        ("/services", "/v1/services".to_owned()),
        ("/services/{service}", "/v1/services/hello".to_owned()),
        (
            "/services/{service}/{instance}/status",
            "/v1/services/hello/main/status?verbose".to_owned(),
        ),
        (
            "/services/{service}/{instance}/status",
            "/v1/services/hello/web/status?omit_mesos&stale".to_owned(),
        ),
        (
            "/services/{service}/{instance}/tasks",
            format!("/v1/services/hello/main/tasks?slave_hostname={host}"),
        ),
        ("/services/{service}/{instance}/tasks/{task}", task),
        (
            "/services/{service}/{instance}/delay",
            "/v1/services/hello/web/delay".to_owned(),
        ),
        (
            "/services/{service}/{instance}/marathon_app",
            "/v1/services/hello/main/marathon_app".to_owned(),
        ),
        (
            "/services/{service}/{instance}/marathon_app",
            "/v1/services/hello/web/marathon_app".to_owned(),
        ),
        (
            "/services/{service}/{instance}/autoscaler",
            "/v1/services/hello/web/autoscaler".to_owned(),
        ),
        ("/metastatus", "/v1/metastatus".to_owned()),
        (
            "/resources/utilization",
            "/v1/resources/utilization?groupings=pool,region&filter=pool:default".to_owned(),
        ),
    ];
    // Leader or not, all answer.
    for id in cluster.ids() {
        for (path, asked) in &fine {
            let said = get(cluster.http(id), asked).await;
            assert_eq!(said.code, 200, "{asked}: {}", said.body);
            let wrong = description.faults(path, &said.json());
            assert!(wrong.is_empty(), "{asked}: {wrong:#?}\n{}", said.body);
        }
    }
    let asked: BTreeSet<&str> = fine.iter().map(|(path, _)| *path).collect();
    let unasked: Vec<_> = description
        .paths()
        .into_iter()
        .filter(|path| !asked.contains(path.as_str()))
        .collect();
    assert_eq!(unasked, Vec::<String>::new());
    contents(&cluster, host).await;
    refusals(&cluster).await;
    cluster.stop().await;
}

async fn contents(cluster: &Coordinators, host: &str) {
    let json = async |path: &str| get(cluster.http(1), path).await.json();
    let status = json("/v1/services/hello/main/status?verbose").await;
    for (pointer, expected) in [
        ("/git_sha", "a".repeat(40).into()),
        ("/marathon/app_count", 1.into()),
        ("/marathon/deploy_status", "Running".into()),
        ("/marathon/running_instance_count", 3.into()),
        ("/marathon/app_statuses/0/tasks_healthy", 3.into()),
        ("/marathon/app_statuses/0/tasks/2/is_healthy", true.into()),
        ("/marathon/mesos/running_task_count", 3.into()),
    ] {
        let found: Option<&Value> = status.pointer(pointer);
        assert_eq!(found, Some(&expected), "{pointer} in {status:#}");
    }
    let on_host = json(&format!(
        "/v1/services/hello/main/tasks?slave_hostname={host}"
    ))
    .await;
    assert_eq!(on_host.as_array().map(Vec::len), Some(1));
    let app = json("/v1/services/hello/main/marathon_app").await;
    assert_eq!(app["env"]["COLOUR"], "red");
    assert_eq!(
        app["container"]["docker"]["parameters"][0]["value"],
        "NET_RAW"
    );
    assert!(app["constraints"].to_string().contains("UNIQUE"), "{app:#}");
    assert_eq!(json("/v1/services").await["services"][0][0], "hello");
    let scaled = json("/v1/services/hello/web/autoscaler").await;
    let known = serde_json::json!({
        "desired_instances": 2, "min_instances": 1, "max_instances": 2,
    });
    assert_eq!(scaled, known);
    let utilization = json("/v1/resources/utilization").await;
    assert_eq!(utilization[0]["hosts"], 3, "{utilization:#}");
    assert!((utilization[0]["cpus"]["used"].as_f64().expect("a number") - 0.3).abs() < 1e-9);
}

async fn refusals(cluster: &Coordinators) {
    for (path, code, words) in [
        (
            "/v1/services/hello/mian/status",
            404,
            "demo.mian of hello not found",
        ),
        (
            "/v1/services/hello/mian/tasks",
            404,
            "did you mean hello.main",
        ),
        (
            "/v1/services/helo/main/marathon_app",
            404,
            "demo.main of helo not found",
        ),
        ("/v1/services/never/main/status", 404, "demo.main of never"),
        ("/v1/services/nobody", 404, "/v1/services has the names"),
        ("/v1/services/hello/main/tasks/99", 404, "task 99"),
        ("/v1/services/hello/main/autoscaler", 404, "not autoscaled"),
        ("/v1/services/hello/a%2Fb/status", 400, "a/b"),
        (
            "/v1/resources/utilization?filter=pool",
            400,
            "ATTRIBUTE:VALUE",
        ),
        ("/v1/resources/utilization?groupings=", 400, "groupings"),
        ("/v2", 404, "openapi.json"),
    ] {
        let said = get(cluster.http(2), path).await;
        assert_eq!(said.code, code, "{path}: {}", said.body);
        assert!(said.body.contains(words), "{path}: {}", said.body);
    }
    let idle = get(cluster.http(3), "/v1/services/hello/main/delay").await;
    assert_eq!((idle.code, idle.body.as_str()), (204, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_is_told_and_the_cluster_is_told_of_by_its_leader_only() {
    let mut cluster = Coordinators::start_with_http(3).await;
    let _agents = FakeAgent::several(&cluster, 2).await;
    cluster.declare("hello", "main: {instances: 2, cpus: 0.1, mem: 64}");
    cluster.deploy("hello", 'a');
    cluster.wait_running("hello.main", 2, PATIENCE).await;
    let leader = cluster.leader(PATIENCE).await;
    let lines = [
        "paasta_instances{status=\"running\"} 1",
        "paasta_replicas{class=\"happy\"} 2",
        "paasta_replicas_wanted 2",
        "paasta_hosts{state=\"up\"} 2",
        "paasta_agent_sessions 2",
        "paasta_raft_role{role=\"leader\"} 1",
        "paasta_raft_members{vote=\"voter\"} 3",
        "paasta_bounces{state=\"going\"} 0",
        "paasta_brake_engaged 0",
        "paasta_pool_reserved_cpus{pool=\"default\"} 0.2",
    ];
    // The bounce from nothing is over a moment after everything runs.
    let told = cluster
        .wait_for("the leader tells of it", || async {
            let told = get(cluster.http(leader), "/metrics").await.body;
            lines.iter().all(|line| told.contains(line)).then_some(told)
        })
        .await;
    for name in [
        "paasta_log_fsync_duration_seconds_count",
        "paasta_proposal_duration_seconds_count",
        "paasta_proposals_total{outcome=\"applied\"}",
        "paasta_plan_duration_seconds_count{scope=\"all\"}",
        "paasta_plan_commands_total",
        "paasta_raft_commit_index",
    ] {
        let line = told
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or(name);
        let value = line.rsplit_once(' ').map_or("0", |(_, value)| value);
        assert_ne!(value, "0", "{line}");
    }
    let follower = cluster
        .ids()
        .into_iter()
        .find(|id| *id != leader)
        .expect("another one");
    let told = get(cluster.http(follower), "/metrics").await.body;
    assert!(
        told.contains("paasta_raft_role{role=\"follower\"} 1"),
        "{told}"
    );
    assert!(!told.contains("paasta_instances"), "{told}");

    assert_eq!(get(cluster.http(follower), "/readyz").await.code, 200);
    // Alone it cannot tell what is so, but what was.
    for id in cluster.ids() {
        if id != follower {
            cluster.kill(id).await;
        }
    }
    let address = cluster.http(follower);
    let said = get(address, "/v1/services/hello/main/status").await;
    assert!(
        said.code == 503 && said.body.contains("no leader"),
        "{}",
        said.body
    );
    let said = get(address, "/v1/services/hello/main/status?stale").await;
    assert_eq!(said.json()["marathon"]["expected_instance_count"], 2);
    assert_eq!(get(address, "/healthz").await.code, 200);
    // It takes the silence of a leader for an end when it lasts longer than an election.
    let said = cluster
        .wait_for("it notices", || async {
            let said = get(address, "/readyz").await;
            (said.code == 503).then_some(said)
        })
        .await;
    assert!(
        said.code == 503 && said.body.contains("no leader"),
        "{}",
        said.body
    );
    let told = get(address, "/metrics").await.body;
    assert!(told.contains("paasta_raft_has_leader 0"), "{told}");
    assert!(
        told.contains("paasta_http_requests_total{code=\"503\"} 2"),
        "{told}"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_without_a_cluster_says_so() {
    let mut cluster = Coordinators::start_with_http(1).await;
    let _ = cluster.spare_with_http(7).await;
    cluster.wait_listening(7).await;
    let address = cluster.http(7);
    for path in ["/readyz", "/v1/services", "/v1/metastatus"] {
        let said = get(address, path).await;
        assert!(
            said.code == 503 && said.body.contains("cluster"),
            "{path}: {}",
            said.body
        );
    }
    assert_eq!(get(address, "/healthz").await.code, 200);
    cluster.stop().await;
}
