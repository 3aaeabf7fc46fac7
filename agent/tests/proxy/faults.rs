//! What fails hurts only itself, and what comes back serves again.

use std::{net::TcpListener, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use paasta_agent_core::proxy::{config::ProxyProblemKind, seen, wanted::Service};
use paasta_common::{
    id::{AppId, ReplicaId},
    report::{Health, Phase, ReplicaReport},
};

use crate::world::{Answering, World, free_port, get, name, until_status};

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_said_for_its_namespace_and_the_others_are_served() {
    let (mut world, good) = (World::new(), free_port());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let one = Answering::start(Duration::ZERO).await;
    for (text, port, replica) in [("bad.main", port, 1), ("good.main", good, 2)] {
        world.namespace(text, port);
        world.put(text, replica, one.at, Service::Up);
    }
    world.send();
    let said = |view: &paasta_agent::proxy::ProxyView| {
        view.problems
            .get(&name("bad.main"))
            .is_some_and(|one| one.kind == ProxyProblemKind::PortTaken)
    };
    world.until("said", said).await;
    until_status(good, 200).await;
    let detail = world.view().problems[&name("bad.main")].detail.clone();
    assert!(detail.contains(&format!("127.0.0.1:{port}")), "{detail}");
    assert_eq!(world.view().counts.failed_reloads, 0);
    drop(taken);
    world.until("served", |view| view.problems.is_empty()).await;
    until_status(port, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_comes_back_with_the_same_servers() {
    let (mut world, port) = (World::new(), free_port());
    world.namespace("web.main", port);
    let (one, two) = (
        Answering::start(Duration::ZERO).await,
        Answering::start(Duration::ZERO).await,
    );
    world.put("web.main", 1, one.at, Service::Up);
    world.put("web.main", 2, two.at, Service::Drain);
    world.settle().await;
    until_status(port, 200).await;
    let processes = seen::processes(&world.ask_master("show proc").await).unwrap();
    let worker = i32::try_from(processes.worker.unwrap()).unwrap();
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    world
        .until("started again", |view| view.counts.starts == 2)
        .await;
    let took = until_status(port, 200).await;
    println!("serves again {took:?} after the agent saw it");
    let state = seen::servers(&world.ask("show servers state").await).unwrap();
    let maint: Vec<bool> = state[&name("web.main")]
        .values()
        .map(|one| one.maint)
        .collect();
    assert_eq!(maint, [false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_coordinators_a_load_balancer_starts_with_the_last_set() {
    let (mut world, port) = (World::new(), free_port());
    world.namespace("web.main", port);
    let one = Answering::start(Duration::ZERO).await;
    world.put("web.main", 1, one.at, Service::Up);
    world.settle().await;
    until_status(port, 200).await;
    let file = world.config();
    let until = |text: String| text.contains("r1_");
    assert!(until(file));
    kill(Pid::from_raw(world.master()), Signal::SIGKILL).unwrap();
    world.restart().await;
    until_status(port, 200).await;
    assert_eq!(world.view().version, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_leaves_within_a_second_and_comes_back() {
    let (mut world, port) = (World::new(), free_port());
    world.namespace("web.main", port);
    let one = Answering::start(Duration::ZERO).await;
    let two = Answering::start(Duration::ZERO).await;
    let at = two.at;
    world.put("web.main", 1, one.at, Service::Up);
    world.put("web.main", 2, two.at, Service::Up);
    world.settle().await;
    until_status(port, 200).await;
    drop(two);
    // Connections that were refused are tried at the other one.
    for _ in 0..200 {
        assert_eq!(get(port).await, 200);
    }
    world.until("down", |view| view.counts.down == 1).await;
    let _two = Answering::start_at(at, Duration::ZERO).await;
    world.until("up", |view| view.counts.up == 2).await;
}

fn report(replica: u64, port: u16, health: Health) -> ReplicaReport {
    ReplicaReport {
        id: ReplicaId(replica),
        app: AppId::new("web.main.git00000000.config00000000").unwrap(),
        phase: Phase::Running,
        health,
        started_at: None,
        host_port: Some(port),
        container: None,
        run: 1,
        failures: 0,
        next_try_at: None,
        drained: false,
        in_load_balancer: None,
        message: String::new(),
        last_end: None,
        image: Default::default(),
        troubles: Default::default(),
        other_troubles: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_replica_that_fails_its_check_leaves_before_any_coordinator_knows() {
    let (mut world, port) = (World::new(), free_port());
    world.namespace("web.main", port);
    let one = Answering::start(Duration::ZERO).await;
    let two = Answering::start(Duration::ZERO).await;
    world.put("web.main", 1, one.at, Service::Up);
    world.put("web.main", 2, two.at, Service::Up);
    world.settle().await;
    let tell = |world: &World, health: Health| {
        world.set_own(|view| {
            let report = report(2, two.at.port(), health);
            view.reports.insert(ReplicaId(2), report);
        });
    };
    tell(&world, Health::Unhealthy);
    world.until("out", |view| view.counts.maint == 1).await;
    tell(&world, Health::Healthy);
    world.until("back", |view| view.counts.up == 2).await;
}
