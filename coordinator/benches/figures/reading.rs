//! What `paasta status` asks, over a socket, of a coordinator that leads a cluster of 100,000
//! replicas whose agents all report.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use paasta_common::{
    config::SystemConfig,
    report::{HostReport, Runtime},
};
use paasta_coordinator::{
    codec,
    leader::Leader,
    options::Options,
    raft::{Seed, seed},
    run::Coordinator,
};
use paasta_process::clock::{Clock, SystemClock};
use paasta_proto::v1::{DeployStatus, StatusRequest, StatusResponse, admin_client::AdminClient};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;

use crate::{
    disk,
    machine::{figure, ms, quantile, verdict},
    processes::{channel, eventually},
    world::{Cluster, Shape, all_well, declared, fill, instance},
};

const SHAPE: Shape = Shape {
    hosts: 2_000,
    instances: 5_000,
    replicas_each: 20,
    constrained: false,
};
/// Calls that are measured.
const CALLS: usize = 300;
/// Instances in a page, as the command line asks.
const PAGE: u32 = 200;
/// Agents here speak once only.
const LEASE_MS: u64 = 3_600_000;
/// The largest answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Runs and prints.
pub(crate) fn run() -> anyhow::Result<()> {
    println!("paasta status, asked of a coordinator with 100,000 replicas of 5,000 instances:");
    let mut cluster = declared(SHAPE);
    fill(&mut cluster);
    let dir = disk::directory()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(&cluster, dir.path()))
}

async fn measure(cluster: &Cluster, dir: &Path) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let data = dir.join("data");
    restored(cluster, &data, address).await?;
    let options = options(dir, &data, address)?;
    let shutdown = CancellationToken::new();
    let clock = Arc::new(SystemClock);
    let coordinator = Box::pin(Coordinator::start(options, clock, shutdown.clone())).await?;
    let leader = coordinator.leader.clone();
    let serving = tokio::spawn(coordinator.serve(incoming));
    let mut admin = AdminClient::new(channel(address)?).max_decoding_message_size(ANSWER_BYTES_MAX);
    report_all(cluster, &leader).await?;
    let ready = eventually("everything counts as happy", || {
        let mut admin = admin.clone();
        async move {
            let status = one(&mut admin, 0).await.ok()?;
            (status.instances.first()?.deploy_status() == DeployStatus::Running).then_some(())
        }
    });
    ready.await?;
    let mut took = Vec::with_capacity(CALLS);
    for call in 0..CALLS {
        let began = Instant::now();
        let status = one(&mut admin, call * 7 % SHAPE.instances).await?;
        took.push(began.elapsed());
        ensure!(status.instances[0].replicas.len() == SHAPE.replicas_each as usize);
    }
    let name = "one instance with its replicas, median";
    verdict(name, ms(quantile(&mut took, 0.5)), "ms", 50.0, false);
    let name = "one instance with its replicas, 99th in a hundred";
    verdict(name, ms(quantile(&mut took, 0.99)), "ms", 50.0, false);
    let (all, largest) = everything(&mut admin).await?;
    figure("all 5,000 instances, page by page", ms(all), "ms");
    figure("  the slowest page of 200", ms(largest), "ms");
    shutdown.cancel();
    serving.await??;
    Ok(())
}

/// A store that holds the cluster's state.
async fn restored(cluster: &Cluster, dir: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let identity = cluster.state.cluster().context("it was made")?;
    let seed_of = Seed {
        dir: dir.to_owned(),
        node: 1,
        address: address.to_string(),
        cluster_id: identity.id.clone(),
        epoch: identity.epoch,
        term: 1,
        index: cluster.index,
    };
    Ok(seed(&seed_of, |to| codec::encode_to(to, &cluster.state)).await?)
}

fn options(dir: &Path, data: &Path, address: SocketAddr) -> anyhow::Result<Options> {
    let mut system = SystemConfig {
        docker_registry: Some("localhost:1".to_owned()),
        // There is none: the state stays as it is.
        soa_dir: dir.join("soa").display().to_string(),
        ..SystemConfig::default()
    };
    let ours = &mut system.coordinator;
    ours.node_id = Some(1);
    ours.listen = address.to_string();
    ours.advertise = address.to_string();
    ours.data_dir = data.display().to_string();
    ours.http_listen = "off".to_owned();
    ours.lease_ms = LEASE_MS;
    Ok(Options::new(system)?)
}

/// Every agent says that all it must run is well, once the coordinator leads.
async fn report_all(cluster: &Cluster, leader: &Leader) -> anyhow::Result<()> {
    let mut leadership = leader.leadership.subscribe();
    let led = leadership.wait_for(Option::is_some);
    tokio::time::timeout(Duration::from_secs(30), led).await??;
    let now = SystemClock.now();
    for (host, heard) in all_well(cluster).hosts {
        let session = leader.observations.connect(&host, now);
        let report = HostReport {
            complete: true,
            replicas: heard.replicas.into_values().collect(),
            runtime: Runtime::Ok,
            generation: heard.accepted_generation,
            disk_limits: heard.disk_limits,
        };
        leader.observations.report(&host, session, report, now);
    }
    Ok(())
}

async fn one(admin: &mut AdminClient<Channel>, number: usize) -> anyhow::Result<StatusResponse> {
    let id = instance(number);
    let asked = StatusRequest {
        service: id.service.to_string(),
        instances: vec![id.instance.to_string()],
        replicas: true,
        ..StatusRequest::default()
    };
    Ok(admin.status(asked).await?.into_inner())
}

/// How long all pages take, and the slowest one.
async fn everything(admin: &mut AdminClient<Channel>) -> anyhow::Result<(Duration, Duration)> {
    let mut asked = StatusRequest {
        page_size: PAGE,
        ..StatusRequest::default()
    };
    let (began, mut slowest, mut seen) = (Instant::now(), Duration::ZERO, 0);
    loop {
        let turn = Instant::now();
        let page = admin.status(asked.clone()).await?.into_inner();
        slowest = slowest.max(turn.elapsed());
        seen += page.instances.len();
        if page.next_page.is_empty() {
            ensure!(seen == SHAPE.instances, "{seen} instances were shown");
            return Ok((began.elapsed(), slowest));
        }
        asked.page = page.next_page;
    }
}
