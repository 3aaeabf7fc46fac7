//! Twenty replicas, from the assignment received until all run, beside the same containers made
//! and started straight through dockerd's API, as many at the same time.

use std::{sync::Arc, time::Instant};

use futures_util::future::join_all;
use paasta_agent::agent::View;
use paasta_agent_core::{
    compose::{RunOf, compose},
    labels::sandbox_name,
};
use paasta_common::report::Phase;
use tokio::sync::Semaphore;

use crate::{
    host::{Host, PARALLEL, order, until},
    median, verdict,
};

const REPLICAS: u64 = 20;
const ROUNDS: u64 = 5;

pub(crate) async fn run() {
    println!("start of {REPLICAS} replicas on one host, {ROUNDS} rounds");
    let mut host = Host::new("start");
    let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    // Warm: the first containers of an image take longer.
    straight(&mut host, 0).await;
    for round in 1..=ROUNDS {
        let direct = straight(&mut host, round * 100).await;
        let agent = through_the_agent(&mut host, round * 100 + 50).await;
        ratios.push(agent / direct);
        ours.push(agent);
        theirs.push(direct);
    }
    println!(
        "  agent {:.2} s, straight to dockerd {:.2} s (medians)",
        median(ours),
        median(theirs)
    );
    verdict("ratio, median of the rounds", median(ratios), "", 1.15);
}

async fn straight(host: &mut Host, first: u64) -> f64 {
    let settings = host.settings();
    let assignment = host.assignment(first, REPLICAS, host.app(false));
    let places = Arc::new(Semaphore::new(PARALLEL));
    let mut port = 24_000 + u16::try_from(first).unwrap();
    let mut specs = Vec::new();
    for (id, replica) in &assignment.replicas {
        port += 1;
        let run = RunOf {
            number: 1,
            host_port: Some(port),
            image_working_dir: None,
        };
        let cluster = &assignment.fence.cluster_id;
        specs.push(compose(&settings, cluster, *id, replica, run));
        let sandbox = host.dir.path().join("sandboxes").join(sandbox_name(*id, 1));
        std::fs::create_dir_all(sandbox).unwrap();
    }
    let began = Instant::now();
    join_all(specs.iter().map(|spec| async {
        let _place = places.acquire().await.unwrap();
        let id = host.engine.create(spec).await.unwrap();
        host.engine.start(&id).await.unwrap();
    }))
    .await;
    let took = began.elapsed().as_secs_f64();
    host.clear();
    took
}

async fn through_the_agent(host: &mut Host, first: u64) -> f64 {
    // An agent that has been there for a while, with nothing to do.
    let (agent, shutdown) = host.start();
    order(&agent, host.assignment(0, 1, host.app(false))).await;
    let runs = |view: &View| view.reports.values().any(|one| one.phase == Phase::Running);
    until(&agent, runs).await;
    order(&agent, host.assignment(0, 0, host.app(false))).await;
    until(&agent, |view| view.reports.is_empty()).await;
    let assignment = host.assignment(first, REPLICAS, host.app(false));
    let began = Instant::now();
    order(&agent, assignment).await;
    until(&agent, |view| {
        let running = view.reports.values();
        running.filter(|one| one.phase == Phase::Running).count() as u64 == REPLICAS
    })
    .await;
    let took = began.elapsed().as_secs_f64();
    shutdown.cancel();
    agent.task.await.unwrap();
    host.clear();
    std::fs::remove_dir_all(host.dir.path().join("state")).unwrap();
    took
}
