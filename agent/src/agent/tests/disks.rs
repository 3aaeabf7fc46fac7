//! What runs use of the disk is measured, and the engine's own disk.

use paasta_agent_core::disk::{Space, Storage};
use paasta_common::{
    disk::DiskLimits,
    report::{EndCause, HostPart, Trouble},
};

use super::*;

const MIB: u64 = 1 << 20;

/// A world whose agent measures as fast as it steps.
fn measuring(limits: DiskLimits) -> World {
    let engine = FakeEngine::new(Arc::new(SystemClock));
    let dir = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let mut parts = parts(&engine, dir.path());
    parts.pace.disks = Duration::from_millis(50);
    parts.settings.disk_limits = limits;
    let agent = Agent::start(parts, shutdown.clone()).unwrap();
    World {
        engine,
        dir,
        agent,
        shutdown,
        generation: 0,
    }
}

fn limited(limit_mb: u64) -> AppSpec {
    let mut app = unchecked();
    app.resources.disk_mb = limit_mb;
    app
}

async fn running(world: &mut World) -> String {
    world.assign(&[(1, Want::Run)], limited(16)).await;
    world.until_phase(1, Phase::Running).await;
    world.running().into_keys().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fills_its_writable_layer_is_ended_and_comes_again() {
    let mut world = measuring(DiskLimits::Watch);
    let name = running(&mut world).await;
    world.engine.fill_layer(&name, 40 * MIB);
    world
        .until_report(1, "ended for its disk", |report| {
            let cause = report.last_end.as_ref().map(|end| end.cause);
            matches!(cause, Some(EndCause::OverDisk { limit_mb: 16, used_mb }) if used_mb >= 40)
        })
        .await;
    world
        .until_report(1, "running again", |report| {
            (report.run, report.phase) == (2, Phase::Running)
                && report.troubles.of(Trouble::OverDisk) == 1
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_sandbox_counts_with_the_writable_layer() {
    let mut world = measuring(DiskLimits::Watch);
    let name = running(&mut world).await;
    world.engine.fill_layer(&name, 10 * MIB);
    let file = world.dir.path().join("sandboxes/r1-1/file");
    std::fs::write(file, vec![1; 10 << 20]).unwrap();
    world
        .until_report(1, "ended for its disk", |report| report.run == 2)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn off_measures_no_run_and_is_reported() {
    let mut world = measuring(DiskLimits::Off);
    let name = running(&mut world).await;
    world.engine.fill_layer(&name, 40 * MIB);
    let full = |used_bytes| Storage {
        root: "/var/lib/docker".to_owned(),
        space: Some(Space {
            used_bytes,
            free_bytes: 100 - used_bytes,
        }),
        ..Storage::default()
    };
    // The engine's own disk is measured all the same: many rounds pass until it has room again.
    for (percent, degraded) in [(97, true), (92, true), (80, false), (94, false), (95, true)] {
        world.engine.keep_in(full(percent));
        let said = format!("{percent} %");
        let is_as_said = |view: &View| match &view.runtime {
            Runtime::Ok => !degraded,
            Runtime::Degraded { reason, part, .. } => {
                degraded && *part == HostPart::DockerDisk && reason.contains(&said)
            }
        };
        world.until(&said, is_as_said).await;
    }
    let view = world.agent.handle.view.borrow().clone();
    assert_eq!(view.disk_limits, DiskLimits::Off);
    assert_eq!(view.reports[&ReplicaId(1)].run, 1);
    // What is there already may begin on a disk that is nearly full.
    world.engine.crash(&name, 1);
    world
        .until_report(1, "running again", |report| report.run == 2)
        .await;
}
