//! The processor time that health checks take: a whole agent with an engine in memory, whose
//! replicas answer at real ports of another process, as containers do. The same agent without
//! checks stands beside it.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use paasta_agent::{
    agent::{Agent, Happened, Order, Parts, View},
    engine::fake::FakeEngine,
    lanes::Patience,
    watch::Pace,
};
use paasta_agent_core::settings::HostSettings;
use paasta_common::{
    app::{AppSpec, HealthCheck, Probe},
    assignment::{AssignedReplica, Assignment, Fence, Want},
    id::ReplicaId,
    report::{Health, Phase},
    spec::RunSettings,
};
use paasta_process::clock::SystemClock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Makes this program the replicas' side.
pub(crate) const ARGUMENT: &str = "serve-probes";

const REPLICAS: u64 = 500;
const INTERVAL_MS: u64 = 10_000;
const SPAN: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(120);
/// What the checks of a full host may take, percent of a core.
const TARGET_PERCENT: f64 = 5.0;
/// Clock ticks of `/proc` in a second, on every Linux there is.
const TICKS: f64 = 100.0;

/// Answers every request at each of the ports that come in, one a line.
pub(crate) fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    for line in BufReader::new(std::io::stdin()).lines() {
        let port: u16 = line?.parse().context("expected a port")?;
        runtime.spawn(async move {
            let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await else {
                return;
            };
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut asked = [0; 1024];
                    if stream.read(&mut asked).await.unwrap_or(0) > 0 {
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        let _ = stream.write_all(answer).await;
                    }
                });
            }
        });
    }
    Ok(())
}

/// The other process, gone with this value.
struct Replicas(Child);

impl Replicas {
    fn at(ports: &BTreeSet<u16>) -> anyhow::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .spawn()?;
        let input = child.stdin.as_mut().context("it has no input")?;
        for port in ports {
            writeln!(input, "{port}")?;
        }
        Ok(Self(child))
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures and prints.
pub(crate) fn figures() -> anyhow::Result<()> {
    println!(
        "health checks: {REPLICAS} replicas, each every {} s",
        INTERVAL_MS / 1000
    );
    let without = percent_of_a_core(None)?;
    println!("  without checks      {without:6.2} % of a core");
    for probe in [
        Probe::Tcp,
        Probe::Http {
            uri: "/status".to_owned(),
        },
    ] {
        let name = match &probe {
            Probe::Tcp => "tcp",
            _ => "http",
        };
        let with = percent_of_a_core(Some(probe))?;
        let checks = with - without;
        println!(
            "  with {name:4} checks    {with:6.2} %, the checks {checks:.2} % (target: under \
             {TARGET_PERCENT} %)"
        );
    }
    Ok(())
}

fn percent_of_a_core(probe: Option<Probe>) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let dir = tempfile::tempdir()?;
        let shutdown = CancellationToken::new();
        let agent = start(dir.path(), &shutdown)?;
        order(&agent, probe.clone()).await?;
        let ports = until(&agent, "running", |view| {
            let running = |phase| phase == Phase::Running;
            view.reports.values().all(|report| running(report.phase))
        });
        let view = ports.await?;
        let ports = view.reports.values().filter_map(|report| report.host_port);
        let _replicas = Replicas::at(&ports.collect())?;
        if probe.is_some() {
            until(&agent, "healthy", |view| {
                let healthy = |health| health == Health::Healthy;
                view.reports.values().all(|report| healthy(report.health))
            })
            .await?;
            // Every replica has left the quick pace of its grace.
            sleep(Duration::from_millis(INTERVAL_MS)).await;
        }
        let (begun, spent) = (Instant::now(), processor_s()?);
        sleep(SPAN).await;
        let spent = processor_s()? - spent;
        let percent = 100.0 * spent / begun.elapsed().as_secs_f64();
        shutdown.cancel();
        agent.task.await?;
        Ok(percent)
    })
}

/// Seconds of processor time that this process has had, in all its threads.
fn processor_s() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // After the name, which ends with the last bracket, user and system time are the 12th and 13th.
    let (_, fields) = text.rsplit_once(") ").context("/proc/self/stat is odd")?;
    let ticks: Vec<f64> = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS)
}

fn start(dir: &std::path::Path, shutdown: &CancellationToken) -> anyhow::Result<Agent> {
    let sandboxes = dir.join("sandboxes").display().to_string();
    let parts = Parts {
        engine: Arc::new(FakeEngine::new(Arc::new(SystemClock))),
        clock: Arc::new(SystemClock),
        seed: 1,
        settings: HostSettings::new("bench".parse()?, "127.0.0.1", &sandboxes),
        mounts: Default::default(),
        state_dir: dir.join("state"),
        port_range: (20_000, 29_999),
        max_parallel: 16,
        patience: Patience::default(),
        sandbox_budget_bytes: 1 << 30,
        log_budget_bytes: 1 << 30,
        collect: Default::default(),
        pace: Pace::default(),
    };
    Ok(Agent::start(parts, shutdown.clone())?)
}

async fn order(agent: &Agent, probe: Option<Probe>) -> anyhow::Result<()> {
    let spec = Arc::new(AppSpec {
        image: "registry/services-hello:paasta-3f2a9c0d".to_owned(),
        container_port: 8888,
        health: probe.map(|probe| HealthCheck {
            probe,
            grace_ms: 600_000,
            interval_ms: INTERVAL_MS,
            timeout_ms: 5_000,
            max_consecutive_failures: 30,
        }),
        ..AppSpec::default()
    });
    let run = Arc::new(RunSettings::default());
    let replica = |id| -> anyhow::Result<_> {
        let replica = AssignedReplica {
            instance: "hello.main".parse()?,
            app: "hello.main.git3f2a9c0d.config94232c5b".parse()?,
            spec: Arc::clone(&spec),
            run: Arc::clone(&run),
            want: Want::Run,
            tried: Default::default(),
        };
        Ok((ReplicaId(id), replica))
    };
    let assignment = Assignment {
        fence: Fence {
            cluster_id: "bench".to_owned(),
            epoch: 1,
            term: 1,
            generation: 1,
        },
        host: "bench".parse()?,
        replicas: (1..=REPLICAS).map(replica).collect::<Result<_, _>>()?,
    };
    let (reply, answer) = oneshot::channel();
    let order = Happened::Order(Order { assignment, reply });
    agent.handle.inbox.send(order).await?;
    Ok(answer.await??)
}

async fn until(
    agent: &Agent,
    what: &str,
    holds: impl Fn(&View) -> bool,
) -> anyhow::Result<Arc<View>> {
    let mut view = agent.handle.view.clone();
    let all = |view: &Arc<View>| view.reports.len() as u64 == REPLICAS && holds(view);
    let waited = timeout(PATIENCE, view.wait_for(all)).await;
    let held = waited.with_context(|| format!("not all replicas are {what}"))??;
    Ok(Arc::clone(&held))
}
