//! Each way an alert leaves, against a real program or socket; what a new leader tells again.

use std::{fs, sync::Arc};

use paasta_common::{
    app::AppSpec,
    config::SystemConfig,
    id::AppId,
    spec::{BounceSpec, DesiredState, InstanceSpec, Monitoring, RunSettings},
};
use paasta_coordinator_core::state::{
    ClusterState,
    actor::Actor,
    command::{Command, Envelope, Init, SetAlert, SetInstance},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{event::Severity, *};

const PATIENCE: Duration = Duration::from_secs(20);

fn id() -> InstanceId {
    "hello.main".parse().unwrap()
}

pub(super) fn state(team: Option<&str>, critical: bool) -> ClusterState {
    let spec = InstanceSpec {
        app_id: AppId::compose(&id(), "aaaaaaaa", "94232c5b").unwrap(),
        app: Arc::new(AppSpec::default()),
        run: Arc::new(RunSettings::default()),
        instances: 3,
        desired_state: DesiredState::Start,
        force_bounce: None,
        bounce: BounceSpec::default(),
        replication_threshold: 50,
        team: team.map(str::to_owned),
        monitoring: Monitoring {
            page: true,
            tags: vec!["x".to_owned()],
            realert_every: Some(5),
            ..Monitoring::default()
        },
        autoscaling: None,
        namespaces: Default::default(),
    };
    let init = Init {
        cluster_id: "c".to_owned(),
        name: "demo".parse().unwrap(),
    };
    let alert = |critical| {
        Command::SetAlert(SetAlert {
            instance: id(),
            critical,
            text: "CRITICAL: 1 of 3 replicas available".to_owned(),
        })
    };
    let spec = Box::new(spec);
    let mut commands = vec![
        Command::Init(init),
        Command::SetInstance(SetInstance {
            id: id(),
            spec,
            cause: Default::default(),
            extent: Default::default(),
        }),
        alert(true),
    ];
    if !critical {
        commands.push(alert(false));
    }
    let mut state = ClusterState::new();
    for (index, command) in (1..).zip(commands) {
        let envelope = Envelope {
            request_id: None,
            at: Timestamp(index * 1_000),
            by: Actor::system("test"),
            command,
        };
        assert!(state.apply(index, &envelope).is_ok());
    }
    state
}

fn alert(team: Option<&str>, critical: bool) -> Event {
    let state = state(team, critical);
    let (report, alert) = (Report::default(), &state.alerts()[&id()]);
    event::replication(&state, &report, &id(), alert, Duration::from_secs(10)).unwrap()
}

/// The one way that is left when the log is off.
fn output(change: impl FnOnce(&mut SystemConfig)) -> Output {
    let mut system = SystemConfig {
        sensu_host: None,
        ..SystemConfig::default()
    };
    system.alerts.log = false;
    system.alerts.timeout_seconds = 1;
    change(&mut system);
    let mut outputs = output::configured(&system);
    assert_eq!(outputs.len(), 1, "{outputs:?}");
    outputs.remove(0)
}

/// Delivers events and ends; fails when it does not.
async fn deliver(output: &Output, events: Vec<Event>) {
    let (queue, waiting) = mpsc::channel(QUEUE_MAX);
    for event in events {
        queue.try_send(event).unwrap();
    }
    drop(queue);
    let delivered = tokio::time::timeout(PATIENCE, output.deliver(waiting)).await;
    delivered.expect("every wait has an end");
}

#[test]
fn the_event_is_what_sensus_handlers_know() {
    let event: serde_json::Value =
        serde_json::from_str(&alert(Some("greeters"), true).json()).unwrap();
    for (field, value) in [
        (
            "name",
            serde_json::json!("check_paasta_services_replication.hello.main"),
        ),
        ("source", serde_json::json!("paasta-demo")),
        ("status", serde_json::json!(2)),
        ("team", serde_json::json!("greeters")),
        ("page", serde_json::json!(true)),
        ("ticket", serde_json::json!(false)),
        ("tags", serde_json::json!(["x"])),
        ("tip", serde_json::json!("paasta why hello.main")),
        ("check_every", serde_json::json!("10s")),
        ("realert_every", serde_json::json!(5)),
        ("alert_after", serde_json::json!("0s")),
    ] {
        assert_eq!(event[field], value, "{field}");
    }
    assert!(
        event.get("notification_email").is_none(),
        "the team's is Sensu's to know"
    );
    assert_eq!(alert(Some("a"), false).severity(), Severity::Ok);
    let over = alert(Some("a"), true).over("OK: gone");
    assert_eq!(
        (over.severity(), over.headline()),
        (Severity::Ok, "OK: gone")
    );
}

#[test]
fn without_a_team_only_the_log_is_told() {
    let mut system = SystemConfig::default();
    system.alerts.command = vec!["/bin/true".to_owned()];
    system.alerts.webhook = Some("http://h/".to_owned());
    let outputs = output::configured(&system);
    let told = |event: &Event| -> Vec<String> {
        let told = outputs.iter().filter(|output| output.wants(event));
        told.map(ToString::to_string).collect()
    };
    assert_eq!(told(&alert(None, true)), ["log"]);
    let all = [
        "log",
        "command /bin/true",
        "webhook http://h/",
        "sensu localhost:3030",
    ];
    assert_eq!(told(&alert(Some("a"), true)), all);
}

#[tokio::test]
async fn a_command_that_fails_is_run_three_times_and_the_next_event_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("told");
    let script = format!(
        "read line; echo \"$line\" >> {0}; test $(wc -l < {0}) -gt 3",
        file.display()
    );
    let output = output(|system| {
        system.alerts.command = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
    });
    deliver(
        &output,
        vec![alert(Some("a"), true), alert(Some("a"), false)],
    )
    .await;
    let told = fs::read_to_string(&file).unwrap();
    let status =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["status"].clone();
    let told: Vec<_> = told.lines().map(status).collect();
    assert_eq!(told, [2, 2, 2, 0]);
}

#[tokio::test]
async fn a_command_that_hangs_is_ended() {
    let output = output(|system| {
        system.alerts.command = vec!["/bin/sleep".to_owned(), "600".to_owned()];
    });
    deliver(&output, vec![alert(Some("a"), true)]).await;
}

/// Reads until `end` has come, or the other side ends.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    while !String::from_utf8_lossy(&text).contains(end) {
        match stream.read(&mut part).await.unwrap() {
            0 => break,
            count => text.extend_from_slice(&part[..count]),
        }
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_webhook_is_posted_to_until_it_thanks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/paasta", listener.local_addr().unwrap());
    let output = output(|system| system.alerts.webhook = Some(url));
    let server = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in ["500 Internal Server Error", "204 No Content"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            requests.push(read_until(&mut stream, "\"alert_after\":\"0s\"}").await);
            let answer =
                format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        requests
    });
    deliver(&output, vec![alert(Some("a"), true)]).await;
    let requests = tokio::time::timeout(PATIENCE, server)
        .await
        .unwrap()
        .unwrap();
    for request in requests {
        assert!(
            request.starts_with("POST /paasta HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains("content-type: application/json"),
            "{request}"
        );
        assert!(
            request.ends_with(&alert(Some("a"), true).json()),
            "{request}"
        );
    }
}

#[tokio::test]
async fn an_absent_sensu_client_at_the_default_address_is_no_error() {
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = refusing.local_addr().unwrap().port();
    drop(refusing);
    let sent = |named| async move {
        let output = output(|system| {
            system.sensu_host = Some("127.0.0.1".to_owned());
            (system.sensu_port, system.sensu_named) = (port, named);
        });
        deliver(&output, vec![alert(Some("a"), true)]).await;
    };
    let log = Levels::default();
    let _log = tracing::subscriber::set_default(log.clone());
    let loud = |level: &tracing::Level| *level <= tracing::Level::INFO;
    let logged = || log.take().into_iter().filter(loud).collect::<Vec<_>>();
    // One that is named is tried again and given up loudly. The pauses between the tries are by
    // chance, so the test counts tries and measures no time.
    sent(true).await;
    let (warn, error) = (tracing::Level::WARN, tracing::Level::ERROR);
    assert_eq!(logged(), [warn, warn, error]);
    sent(false).await;
    let quiet = logged();
    assert!(quiet.is_empty(), "{quiet:?}");
}

/// The levels of what is logged about alerts.
#[derive(Clone, Default)]
struct Levels(Arc<parking_lot::Mutex<Vec<tracing::Level>>>);

impl Levels {
    fn take(&self) -> Vec<tracing::Level> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl tracing::Subscriber for Levels {
    fn enabled(&self, of: &tracing::Metadata<'_>) -> bool {
        of.target().contains("alerts")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        self.0.lock().push(*event.metadata().level());
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn a_sensu_client_is_given_the_event() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let output = output(|system| {
        system.sensu_host = Some("127.0.0.1".to_owned());
        system.sensu_port = port;
    });
    let client = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, "never").await
    });
    deliver(&output, vec![alert(Some("a"), true)]).await;
    let told = tokio::time::timeout(PATIENCE, client)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told, alert(Some("a"), true).json());
}

#[test]
fn a_new_leader_tells_again_what_may_not_have_been_told() {
    let every = Duration::from_secs(10);
    let begun = Timestamp(AGAIN_MS + 3_500);
    let mut told = BTreeMap::new();
    let mut tell = |state: &ClusterState, begun| -> Vec<(Severity, Option<String>)> {
        let news = news(state, &Report::default(), &mut told, begun, every);
        news.into_iter()
            .map(|event| (event.severity(), event.team))
            .collect()
    };
    let team = Some("a".to_owned());
    // In alarm, however long, and whichever team was named since.
    assert_eq!(
        tell(&state(None, true), begun),
        [(Severity::Critical, None)]
    );
    assert_eq!(tell(&state(None, true), begun), []);
    assert_eq!(
        tell(&state(Some("a"), true), begun),
        [(Severity::Critical, team.clone())]
    );
    // Over, lately.
    assert_eq!(
        tell(&state(Some("a"), false), begun),
        [(Severity::Ok, team.clone())]
    );
    assert_eq!(tell(&state(Some("b"), false), begun), []);
    // Gone with its instance.
    assert_eq!(
        tell(&state(Some("a"), true), begun),
        [(Severity::Critical, team.clone())]
    );
    assert_eq!(tell(&ClusterState::new(), begun), [(Severity::Ok, team)]);
    assert_eq!(tell(&ClusterState::new(), begun), []);
    // Over for long.
    assert_eq!(
        tell(&state(Some("a"), false), Timestamp(AGAIN_MS + 5_000)),
        []
    );
}
