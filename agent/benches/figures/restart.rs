//! A container is killed: from the end of its backoff until its replacement runs, beside one start
//! of a container through dockerd's API. The delay itself, PaaSTA's `backoff_seconds`, is policy:
//! `ceil(10 / instances)` s, 1 s here. It counts from the death of the container, so that noticing
//! the death and removing the dead container happen within it.

use std::time::Instant;

use paasta_agent::agent::{Agent, View};
use paasta_agent_core::{
    compose::{RunOf, compose},
    labels::sandbox_name,
};
use paasta_common::{id::ReplicaId, report::Phase};
use paasta_process::clock::{Clock as _, SystemClock};

use crate::{
    host::{Host, order, until},
    image::docker,
    median, verdict,
};

const ROUNDS: u64 = 7;

pub(crate) async fn run() {
    println!("a container killed, its replacement started (first failure), {ROUNDS} rounds");
    let mut host = Host::new("restart");
    let (agent, shutdown) = host.start();
    let (mut ratios, mut starts, mut totals) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let start = start_alone(&mut host, round * 10).await;
        // A replica of its own each time: the failure is always its first.
        let id = ReplicaId(host.base + round);
        order(&agent, host.assignment(round, 1, host.app(false))).await;
        let (after_delay, total) = killed(&agent, id).await;
        ratios.push(after_delay / start);
        starts.push(start);
        totals.push(total);
    }
    shutdown.cancel();
    agent.task.await.unwrap();
    println!(
        "  docker start alone {:.2} s; killed until replaced, the delay of 1 s included, {:.2} s (medians)",
        median(starts),
        median(totals)
    );
    verdict(
        "ratio without the delay, median of the rounds",
        median(ratios),
        "",
        1.5,
    );
}

/// Seconds that dockerd takes to start a container that is made already.
async fn start_alone(host: &mut Host, id: u64) -> f64 {
    let assignment = host.assignment(500 + id, 1, host.app(false));
    let (id, replica) = assignment.replicas.first_key_value().unwrap();
    let run = RunOf {
        number: 1,
        host_port: Some(22_999),
        image_working_dir: None,
    };
    let cluster = "another";
    let spec = compose(&host.settings(), cluster, *id, replica, run);
    let sandbox = host.dir.path().join("sandboxes").join(sandbox_name(*id, 1));
    std::fs::create_dir_all(sandbox).unwrap();
    let container = host.engine.create(&spec).await.unwrap();
    let began = Instant::now();
    host.engine.start(&container).await.unwrap();
    let took = began.elapsed().as_secs_f64();
    host.engine.remove(&container).await.unwrap();
    took
}

/// Seconds from the end of the backoff, and from the death, until the replacement runs.
async fn killed(agent: &Agent, id: ReplicaId) -> (f64, f64) {
    let of = |view: &View| view.reports.get(&id).cloned();
    let running = |run: u64| {
        move |view: &View| of(view).is_some_and(|one| one.phase == Phase::Running && one.run == run)
    };
    until(agent, running(1)).await;
    // The one before is gone.
    until(agent, |view| view.reports.len() == 1).await;
    let container = of(&agent.handle.view.borrow()).and_then(|one| one.container);
    docker(&["kill", &container.unwrap()]);
    let killed_at = SystemClock.now();
    let mut next_try = None;
    until(agent, |view| {
        next_try = of(view).and_then(|one| one.next_try_at);
        next_try.is_some()
    })
    .await;
    until(agent, running(2)).await;
    let now = SystemClock.now();
    let after_delay = now.since_ms(next_try.unwrap());
    (seconds(after_delay), seconds(now.since_ms(killed_at)))
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}
