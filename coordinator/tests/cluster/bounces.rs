//! What operators do about bounces, on whole coordinators: see one that is held, resume it, go back
//! and forth, and have every replica replaced.

use paasta_proto::v1::{
    Asker, BounceState, BounceStatusRequest, DeployStatus, EventsRequest, ForceBounceRequest,
    InstanceBounce, InstanceStatus, OperateResponse, RequestOutcome, ResumeBounceRequest,
    RollBackRequest, WaitingKind, bounces_client::BouncesClient,
};
use tonic::transport::Channel;

use crate::{
    PATIENCE,
    cluster::{agent::FakeAgent, coordinators::Coordinators},
};

const SMALL: &str =
    "main: {instances: 3, cpus: 0.1, mem: 64, bounce_health_params: {min_task_uptime: 0}}";
/// No host has room for it, and nobody waits long.
const LARGE: &str = "main: {instances: 3, cpus: 100, mem: 64, bounce_health_params: {min_task_uptime: 0}, bounce_on_deadline: hold, bounce_progress_deadline: 1}";

fn asker(request_id: &str) -> Option<Asker> {
    Some(Asker {
        request_id: request_id.to_owned(),
        by: "ann@desk".to_owned(),
    })
}

async fn shown(client: &mut BouncesClient<Channel>, instances: &[&str]) -> Vec<InstanceBounce> {
    let instances = instances.iter().map(|name| (*name).to_owned()).collect();
    let answer = client
        .bounce_status(BounceStatusRequest { instances })
        .await;
    answer.expect("it is answered").into_inner().instances
}

async fn resume(client: &mut BouncesClient<Channel>, id: &str) -> OperateResponse {
    let ask = ResumeBounceRequest {
        asker: asker(id),
        instance: "hello.main".to_owned(),
        reason: "another try".to_owned(),
    };
    let answer = client.resume_bounce(ask).await;
    answer.expect("it is answered").into_inner()
}

async fn roll_back(
    client: &mut BouncesClient<Channel>,
    id: &str,
    instance: &str,
    app: &str,
) -> Result<OperateResponse, tonic::Status> {
    let ask = RollBackRequest {
        asker: asker(id),
        instance: instance.to_owned(),
        reason: "pages are slow".to_owned(),
        app: app.to_owned(),
    };
    let answer = client.roll_back(ask).await;
    answer.map(tonic::Response::into_inner)
}

async fn force(client: &mut BouncesClient<Channel>, id: &str) -> OperateResponse {
    let ask = ForceBounceRequest {
        asker: asker(id),
        instance: "hello.main".to_owned(),
        reason: "a leak".to_owned(),
    };
    let answer = client.force_bounce(ask).await;
    answer.expect("it is answered").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_bounce_is_resumed_rolled_back_and_gone_forward_with_again() {
    let cluster = Coordinators::start(3).await;
    let _agents = FakeAgent::several(&cluster, 3).await;
    let leader = cluster.leader(PATIENCE).await;
    let other = cluster.ids().into_iter().find(|id| *id != leader);
    let mut client = BouncesClient::new(cluster.channel(other.expect("three")));
    cluster.declare("hello", SMALL);
    cluster.deploy("hello", 'a');
    let is_over = |status: &InstanceStatus| {
        status.deploy_status() == DeployStatus::Running && status.bounce.is_none()
    };
    let first = cluster.wait("hello.main", PATIENCE, is_over).await;
    assert_eq!(shown(&mut client, &[]).await, []);
    let calm = shown(&mut client, &["hello.main"]).await.remove(0);
    assert_eq!((calm.bounce, calm.rollback_to.as_str()), (None, ""));
    let unchanged = resume(&mut client, "r0").await;
    assert_eq!(
        unchanged.outcome(),
        RequestOutcome::Unchanged,
        "{}",
        unchanged.text
    );

    cluster.declare("hello", LARGE);
    cluster.deploy("hello", 'b');
    let is_held = |status: &InstanceStatus| status.deploy_status() == DeployStatus::Held;
    let held = cluster.wait("hello.main", PATIENCE, is_held).await;
    let bounce = shown(&mut client, &[]).await.remove(0);
    assert_eq!(bounce.rollback_to, first.desired_app);
    assert_eq!(
        bounce.bounce.expect("it is held").state(),
        BounceState::Held
    );
    let line = bounce.line.expect("it has numbers");
    assert_eq!((line.to_bring_up, line.old_happy, line.old_apps), (3, 3, 1));

    // It is done once: the repetition does not wake what is held again.
    assert_eq!(
        resume(&mut client, "r1").await.outcome(),
        RequestOutcome::Done
    );
    cluster.wait("hello.main", PATIENCE, is_held).await;
    assert_eq!(
        resume(&mut client, "r1").await.outcome(),
        RequestOutcome::Done
    );
    let state = shown(&mut client, &["hello.main"]).await.remove(0).bounce;
    assert_eq!(state.expect("it bounces").state(), BounceState::Held);

    let unknown = roll_back(&mut client, "b0", "hello.mian", "").await;
    let unknown = unknown.expect_err("there is no such instance");
    assert!(unknown.message().contains("hello.main"), "{unknown}");
    let foreign = "hello.main.git99999999.config99999999";
    let refused = roll_back(&mut client, "b1", "hello.main", foreign).await;
    let refused = refused.expect("it is answered");
    assert_eq!(
        refused.outcome(),
        RequestOutcome::Refused,
        "{}",
        refused.text
    );
    for _ in 0..2 {
        let done = roll_back(&mut client, "b2", "hello.main", "").await;
        let done = done.expect("it is answered");
        assert_eq!(done.outcome(), RequestOutcome::Done, "{}", done.text);
        assert!(done.text.contains(&first.desired_app), "{}", done.text);
    }
    let is_back = |status: &InstanceStatus| {
        let pinned = status
            .waiting
            .iter()
            .any(|waiting| waiting.kind() == WaitingKind::Pinned);
        pinned && status.deploy_status() == DeployStatus::Running
    };
    let back = cluster.wait("hello.main", PATIENCE, is_back).await;
    assert_eq!(back.desired_app, first.desired_app);

    assert_eq!(
        resume(&mut client, "r2").await.outcome(),
        RequestOutcome::Done
    );
    let again = cluster.wait("hello.main", PATIENCE, is_held).await;
    assert_eq!(again.desired_app, held.desired_app);
    let events = cluster.admin(1).events(EventsRequest::default()).await;
    let events = events.expect("it is answered").into_inner().events;
    let said = |text: &str| {
        let mine = events
            .iter()
            .filter(|event| event.by == "\"ann@desk\" (claimed)");
        mine.filter(|event| event.text.contains(text)).count()
    };
    assert_eq!((said("another try"), said("pages are slow")), (2, 1));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_deploy_is_no_bounce_and_a_forced_bounce_replaces_every_replica() {
    let cluster = Coordinators::start(1).await;
    let agents = FakeAgent::several(&cluster, 3).await;
    cluster.declare("hello", LARGE);
    cluster.deploy("hello", 'a');
    let first = cluster
        .wait("hello.main", PATIENCE, |status| status.bounce.is_some())
        .await;
    assert!(
        matches!(
            first.deploy_status(),
            DeployStatus::Deploying | DeployStatus::Waiting
        ),
        "{first:?}"
    );
    assert_eq!(first.bounce.expect("it is there").from, [""; 0]);
    cluster.declare("hello", SMALL);
    let running = cluster.wait_running("hello.main", 3, PATIENCE).await;
    let replicas = || -> Vec<u64> { agents.iter().flat_map(FakeAgent::replicas).collect() };
    let before = replicas();
    let mut client = BouncesClient::new(cluster.channel(1));
    for _ in 0..2 {
        let done = force(&mut client, "f1").await;
        assert_eq!(done.outcome(), RequestOutcome::Done, "{}", done.text);
    }
    // In the end a forced bounce leaves nothing to wait for.
    let is_over = |status: &InstanceStatus| {
        let another = status.desired_app != running.desired_app;
        another && status.deploy_status() == DeployStatus::Running && status.waiting.is_empty()
    };
    let forced = cluster.wait("hello.main", PATIENCE, is_over).await;
    assert_eq!(forced.git_sha, running.git_sha);
    assert!(replicas().iter().all(|id| !before.contains(id)));
    let fewest = agents[0].fewest_serving();
    assert!(fewest >= 3, "crossover let {fewest} of 3 replicas serve");
    cluster.stop().await;
}
