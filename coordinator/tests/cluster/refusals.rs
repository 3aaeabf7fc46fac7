//! What a running coordinator refuses of the desired state: it is named where people look, nothing
//! of it is placed or shown, and every other service goes on.

use std::{fs, os::unix::fs::symlink};

use paasta_proto::v1::{EventsRequest, InstanceStatus, MetastatusRequest, StatusRequest};

use super::http::get;
use crate::{
    PATIENCE,
    cluster::{agent::FakeAgent, coordinators::Coordinators},
};

const SMALL: &str = "main: {instances: 1, cpus: 0.1, mem: 64}";
/// What stands outside the soa directory and must stand nowhere else.
const SECRET: &str = "s3cr3tTOKEN";

/// All that a status of the service says, be it that there is none.
async fn status(cluster: &Coordinators, service: &str) -> String {
    let ask = StatusRequest {
        service: service.to_owned(),
        replicas: true,
        ..StatusRequest::default()
    };
    match cluster.admin(1).status(ask).await {
        Ok(answer) => format!("{answer:?}"),
        Err(status) => status.message().to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_does_not_allow_is_named_and_not_placed() {
    let cluster = Coordinators::start(1).await;
    let agents = FakeAgent::several(&cluster, 2).await;
    let refused = [
        ("caps", "cap_add: [SYS_ADMIN]", "cap_add", "allowed_cap_add"),
        ("bare", "net: host", "net", "allow_host_network"),
        (
            "shm",
            "extra_docker_args: {shm-size: 2g}",
            "extra_docker_args",
            "max_shm_size_mb",
        ),
    ];
    for (service, line, ..) in refused {
        let yaml = format!("main: {{instances: 1, cpus: 0.1, mem: 64, {line}}}");
        cluster.declare(service, &yaml);
        cluster.deploy(service, 'a');
    }
    // After them by name and in time.
    cluster.declare("web", SMALL);
    cluster.deploy("web", 'a');
    cluster.wait_running("web.main", 1, PATIENCE).await;
    for (service, _, field, setting) in refused {
        let seen = |status: &InstanceStatus| !status.problems.is_empty();
        let one = cluster
            .wait(&format!("{service}.main"), PATIENCE, seen)
            .await;
        assert_eq!(one.problems.len(), 1, "{:?}", one.problems);
        let problem = &one.problems[0];
        assert_eq!(problem.file, format!("{service}/marathon-demo.yaml"));
        assert_eq!(problem.field, format!("main.{field}"));
        assert!(problem.message.contains(setting), "{problem:?}");
        assert!(one.replicas.is_empty(), "{:?}", one.replicas);
    }

    // What runs stays as it is when it asks for too much, and the others are deployed.
    cluster.declare("web", "main: {instances: 3, cpus: 0.1, mem: 64, net: host}");
    cluster.declare("other", SMALL);
    cluster.deploy("other", 'a');
    cluster.wait_running("other.main", 1, PATIENCE).await;
    let web = cluster
        .wait("web.main", PATIENCE, |status| !status.problems.is_empty())
        .await;
    assert_eq!((web.wanted, web.replicas.len()), (1, 1));
    let running: usize = agents.iter().map(FakeAgent::running).sum();
    assert_eq!(running, 2, "web and other only");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_out_of_the_soa_directory_is_refused_by_name_and_shows_nothing() {
    let cluster = Coordinators::start_with_http(1).await;
    let agents = FakeAgent::several(&cluster, 1).await;
    let outside = cluster.scratch().join("outside");
    fs::create_dir(&outside).expect("a directory");
    let (declared, torn) = (outside.join("declared.yaml"), outside.join("torn.yaml"));
    let env = format!("main: {{instances: 2, cpus: 0.1, mem: 64, env: {{KEY: {SECRET}}}}}");
    fs::write(&declared, env).expect("written");
    // An error in it would be shown with the line.
    fs::write(&torn, format!("{SECRET}: {{mem: {SECRET}\n")).expect("written");
    cluster.declare("hello", SMALL);
    cluster.deploy("hello", 'a');
    cluster.wait_running("hello.main", 1, PATIENCE).await;

    let file = |service: &str| cluster.soa().join(service).join("marathon-demo.yaml");
    for (service, target) in [("hello", &declared), ("new", &declared), ("torn", &torn)] {
        cluster.declare(service, SMALL);
        fs::remove_file(file(service)).expect("just written");
        symlink(target, file(service)).expect("linked");
        cluster.deploy(service, 'a');
    }
    let mut seen = String::new();
    for service in ["hello", "new", "torn"] {
        let words = format!("{service}/marathon-demo.yaml: is a symbolic link to ");
        let told = || async {
            let told = status(&cluster, service).await;
            (told.contains(&words) && told.contains("is not in the soa directory")).then_some(told)
        };
        seen += &cluster.wait_for("the link is named", told).await;
    }
    let running: usize = agents.iter().map(FakeAgent::running).sum();
    assert_eq!(running, 1, "what ran runs, and nothing of the links");

    let mut admin = cluster.admin(1);
    let events = admin.events(EventsRequest::default()).await;
    seen += &format!("{:?}", events.expect("it is answered"));
    let meta = admin.metastatus(MetastatusRequest::default()).await;
    seen += &format!("{:?}", meta.expect("it is answered"));
    seen += &status(&cluster, "").await;
    for path in [
        "/metrics",
        "/v1/services",
        "/v1/services/hello/main/status?verbose",
        "/v1/metastatus",
    ] {
        let said = get(cluster.http(1), path).await;
        assert_eq!(said.code, 200, "{path}: {}", said.body);
        seen += &said.body;
    }
    assert!(seen.contains("declared.yaml"), "the link itself is named");
    assert!(!seen.contains(SECRET), "{seen}");
    cluster.stop().await;
}
