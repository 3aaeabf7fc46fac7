//! The settings that decide what a container is are the cluster's: coordinators whose files differ
//! are named and change nothing, and a change takes effect by a majority or by an operator.

use std::time::Duration;

use paasta_proto::v1::{
    ApplySettingsRequest, Asker, DescribeRequest, DiffSettingsRequest, DiffSettingsResponse,
    MetastatusRequest, OperateResponse, RequestOutcome, SettingsDrift, SettingsState,
    TransferLeaderRequest, settings_client::SettingsClient,
};
use tokio::time::{Instant, sleep};

use crate::{
    PATIENCE,
    cluster::{agent::FakeAgent, coordinators::Coordinators},
};

const STEP: Duration = Duration::from_millis(50);
const SMALL: &str = "main: {instances: 1, cpus: 0.1, mem: 64}";

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

fn replicas(agents: &[FakeAgent]) -> Vec<u64> {
    let mut all: Vec<u64> = agents.iter().flat_map(FakeAgent::replicas).collect();
    all.sort_unstable();
    all
}

async fn drift(cluster: &Coordinators) -> Option<Vec<SettingsDrift>> {
    let mut admin = cluster.admin(1);
    let told = admin.metastatus(MetastatusRequest::default()).await;
    Some(told.ok()?.into_inner().settings_drift)
}

async fn diff(cluster: &Coordinators, from: u64) -> Result<DiffSettingsResponse, tonic::Status> {
    let mut client = SettingsClient::new(cluster.channel(1));
    let answer = client.diff(DiffSettingsRequest { from }).await?;
    Ok(answer.into_inner())
}

async fn apply(cluster: &Coordinators, id: &str, from: u64, digest: &str) -> OperateResponse {
    let ask = ApplySettingsRequest {
        asker: Some(Asker {
            request_id: id.to_owned(),
            by: "ann@desk".to_owned(),
        }),
        from,
        digest: digest.to_owned(),
    };
    let mut client = SettingsClient::new(cluster.channel(1));
    let answer = client.apply(ask).await.expect("it is answered");
    answer.into_inner()
}

/// The host paths that the containers of the instance mount.
async fn mounts(cluster: &Coordinators, instance: &str) -> Option<Vec<String>> {
    let ask = DescribeRequest {
        instance: instance.to_owned(),
        ..DescribeRequest::default()
    };
    let told = cluster.admin(1).describe(ask).await.ok()?.into_inner();
    let volumes = told.spec?.volumes.into_iter();
    Some(volumes.map(|volume| volume.host_path).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn coordinators_whose_files_differ_bounce_nothing_and_are_named() {
    let mut cluster = Coordinators::start_drifted(3, &[(2, "/etc/ssl")]).await;
    let agents = FakeAgent::several(&cluster, 2).await;
    for service in ["a", "b"] {
        cluster.declare(service, SMALL);
        cluster.deploy(service, 'a');
    }
    for instance in ["a.main", "b.main"] {
        cluster.wait_running(instance, 1, PATIENCE).await;
    }
    let before = replicas(&agents);
    let adopted = mounts(&cluster, "a.main").await.expect("it runs");
    let differing = if adopted.is_empty() {
        vec![2]
    } else {
        vec![1, 3]
    };
    for to in [2, 1, 3, 2] {
        if cluster.leader(PATIENCE).await != to {
            let transfer = TransferLeaderRequest {
                to,
                ..TransferLeaderRequest::default()
            };
            let moved = cluster.members(1).transfer_leader(transfer).await;
            moved.expect("it is handed over");
        }
        let named = eventually("the drift is named", async || {
            let told = drift(&cluster).await?;
            let ids: Vec<u64> = told.iter().map(|one| one.id).collect();
            (ids == differing).then_some(told)
        })
        .await;
        assert!(named.iter().all(|one| one.keys == ["volumes"]), "{named:?}");
        sleep(Duration::from_secs(3)).await;
        assert_eq!(replicas(&agents), before, "coordinator {to} leads");
    }

    // A preview, and an operator who means it.
    let shown = diff(&cluster, 0).await.expect("it is answered");
    assert_eq!(shown.from, differing[0]);
    let bounces: Vec<&str> = shown
        .bounces
        .iter()
        .map(|one| one.instance.as_str())
        .collect();
    assert_eq!(bounces, ["a.main", "b.main"]);
    assert!(shown.refused.is_empty(), "{shown:?}");
    let other = shown.coordinators.iter().find(|one| one.id == shown.from);
    let other = other.expect("it is listed");
    assert_eq!(
        (other.state(), other.differences.len()),
        (SettingsState::Differs, 1)
    );
    let unknown = diff(&cluster, 9).await.expect_err("there is none");
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    let refused = apply(&cluster, "one", shown.from, "0123456789abcdef").await;
    assert_eq!(
        refused.outcome(),
        RequestOutcome::Refused,
        "{}",
        refused.text
    );
    assert_eq!(replicas(&agents), before);
    let done = apply(&cluster, "two", shown.from, &shown.digest).await;
    assert_eq!(done.outcome(), RequestOutcome::Done, "{}", done.text);
    eventually("both bounce", async || {
        let now = replicas(&agents);
        let all_new = now.len() == 2 && now.iter().all(|id| !before.contains(id));
        all_new.then_some(())
    })
    .await;
    let applied = mounts(&cluster, "a.main").await.expect("it runs");
    assert_ne!(applied, adopted);
    // Most files say otherwise, and nobody touched them: what was applied stays.
    let after = replicas(&agents);
    sleep(Duration::from_secs(8)).await;
    assert_eq!(replicas(&agents), after);

    // Files that are changed count when most of them agree.
    cluster.set_volumes(&[(1, "/srv"), (2, "/srv"), (3, "/srv")]);
    for id in [1, 3] {
        assert_eq!(
            mounts(&cluster, "a.main").await.as_ref(),
            Some(&applied),
            "before {id}"
        );
        cluster.kill(id).await;
        cluster.restart(id).await;
        cluster.wait_caught_up(id, PATIENCE).await;
        sleep(Duration::from_secs(1)).await;
    }
    eventually("most of the files are obeyed", async || {
        let mounts = mounts(&cluster, "a.main").await?;
        (mounts == ["/srv"]).then_some(())
    })
    .await;
    let drifts = eventually("the last one is named", async || {
        let told = drift(&cluster).await?;
        let ids: Vec<u64> = told.iter().map(|one| one.id).collect();
        (ids == [2]).then_some(told)
    })
    .await;
    assert_eq!(drifts[0].keys, ["volumes"]);
    cluster.stop().await;
}
