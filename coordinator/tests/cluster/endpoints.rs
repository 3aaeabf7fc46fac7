//! Load balancers on whole coordinators: agents receive the endpoints of a namespace, what leaves
//! stops when all of them have nothing left for it, and an election makes no set smaller.

use std::fs;

use paasta_common::{endpoints::EndpointState, id::ReplicaId};
use paasta_proto::v1::{InstanceStatus, ReplicaClass, WaitingKind};

use crate::{
    PATIENCE,
    cluster::{
        agent::{Balancer, FakeAgent},
        coordinators::Coordinators,
    },
};

const INSTANCE: &str = "main: {instances: 3, cpus: 0.1, mem: 64, drain_method: noop, bounce_health_params: {min_task_uptime: 0, check_haproxy: true}}";

fn announce(cluster: &Coordinators) {
    cluster.declare("hello", INSTANCE);
    let namespaces = "main: {proxy_port: 20001, mode: tcp}\n";
    fs::write(cluster.soa().join("hello/smartstack.yaml"), namespaces).expect("a file");
}

async fn until(cluster: &Coordinators, what: &str, holds: impl Fn() -> bool) {
    cluster.wait_for(what, async || holds().then_some(())).await;
}

fn of(balancer: &Balancer, state: EndpointState) -> Vec<ReplicaId> {
    let endpoints = balancer.endpoints().into_iter();
    endpoints
        .filter(|(_, found)| *found == state)
        .map(|(id, _)| id)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_is_out_of_every_load_balancer_before_it_stops() {
    let mut cluster = Coordinators::start(3).await;
    let balancers = [Balancer::default(), Balancer::default()];
    let agents = FakeAgent::balanced(&cluster, &balancers).await;
    announce(&cluster);
    cluster.deploy("hello", 'a');
    // The pretended replicas are older than the leader: they are happy before the answers are there.
    let in_service = |status: &InstanceStatus| {
        let happy = status.counts.is_some_and(|counts| counts.happy == 3);
        let mut locations = status.namespaces.iter().flat_map(|one| &one.locations);
        happy && locations.any(|one| (one.balancers, one.up) == (2, 3))
    };
    let first = cluster.wait("hello.main", PATIENCE, in_service).await;
    let namespace = &first.namespaces[0];
    assert_eq!(
        (namespace.name.as_str(), namespace.proxy_port),
        ("hello.main", 20_001)
    );
    assert!(
        first
            .replicas
            .iter()
            .all(|one| one.in_load_balancer == Some(true))
    );
    let old = of(&balancers[1], EndpointState::Up);
    assert_eq!(old.len(), 3);
    // One load balancer has sessions of all of them, another of none.
    old.iter().for_each(|id| balancers[1].finishes(*id, 2));
    cluster.deploy("hello", 'b');
    let held_up = |status: &InstanceStatus| {
        let mut waiting = status.waiting.iter();
        let named =
            waiting.any(|one| one.kind() == WaitingKind::Proxies && one.what.contains("host-2"));
        let draining = status.replicas.iter();
        let draining = draining.filter(|one| one.class() == ReplicaClass::Draining);
        named && draining.count() == 3
    };
    cluster.wait("hello.main", PATIENCE, held_up).await;
    until(&cluster, "they are out of both", || {
        let drains = |one| of(one, EndpointState::Drain) == old;
        balancers.iter().all(drains)
    })
    .await;
    // The next leader heard none of it, and waits all the same.
    let leader = cluster.leader(PATIENCE).await;
    cluster.kill(leader).await;
    cluster.leader(PATIENCE).await;
    cluster.wait("hello.main", PATIENCE, held_up).await;
    let running: usize = agents.iter().map(FakeAgent::running).sum();
    assert_eq!(running, 6, "nothing was stopped");
    for balancer in &balancers {
        assert!(balancer.fewest() >= Some(3), "{:?}", balancer.fewest());
    }
    old.iter().for_each(|id| balancers[1].finishes(*id, 0));
    until(&cluster, "the old ones stop", || {
        agents.iter().map(FakeAgent::running).sum::<usize>() == 3
    })
    .await;
    until(&cluster, "none of them is left", || {
        of(&balancers[0], EndpointState::Drain).is_empty()
    })
    .await;
}
