//! Reading logs through whole coordinators.

use paasta_proto::v1::{
    LogComponent, LogLevel, LogLine, LogsPart, LogsRequest, logs_client::LogsClient,
};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use super::{agent::FakeAgent, coordinators::Coordinators};
use crate::PATIENCE;

fn ask(components: &[LogComponent]) -> LogsRequest {
    LogsRequest {
        service: "hello".to_owned(),
        components: components.iter().map(|one| (*one).into()).collect(),
        lines: 100,
        ..LogsRequest::default()
    }
}

async fn read(
    cluster: &Coordinators,
    id: u64,
    request: LogsRequest,
) -> Result<Streaming<LogsPart>, Status> {
    let mut logs = LogsClient::new(cluster.channel(id));
    let answer = timeout(PATIENCE, logs.read(request)).await;
    Ok(answer.expect("an answer in time")?.into_inner())
}

/// The next lines, until `wanted` holds for one of them or the stream ends.
async fn until(
    parts: &mut Streaming<LogsPart>,
    wanted: impl Fn(&LogLine) -> bool,
) -> Result<Vec<LogLine>, Status> {
    let mut lines = Vec::new();
    loop {
        let next = timeout(PATIENCE, parts.message()).await;
        let Some(part) = next.unwrap_or_else(|_| panic!("only {lines:?}"))? else {
            return Ok(lines);
        };
        assert!(part.notices.is_empty(), "{:?}", part.notices);
        lines.extend(part.lines);
        if lines.iter().any(&wanted) {
            return Ok(lines);
        }
    }
}

fn messages(lines: &[LogLine]) -> Vec<String> {
    let messages = lines.iter();
    messages
        .map(|line| String::from_utf8_lossy(&line.message).into_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_coordinator_reads_the_logs_of_all_hosts_and_a_leader_that_goes_says_so() {
    let mut cluster = Coordinators::start(3).await;
    let _agents = FakeAgent::several(&cluster, 2).await;
    cluster.declare("hello", "main: {instances: 3, cpus: 0.1, mem: 64}");
    cluster.deploy("hello", 'a');
    cluster.wait_running("hello.main", 3, PATIENCE).await;
    for id in cluster.ids() {
        let mut parts = read(&cluster, id, ask(&[LogComponent::Stdout]))
            .await
            .unwrap();
        let lines = until(&mut parts, |_| false).await.unwrap();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines.is_sorted_by_key(|line| line.at_ns));
        assert!(lines.iter().all(|line| {
            (
                line.cluster.as_str(),
                line.service.as_str(),
                line.instance.as_str(),
            ) == ("demo", "hello", "main")
                && line.component() == LogComponent::Stdout
                && !line.host.is_empty()
        }));
    }
    refusals(&cluster).await;
    // What is done later follows, on a coordinator that does not lead too.
    let leader = cluster.leader(PATIENCE).await;
    let other = cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    let request = LogsRequest {
        follow: true,
        ..ask(&[LogComponent::Deploy])
    };
    let mut followed = read(&cluster, other, request).await.unwrap();
    let before = until(&mut followed, |line| line.level() == LogLevel::Event)
        .await
        .unwrap();
    assert!(
        before
            .iter()
            .all(|line| line.component() == LogComponent::Deploy)
    );
    cluster.deploy("hello", 'b');
    let is_bounce = |line: &LogLine| String::from_utf8_lossy(&line.message).contains("gitbbbbbbbb");
    let after = until(&mut followed, is_bounce).await.unwrap();
    assert!(
        messages(&after)
            .iter()
            .any(|text| text.contains("gitbbbbbbbb"))
    );
    cluster.kill(leader).await;
    let ended = until(&mut followed, |_| false).await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable, "{ended}");
    cluster.stop().await;
}

async fn refusals(cluster: &Coordinators) {
    let id = cluster.ids()[0];
    for (code, said, request) in [
        (
            Code::NotFound,
            "did you mean hello?",
            LogsRequest {
                service: "helo".to_owned(),
                ..ask(&[])
            },
        ),
        (
            Code::InvalidArgument,
            "service",
            LogsRequest {
                service: String::new(),
                ..ask(&[])
            },
        ),
        (
            Code::InvalidArgument,
            "\"oom\" is not one of stdout, stderr, deploy, monitoring",
            LogsRequest {
                // A program of the version before, which says texts only.
                components_word: vec!["stdout".to_owned(), "oom".to_owned()],
                ..ask(&[])
            },
        ),
    ] {
        let refused = read(cluster, id, request).await;
        let refused = refused.expect_err("it makes no sense");
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(said), "{refused}");
    }
}
