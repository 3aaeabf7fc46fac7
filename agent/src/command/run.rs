//! `paasta-agent run`: until SIGTERM. Containers outlive it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context;
use clap::Args;
use paasta_identity::{
    renewal::Overdue,
    renewing,
    tls::Expiry,
    web::{Door, Endpoint},
};
use paasta_process::help::examples;
use paasta_process::{
    accept::raise_limit,
    chain::chain,
    clock::SystemClock,
    http::{self, HttpAddress, http_address, plain_address},
    metrics::Meters,
    private, shutdown,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{ConfigArgs, join, left};
use crate::{
    agent::{Agent, Parts, StartError},
    capacity,
    endpoints::{self, EndpointLink},
    engine::{Engine, docker::DockerEngine},
    hacheck::Hacheck,
    http::Api,
    machine::Machine,
    options::Options,
    proxy::{Proxy, ProxyParts},
    session::{Dial, PlainDial, Sessions, TlsDial},
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
}

/// Runs the agent.
///
/// # Errors
/// When the configuration or the ledger cannot be used.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    let system = args.config.load()?;
    join::at_start(&system)?;
    let mut options = Options::new(&system)?;
    private::own(&options.state_dir, &THEIRS).context("agent.state_dir cannot be used")?;
    let machine = Machine::open(&options.state_dir, &options.host.id)?;
    options.host.machine = Some(machine.id.clone());
    let http_listen = http_address(
        "agent.http_listen",
        &system.agent.http_listen,
        options.tls.is_some(),
    )?;
    let hacheck_listen = plain_address("agent.hacheck_listen", &system.agent.hacheck_listen)?;
    let tls = options.tls.as_ref().map(|(tls, _)| tls.clone());
    let dial: Arc<dyn Dial> = match tls {
        Some(tls) => Arc::new(TlsDial(tls)),
        None => Arc::new(PlainDial),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("agent")
        .build()
        .context("the runtime cannot start")?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signals().context("signals cannot be handled")?;
        let tokens = system.agent.http_tokens_file.as_ref().map(PathBuf::from);
        let http = http_listen.map(|at| (at, tokens));
        serve(options, &machine, (http, hacheck_listen), dial, shutdown).await
    })
}

async fn serve(
    options: Options,
    machine: &Machine,
    (http, hacheck): (Option<(HttpAddress, Option<PathBuf>)>, Option<SocketAddr>),
    dial: Arc<dyn Dial>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let engine: Arc<dyn Engine> = Arc::new(DockerEngine::new(
        &options.docker_socket,
        &options.credentials,
    ));
    // Half at least is for dockerd, probes and logs.
    let room = raise_limit() / 2;
    let http = match http {
        Some(http) => Some(endpoint(http, room, &options).await?),
        None => None,
    };
    let hacheck = listen(hacheck).await?;
    let started = Agent::start(parts(&options, Arc::clone(&engine)), shutdown.clone());
    if let Err(StartError::OtherHost { .. }) = started {
        left::report(&*engine, machine).await;
    }
    let mut agent = started?;
    agent.handle.exec.set(options.exec);
    let left = {
        let (machine, shutdown) = (machine.clone(), shutdown.clone());
        tokio::spawn(async move {
            tokio::select! { biased; () = shutdown.cancelled() => {}, () = left::report(&*engine, &machine) => {} }
        })
    };
    let (proxy, endpoints) = proxy(options.proxy.clone(), &agent, &shutdown).unzip();
    let sessions = sessions(&options, &agent, dial, endpoints)?;
    let (host, capacity) = (&sessions.host.id, sessions.host.capacity);
    let http_listen = http.as_ref();
    let http_listen = http_listen.and_then(|http| http.listener.local_addr().ok());
    tracing::info!(%host, address = sessions.host.address, ?capacity, ?http_listen, "agent runs");
    let api = Api {
        metrics: agent.handle.metrics.clone(),
        agent: agent.handle.clone(),
        proxy: proxy.as_ref().map(|proxy| proxy.view.clone()),
        connections: Vec::new(),
        door: Door::trusting(),
    };
    let read = http.map(|http| tokio::spawn(crate::http::serve(http, api, shutdown.clone())));
    let checked = hacheck.map(|listener| {
        let checks = Hacheck::new(agent.handle.clone(), &options.state_dir);
        check(listener, room / 4, checks, &agent, shutdown.clone())
    });
    let renewing = renew(&options, agent.handle.metrics.meters());
    let following = follow(&options, agent.handle.metrics.meters());
    let talking = tokio::spawn(sessions.run(shutdown.clone()));
    shutdown::ready();
    agent.task.await.context("the agent failed")?;
    talking.await.context("the session failed")?;
    let keeper = proxy.map(|proxy| proxy.task);
    ended(read, "the HTTP endpoint failed").await?;
    ended(checked, "hacheck's endpoint failed").await?;
    ended(keeper, "the load balancer's keeper failed").await?;
    left.await.context("the list of former containers failed")?;
    for task in [following, renewing].into_iter().flatten() {
        task.abort();
    }
    tracing::info!("agent stopped; containers go on");
    Ok(())
}

async fn endpoint(
    (at, tokens): (HttpAddress, Option<PathBuf>),
    room: usize,
    options: &Options,
) -> anyhow::Result<Endpoint> {
    let tls = options.tls.as_ref().map(|(tls, _)| tls.clone());
    Ok(Endpoint::bind(at, room, tls, tokens).await?)
}

/// Uses new files of TLS, where there are some, as they are laid over the old ones.
fn follow(options: &Options, meters: &Meters) -> Option<JoinHandle<()>> {
    let (tls, files) = options.tls.clone()?;
    let expiry = Expiry::new(meters, &tls);
    Some(tokio::spawn(async move { tls.follow(files, expiry).await }))
}

/// Keeps this host's own certificate new, where the cluster made it.
fn renew(options: &Options, meters: &Meters) -> Option<JoinHandle<()>> {
    let (tls, files) = options.tls.clone().filter(|_| options.renews)?;
    let (overdue, coordinators) = (Overdue::new(meters), options.coordinators.clone());
    Some(tokio::spawn(async move {
        let ask = |request: String| {
            let (tls, files, coordinators) = (&tls, &files, &coordinators);
            async move { renewing::ask(tls, files, coordinators, &request).await }
        };
        tls.keep_renewing(files.clone(), overdue, ask).await;
    }))
}

fn sessions(
    options: &Options,
    agent: &Agent,
    dial: Arc<dyn Dial>,
    endpoints: Option<EndpointLink>,
) -> anyhow::Result<Sessions> {
    Ok(Sessions {
        agent: agent.handle.clone(),
        boot_id: capacity::boot_id().context("the boot id cannot be read")?,
        cluster: options.cluster.clone(),
        coordinators: options.coordinators.clone(),
        dial,
        endpoints,
        host: options.host.clone(),
    })
}

async fn ended(task: Option<JoinHandle<()>>, failed: &'static str) -> anyhow::Result<()> {
    match task {
        Some(task) => task.await.context(failed),
        None => Ok(()),
    }
}

async fn listen(at: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    match at {
        Some(at) => Ok(Some(http::bind(at).await?)),
        None => Ok(None),
    }
}

fn check(
    listener: TcpListener,
    room: usize,
    checks: Hacheck,
    agent: &Agent,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let acceptor = http::acceptor(listener, room, agent.handle.metrics.connections());
    tokio::spawn(http::serve(acceptor, checks.router(), shutdown))
}

/// Begins to keep the load balancer. Without its directories there is none, and replicas are seen
/// to all the same.
fn proxy(
    parts: Option<ProxyParts>,
    agent: &Agent,
    shutdown: &CancellationToken,
) -> Option<(Proxy, EndpointLink)> {
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
    let (sessions, link) = endpoints::link(parts.last_set());
    let proxy = Proxy::start(parts, link, own, shutdown.clone());
    Some((proxy, sessions))
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
