//! `paasta-agent run`: until SIGTERM. Containers outlive it.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use clap::Args;
use paasta_identity::tls::Expiry;
use paasta_process::help::examples;
use paasta_process::{
    accept::raise_limit,
    chain::chain,
    clock::SystemClock,
    http::{self, http_address},
    listen::Cidr,
    private, shutdown,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{ConfigArgs, left};
use crate::{
    agent::{Agent, Parts, StartError},
    capacity,
    engine::{Engine, docker::DockerEngine},
    hacheck::Hacheck,
    http::Api,
    machine::Machine,
    options::Options,
    proxy::{Proxy, ProxyParts},
    session::{Dial, PlainDial, ProxyLink, Sessions, TlsDial},
};

/// What containers see of the state directory, and what is in it is theirs.
const THEIRS: [&str; 2] = ["mounts", "sandboxes"];

/// The flags of `run`.
#[derive(Debug, Args)]
#[command(after_help = examples(
    &[
        "paasta-agent run",
        "paasta-agent run --config-dir /etc/paasta --attribute region=us-west",
    ],
    "",
))]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Allows speaking to coordinators, without transport security, at addresses of this test
    /// network only.
    #[arg(long, value_name = "CIDR")]
    insecure_test_network: Option<Cidr>,
}

/// Runs the agent.
///
/// # Errors
/// When the configuration or the ledger cannot be used.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    let system = args.config.load()?;
    let mut options = Options::new(&system)?;
    private::own(&options.state_dir, &THEIRS).context("agent.state_dir cannot be used")?;
    let machine = Machine::open(&options.state_dir, &options.host.id)?;
    options.host.machine = Some(machine.id.clone());
    let http_listen = http_address(
        "agent.http_listen",
        &system.agent.http_listen,
        args.insecure_test_network,
    )?;
    let hacheck_listen = http_address(
        "agent.hacheck_listen",
        &system.agent.hacheck_listen,
        args.insecure_test_network,
    )?;
    let tls = options.tls.as_ref().map(|(tls, _)| tls.clone());
    let dial: Arc<dyn Dial> = match tls {
        Some(tls) => Arc::new(TlsDial(tls)),
        None => Arc::new(PlainDial {
            insecure_test_network: args.insecure_test_network,
        }),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("agent")
        .build()
        .context("the runtime cannot start")?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signals().context("signals cannot be handled")?;
        serve(
            options,
            &machine,
            (http_listen, hacheck_listen),
            dial,
            shutdown,
        )
        .await
    })
}

async fn serve(
    options: Options,
    machine: &Machine,
    (http_listen, hacheck_listen): (Option<SocketAddr>, Option<SocketAddr>),
    dial: Arc<dyn Dial>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let engine: Arc<dyn Engine> = Arc::new(DockerEngine::new(
        &options.docker_socket,
        &options.credentials,
    ));
    // Half at least is for dockerd, probes and logs.
    let http_room = raise_limit() / 2;
    let http = listen(http_listen).await?;
    let hacheck = listen(hacheck_listen).await?;
    let started = Agent::start(parts(&options, Arc::clone(&engine)), shutdown.clone());
    if let Err(StartError::OtherHost { .. }) = started {
        left::report(&*engine, machine).await;
    }
    let agent = started?;
    let left = {
        let (machine, shutdown) = (machine.clone(), shutdown.clone());
        tokio::spawn(async move {
            tokio::select! { biased; () = shutdown.cancelled() => {}, () = left::report(&*engine, &machine) => {} }
        })
    };
    let proxy = proxy(options.proxy.clone(), &agent, &shutdown);
    let link = proxy.as_ref().map(link);
    let sessions = sessions(&options, &agent, dial, link)?;
    let (host, capacity) = (&sessions.host.id, sessions.host.capacity);
    let http_listen = http.as_ref().and_then(|http| http.local_addr().ok());
    tracing::info!(%host, address = sessions.host.address, ?capacity, ?http_listen, "agent runs");
    let api = Api {
        metrics: agent.handle.metrics.clone(),
        agent: agent.handle.clone(),
        proxy: proxy.as_ref().map(|proxy| proxy.view.clone()),
        connections: Vec::new(),
    };
    let checks = Hacheck::new(agent.handle.clone(), &options.state_dir);
    let read = http.map(|listener| read(listener, http_room, api, shutdown.clone()));
    let checked = hacheck.map(|listener| {
        let acceptor = http::acceptor(listener, http_room / 4, agent.handle.metrics.connections());
        tokio::spawn(http::serve(acceptor, checks.router(), shutdown.clone()))
    });
    let following = options.tls.map(|(tls, files)| {
        let expiry = Expiry::new(agent.handle.metrics.meters(), &tls);
        tokio::spawn(async move { tls.follow(files, expiry).await })
    });
    let talking = tokio::spawn(sessions.run(shutdown.clone()));
    shutdown::ready();
    agent.task.await.context("the agent failed")?;
    talking.await.context("the session failed")?;
    for (task, failed) in [
        (read, "the HTTP endpoint failed"),
        (checked, "hacheck's endpoint failed"),
        (
            proxy.map(|proxy| proxy.task),
            "the load balancer's keeper failed",
        ),
    ] {
        if let Some(task) = task {
            task.await.context(failed)?;
        }
    }
    left.await.context("the list of former containers failed")?;
    if let Some(following) = following {
        following.abort();
    }
    tracing::info!("agent stopped; containers go on");
    Ok(())
}

fn sessions(
    options: &Options,
    agent: &Agent,
    dial: Arc<dyn Dial>,
    proxy: Option<ProxyLink>,
) -> anyhow::Result<Sessions> {
    Ok(Sessions {
        agent: agent.handle.clone(),
        boot_id: capacity::boot_id().context("the boot id cannot be read")?,
        cluster: options.cluster.clone(),
        coordinators: options.coordinators.clone(),
        dial,
        host: options.host.clone(),
        proxy,
    })
}

fn read(
    listener: TcpListener,
    room: usize,
    mut api: Api,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let acceptor = http::acceptor(listener, room, api.metrics.connections());
    api.connections.push(acceptor.open());
    tokio::spawn(http::serve(acceptor, api.router(), shutdown))
}

async fn listen(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    match address {
        Some(address) => Ok(Some(http::bind(address).await?)),
        None => Ok(None),
    }
}

/// Begins to keep the load balancer. Without its directories there is none, and replicas are seen
/// to all the same.
fn proxy(parts: Option<ProxyParts>, agent: &Agent, shutdown: &CancellationToken) -> Option<Proxy> {
    let parts = parts?;
    if let Err(error) = parts.prepare() {
        let error = chain(&error);
        tracing::error!(
            error,
            "this host has no load balancer: correct agent.proxy, and restart"
        );
        return None;
    }
    let own = agent.handle.view.clone();
    Some(Proxy::start(parts, own, shutdown.clone()))
}

fn link(proxy: &Proxy) -> ProxyLink {
    ProxyLink::new(proxy.orders.clone(), proxy.view.clone(), proxy.last.clone())
}

fn parts(options: &Options, engine: Arc<dyn Engine>) -> Parts {
    Parts {
        engine,
        clock: Arc::new(SystemClock),
        seed: rand::random(),
        settings: options.settings.clone(),
        mounts: options.mounts.clone(),
        state_dir: options.state_dir.clone(),
        port_range: options.port_range,
        max_parallel: options.max_parallel,
        patience: options.patience,
        sandbox_budget_bytes: options.sandbox_budget_bytes,
        log_budget_bytes: options.log_budget_bytes,
        collect: options.collect.clone(),
        pace: options.pace,
    }
}
