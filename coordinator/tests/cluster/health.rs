//! `/healthz` of a coordinator whose consensus ends by itself: its disk refuses the log.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use paasta_coordinator::{
    run::{Coordinator, RunError},
    store::{MachineVolume, OnVolume, Volume, Writing},
};
use paasta_process::{clock::SystemClock, http};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;

use super::{
    coordinators::Coordinators,
    http::{Said, get},
};

/// The machine's file system, until it has no room for the log.
#[derive(Default)]
struct Filling(AtomicBool);

impl Volume for Filling {
    fn space(&self, dir: &Path) -> io::Result<paasta_coordinator_core::space::Space> {
        MachineVolume.space(dir)
    }

    fn admit(&self, what: Writing) -> io::Result<()> {
        match what == Writing::Log && self.0.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn healthz_asks_for_a_restart_once_consensus_has_ended() {
    let mut cluster = Coordinators::start_with_http(1).await;
    cluster.kill(1).await;
    let filling = Arc::new(Filling::default());
    let mut options = cluster.options(1);
    let (listen, room) = (options.listen, options.http_room);
    let volume: Arc<dyn Volume> = Arc::clone(&filling) as _;
    options.raft.volume = OnVolume::new(volume);
    let listener = TcpListener::bind(listen).await.expect("its own address");
    let shutdown = CancellationToken::new();
    let coordinator = Coordinator::start(options, Arc::new(SystemClock), shutdown.clone());
    let coordinator = coordinator.await.expect("it starts");
    // Served for longer than the coordinator, so that the end itself can be looked at.
    let (api, served) = (coordinator.api(), CancellationToken::new());
    let _served = served.clone().drop_guard();
    let http = http::bind(cluster.http(1)).await.expect("its own address");
    let acceptor = http::acceptor(http, room, coordinator.leader.metrics.connections());
    tokio::spawn(http::serve(acceptor, api.router(), served));
    let running = tokio::spawn(coordinator.serve(TcpListenerStream::new(listener)));

    let healthz = || get(cluster.http(1), "/healthz");
    let leads = || async { Some(healthz().await).filter(|said| said.body == "leader\n") };
    assert_eq!(cluster.wait_for("it leads", leads).await.code, 200);

    filling.0.store(true, Ordering::Relaxed);
    cluster.declare("hello", "main: {cpus: 0.1, mem: 64}");
    cluster.deploy("hello", 'a');
    let ended = || async { Some(healthz().await).filter(|said| said.code != 200) };
    let Said { code, body } = cluster.wait_for("consensus ends", ended).await;
    assert_eq!(code, 503, "{body}");
    assert!(body.contains("consensus has ended"), "{body}");
    // The process would end here; what is asked until then is never told that all is well.
    let ended = tokio::time::timeout(crate::PATIENCE, running).await;
    let ended = ended.expect("it ends in time").expect("no panic");
    assert!(matches!(ended, Err(RunError::Ended { .. })), "{ended:?}");
    assert_eq!(healthz().await.code, 503);
    assert_eq!(get(cluster.http(1), "/readyz").await.code, 503);
    cluster.stop().await;
}
