//! A pool's overcommit from the leader's configuration to where replicas are placed, and what happens
//! when it is lowered.

use paasta_common::overcommit::{Overcommit, Pools};
use paasta_proto::v1::{EventsRequest, InstanceStatus, MetastatusRequest, PoolStatus};

use crate::{
    PATIENCE,
    cluster::{agent::FakeAgent, coordinators::Coordinators},
};

fn declare(cluster: &Coordinators, instances: u32) {
    let yaml = format!(
        "main: {{instances: {instances}, cpus: 1, mem: 64, bounce_health_params: {{min_task_uptime: 0}}}}"
    );
    cluster.declare("hello", &yaml);
}

fn cpus(milli: u32) -> Pools {
    let factors = Overcommit {
        cpus_milli: milli,
        ..Overcommit::default()
    };
    Pools::from([("default".to_owned(), factors)])
}

/// The only coordinator starts again, told something else.
async fn restart_with(cluster: &mut Coordinators, pools: Pools) {
    cluster.kill(1).await;
    cluster.pools = pools;
    cluster.restart(1).await;
    cluster.leader(PATIENCE).await;
}

/// Whether so many run and the missing ones are refused for this reason.
fn is_short(status: &InstanceStatus, happy: u32, reason: &str) -> bool {
    let refused =
        |reasons: &std::collections::BTreeMap<String, u32>| reasons.get(reason) == Some(&2);
    status.counts.is_some_and(|counts| counts.happy == happy)
        && status
            .waiting
            .iter()
            .any(|waiting| refused(&waiting.refusals))
}

async fn pool(cluster: &Coordinators) -> PoolStatus {
    let mut admin = cluster.admin(1);
    let told = admin.metastatus(MetastatusRequest::default()).await;
    let mut told = told.expect("it is answered").into_inner();
    let capacity = told.pools[0].capacity;
    assert_eq!(told.capacity, capacity, "the cluster is this pool");
    told.pools.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_gives_out_more_than_it_has_and_moves_nothing_when_it_may_no_longer() {
    let mut cluster = Coordinators::start(1).await;
    let agents = FakeAgent::several(&cluster, 2).await;
    // Two hosts of four cores each.
    declare(&cluster, 12);
    cluster.deploy("hello", 'a');
    let short = |status: &InstanceStatus| is_short(status, 8, "lack 1.000 CPUs");
    cluster.wait("hello.main", PATIENCE, short).await;

    // As many as both hosts may hold, so that it does not matter which of them is back first.
    declare(&cluster, 16);
    restart_with(&mut cluster, cpus(2_000)).await;
    cluster.wait_running("hello.main", 16, PATIENCE).await;
    let before: Vec<u64> = agents.iter().flat_map(FakeAgent::replicas).collect();
    let shown = pool(&cluster).await;
    assert_eq!((shown.hosts, shown.overfull), (2, 0));
    let milli = |amounts: Option<paasta_proto::v1::Resources>| amounts.expect("given").cpus_milli;
    let amounts = [shown.has, shown.capacity, shown.used].map(milli);
    assert_eq!(amounts, [8_000, 16_000, 16_000]);

    restart_with(&mut cluster, cpus(1_250)).await;
    declare(&cluster, 17);
    let reason = "lack 1.000 CPUs at overcommit 1.250";
    let short = |status: &InstanceStatus| is_short(status, 16, reason);
    cluster.wait("hello.main", PATIENCE, short).await;
    let after: Vec<u64> = agents.iter().flat_map(FakeAgent::replicas).collect();
    assert_eq!(before, after, "nothing is moved");
    let shown = pool(&cluster).await;
    assert_eq!((shown.overcommit_cpus_milli, shown.overfull), (1_250, 2));
    let events = cluster.admin(1).events(EventsRequest::default()).await;
    let events = events.expect("it is answered").into_inner().events;
    let said = |text: &str| events.iter().any(|event| event.text.contains(text));
    assert!(
        said("overcommit cpus x 1.25") && said("2 hosts hold more than that"),
        "{events:#?}"
    );
    cluster.stop().await;
}
