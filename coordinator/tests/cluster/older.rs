//! An agent of 0.1.0: it says each closed set of words as text, and reads the texts alone. The codec
//! of this version is not used on its side, so what is on the wire is what it sees.

use std::time::Duration;

use http::uri::PathAndQuery;
use paasta_common::{
    assignment::{Assignment, Want},
    report::{HostReport, Phase, ReplicaReport, Runtime},
};
use paasta_proto::{
    convert,
    texts::Texts as _,
    v1::{
        self, AgentMessage, CoordinatorMessage, Hello, Renewal, ReplicaClass, agent_message::Kind,
        coordinator_message,
    },
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use super::{
    agent::{info, now, well},
    coordinators::Coordinators,
};
use crate::PATIENCE;

type OldCodec = ProstCodec<AgentMessage, CoordinatorMessage>;

/// Leaves the texts alone in an assignment; each must be there.
fn read_texts_only(mut wire: v1::Assignment) -> v1::Assignment {
    for replica in &mut wire.replicas {
        assert_ne!((replica.want, replica.want_word.as_str()), (0, ""));
        replica.want = 0;
        let run = replica.run.as_mut().expect("it is run somehow");
        let drain = run.drain.as_mut().expect("it leaves somehow");
        assert_eq!(drain.name_word, "noop");
        drain.name = 0;
    }
    for app in wire.apps.values_mut() {
        assert_eq!(app.net_word, "bridge");
        app.net = None;
        if let Some(check) = &mut app.health {
            assert_eq!(check.mode_word, "http");
            check.mode = 0;
        }
    }
    wire.read_texts();
    wire
}

/// What it runs, in texts.
fn report(held: Option<&Assignment>) -> Kind {
    let replicas = held.iter().flat_map(|held| &held.replicas);
    let replicas = replicas.filter(|(_, replica)| replica.want != Want::Stop);
    let report = HostReport {
        complete: true,
        replicas: replicas
            .map(|(id, replica)| ReplicaReport {
                phase: Phase::Running,
                ..well(*id, replica)
            })
            .collect(),
        runtime: Runtime::Ok,
        generation: held.map_or(0, |held| held.fence.generation),
        disk_limits: None,
    };
    let mut wire = convert::report_to_wire(&report, now());
    wire.write_texts();
    for replica in &mut wire.replicas {
        assert_eq!(replica.phase_word, "running");
        (replica.phase, replica.health) = (0, 0);
    }
    Kind::Report(wire)
}

/// One session, until it ends.
async fn session(address: String) {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
    let mut grpc = Grpc::new(endpoint.connect().await.expect("it listens"));
    grpc.ready().await.expect("it is connected");
    let (outbox, messages) = mpsc::channel(16);
    let hello = Hello {
        host: Some(convert::host_to_wire(&info(1))),
        boot_id: "boot".to_owned(),
        cluster: "demo".to_owned(),
        ..Hello::default()
    };
    let say = async |kind| {
        let message = AgentMessage { kind: Some(kind) };
        outbox.send(message).await.is_ok()
    };
    assert!(say(Kind::Hello(hello)).await && say(report(None)).await);
    let path = PathAndQuery::from_static("/paasta.v1.Agents/Session");
    let request = Request::new(ReceiverStream::new(messages));
    let answers = grpc.streaming(request, path, OldCodec::default()).await;
    let mut answers = answers.expect("it is served").into_inner();
    let mut held = None;
    loop {
        let next = timeout(Duration::from_millis(200), answers.message()).await;
        let kind = match next {
            Err(_) => Kind::Renewal(Renewal::default()),
            Ok(Ok(Some(message))) => match message.kind {
                Some(coordinator_message::Kind::Assignment(wire)) => {
                    let wire = read_texts_only(wire);
                    let next = convert::apply_wire(held.as_ref(), wire).expect("it applies");
                    let kind = report(Some(&next));
                    held = Some(next);
                    kind
                }
                _ => continue,
            },
            Ok(_) => return,
        };
        if !say(kind).await {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_agent_is_read_and_reads_what_it_must_run() {
    let cluster = Coordinators::start(1).await;
    cluster.leader(PATIENCE).await;
    let agent = tokio::spawn(session(cluster.addresses()[0].clone()));
    cluster.wait_hosts(1).await;
    cluster.declare(
        "hello",
        "main: {instances: 2, cpus: 0.1, mem: 64, healthcheck_mode: http, drain_method: noop}",
    );
    cluster.deploy("hello", 'a');
    cluster.wait_running("hello.main", 2, PATIENCE).await;
    let happy = |status: &v1::InstanceStatus| {
        let mut replicas = status.replicas.iter();
        replicas.all(|replica| replica.class() == ReplicaClass::Happy)
    };
    let status = cluster.wait("hello.main", PATIENCE, happy).await;
    assert_eq!(status.replicas.len(), 2);
    for replica in &status.replicas {
        assert_eq!(replica.unrecognized, Vec::<String>::new());
    }
    assert!(!agent.is_finished(), "the session goes on");
    agent.abort();
    cluster.stop().await;
}
