//! A change of the cluster's settings, which touches every instance, on whole coordinators: few
//! bounce at a time, and a deploy of one instance does not wait for the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use paasta_proto::v1::{
    ApplySettingsRequest, Asker, DeployStatus, DiffSettingsRequest, RequestOutcome, StatusRequest,
    settings_client::SettingsClient,
};
use tokio::time::{Instant, sleep};

use crate::{
    PATIENCE,
    cluster::{agent::FakeAgent, coordinators::Coordinators},
};

const INSTANCES: usize = 30;
/// 10 % of them.
const AT_ONCE: usize = 3;
const SMALL: &str = "main: {instances: 1, cpus: 0.1, mem: 64}";

/// Applies the `volumes` of a coordinator whose file differs.
async fn apply(cluster: &Coordinators) {
    let mut client = SettingsClient::new(cluster.channel(1));
    let shown = client.diff(DiffSettingsRequest { from: 0 }).await;
    let shown = shown.expect("it is answered").into_inner();
    assert_eq!(shown.bounces.len(), INSTANCES, "{shown:?}");
    let ask = ApplySettingsRequest {
        asker: Some(Asker {
            request_id: "one".to_owned(),
            by: "ann@desk".to_owned(),
        }),
        from: shown.from,
        digest: shown.digest,
    };
    let done = client.apply(ask).await.expect("it is answered");
    assert_eq!(done.get_ref().outcome(), RequestOutcome::Done, "{done:?}");
}

/// What is seen of all instances in one look.
struct Look {
    /// Those of which a version comes or goes, without the one that is deployed.
    bouncing: BTreeSet<String>,
    /// The version of each instance's replicas, where there is one only.
    settled: BTreeMap<String, String>,
    /// Whether the deploy has ended.
    deployed: bool,
}

/// Everything in one answer, so that all of it is of the same moment.
async fn look(cluster: &Coordinators, deployed: &str) -> Option<Look> {
    let ask = StatusRequest {
        replicas: true,
        ..StatusRequest::default()
    };
    let answer = cluster.admin(1).status(ask).await.ok()?.into_inner();
    let mut seen = Look {
        bouncing: BTreeSet::new(),
        settled: BTreeMap::new(),
        deployed: false,
    };
    for one in answer.instances {
        let apps: BTreeSet<String> = one.replicas.iter().map(|one| one.app.clone()).collect();
        let name = format!("{}.{}", one.service, one.instance);
        if name == deployed {
            seen.deployed = one.git_sha.starts_with('b')
                && one.deploy_status() == DeployStatus::Running
                && one.bounce.is_none()
                && apps.len() == 1;
        } else if apps.len() > 1 || one.bounce.is_some() {
            seen.bouncing.insert(name);
        } else if let Some(app) = apps.into_iter().next() {
            seen.settled.insert(name, app);
        }
    }
    Some(seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_volumes_bounces_a_tenth_at_a_time_and_a_deploy_goes_before_it() {
    let cluster = Coordinators::start_drifted(3, &[(2, "/etc/ssl")]).await;
    let agents = FakeAgent::several(&cluster, 3).await;
    let services: Vec<String> = (0..INSTANCES).map(|at| format!("s{at:02}")).collect();
    for service in &services {
        cluster.declare(service, SMALL);
        cluster.deploy(service, 'a');
    }
    for service in &services {
        let instance = format!("{service}.main");
        cluster.wait_running(&instance, 1, PATIENCE).await;
    }
    // Its turn comes last.
    let last = services.last().expect("there are some");
    let deployed = format!("{last}.main");
    let before = look(&cluster, &deployed).await.expect("it is answered");
    assert_eq!(before.settled.len(), INSTANCES - 1);
    agents[0].slow_down(Duration::from_millis(400));
    apply(&cluster).await;
    cluster.deploy(last, 'b');

    let mut bounced: BTreeSet<String> = BTreeSet::new();
    let (mut most, mut waited) = (0, None);
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "only {bounced:?} bounced");
        let Some(seen) = look(&cluster, &deployed).await else {
            continue;
        };
        let count = seen.bouncing.len();
        assert!(count <= AT_ONCE, "{:?} bounce at once", seen.bouncing);
        most = most.max(count);
        bounced.extend(seen.bouncing);
        let old = |(name, app): &(&String, &String)| before.settled.get(*name) == Some(*app);
        let waiting = seen.settled.iter().filter(old).count();
        if seen.deployed && waited.is_none() {
            waited = Some(waiting);
        }
        if waiting == 0 && seen.settled.len() == INSTANCES - 1 && seen.deployed {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    println!("{most} at once at most, {waited:?} waited when the deploy had ended");
    assert_eq!(most, AT_ONCE, "as many as may bounce at once do");
    let waited = waited.expect("it has ended");
    assert!(waited > 0, "the deploy ended after the change");
    cluster.stop().await;
}
