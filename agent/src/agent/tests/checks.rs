//! Health checks against a real port while the engine does not answer.

use tokio::net::TcpListener;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn probes_go_on_while_the_engine_hangs_and_evict_nothing_until_it_works() {
    let mut world = World::new();
    let app = AppSpec {
        container_port: 8888,
        health: Some(HealthCheck {
            probe: Probe::Tcp,
            grace_ms: 60_000,
            interval_ms: 100,
            timeout_ms: 1_000,
            max_consecutive_failures: 3,
        }),
        ..unchecked()
    };
    world.assign(&[(1, Want::Run)], app).await;
    world.until_phase(1, Phase::Running).await;
    let port = world.agent.handle.view.borrow().reports[&ReplicaId(1)]
        .host_port
        .unwrap();
    let health = |health: Health| move |report: &ReplicaReport| report.health == health;
    let service = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    world
        .until_report(1, "healthy", health(Health::Healthy))
        .await;
    world.engine.faults(|faults| faults.hangs = true);
    world
        .until("degraded", |view| view.runtime != Runtime::Ok)
        .await;
    drop(service);
    world
        .until_report(1, "out of the load balancer", health(Health::Unhealthy))
        .await;
    let service = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    world
        .until_report(1, "healthy again", health(Health::Healthy))
        .await;
    assert_eq!(world.running().len(), 1, "nothing was evicted");
    drop(service);
    world.engine.faults(|faults| faults.hangs = false);
    world
        .until_report(1, "replaced", |report| report.failures == 1)
        .await;
}
