//! Whole coordinators in this process, each pair joined by links of its own that a test can cut or
//! slow down in each direction, and whole agents with a fake engine that reach every coordinator
//! directly.

use std::{
    collections::BTreeMap, fs, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use paasta_agent::{
    agent::{Agent, Parts},
    engine::fake::FakeEngine,
    lanes::Patience,
    session::{self, Sessions},
    watch::Pace,
};
use paasta_agent_core::settings::HostSettings;
use paasta_common::{app::Resources, config::SystemConfig, host::HostInfo, id::HostId};
use paasta_coordinator::{
    options::Options,
    raft::{Dial, DialError, Keepalive, PlainDial},
    rpc::connections::Connections,
    run::Coordinator,
};
use paasta_process::{clock::SystemClock, http};
use paasta_proto::v1::{
    Asker, InitRequest, MetastatusRequest, MetastatusResponse, NodeRequest, NodeResponse, NodeRole,
    UndrainHostRequest, admin_client::AdminClient, cluster_client::ClusterClient,
    operate_client::OperateClient,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::proxy::{Direction, Link, Proxy};

/// How long anything that is waited for may take on a machine that does other things as well.
pub const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);
const CALL: Duration = Duration::from_secs(10);

/// How a coordinator is cut off from all the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Both ways.
    Off,
    /// It hears nothing.
    Deaf,
    /// Nobody hears it.
    Mute,
}

/// The links that one coordinator dials.
struct LinkDial(BTreeMap<u64, SocketAddr>);

impl Dial for LinkDial {
    fn dial(&self, peer: u64, address: &str, keepalive: &Keepalive) -> Result<Channel, DialError> {
        let over = self.0.get(&peer).ok_or_else(|| DialError {
            address: address.to_owned(),
            why: "there is no link".to_owned(),
        })?;
        PlainDial.dial(peer, &over.to_string(), keepalive)
    }
}

struct Seat {
    grpc: SocketAddr,
    http: SocketAddr,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

/// Coordinators, their links, and agents.
pub struct Linked {
    dir: TempDir,
    seats: BTreeMap<u64, Seat>,
    /// From the coordinator that dials to the one that listens.
    links: BTreeMap<(u64, u64), Proxy>,
    agents: BTreeMap<HostId, (FakeEngine, CancellationToken)>,
}

impl Linked {
    /// So many coordinators with the default timeouts, their links like `link`, and a cluster of
    /// them. A host is lost `lost_after_ms` after the end of its lease of 2 s.
    ///
    /// # Errors
    /// When they do not become a cluster in time.
    pub async fn start(count: u64, link: Link, lost_after_ms: u64) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        fs::create_dir(dir.path().join("soa"))?;
        let mut cluster = Self {
            dir,
            seats: BTreeMap::new(),
            links: BTreeMap::new(),
            agents: BTreeMap::new(),
        };
        let mut listeners = BTreeMap::new();
        for id in 1..=count {
            let (grpc, http) = (free().await?, free().await?);
            let seat = Seat {
                grpc: grpc.local_addr()?,
                http: http.local_addr()?,
                running: None,
            };
            cluster.seats.insert(id, seat);
            listeners.insert(id, (grpc, http));
        }
        for from in 1..=count {
            for to in (1..=count).filter(|to| *to != from) {
                let proxy = Proxy::to(cluster.seat(to)?.grpc).await?;
                proxy.set(link);
                cluster.links.insert((from, to), proxy);
            }
        }
        for (id, (grpc, http)) in listeners {
            cluster.run(id, grpc, http, lost_after_ms).await?;
        }
        cluster.init().await?;
        Ok(cluster)
    }

    async fn init(&self) -> Result<()> {
        let members = self.seats.iter();
        let request = InitRequest {
            cluster: "demo".to_owned(),
            members: members
                .map(|(id, seat)| (*id, seat.grpc.to_string()))
                .collect(),
        };
        self.until("the cluster is made", || async {
            let mut first = ClusterClient::new(self.channel(1).ok()?);
            first.init(request.clone()).await.ok()
        })
        .await
        .map(drop)
    }

    async fn run(
        &mut self,
        id: u64,
        grpc: TcpListener,
        http: TcpListener,
        lost_after_ms: u64,
    ) -> Result<()> {
        let options = self.options(id, lost_after_ms)?;
        let token = CancellationToken::new();
        let clock = Arc::new(SystemClock);
        let (limits, http_room) = (options.connections, options.http_room);
        let coordinator = Coordinator::start(options, clock, token.clone()).await?;
        let counts = coordinator.leader.metrics.connections().clone();
        let incoming = Connections::new(grpc, limits, &counts, None);
        let http = http::acceptor(http, http_room, &counts);
        let router = coordinator.api().router();
        let stop = token.clone();
        let task = tokio::spawn(async move {
            let reading = http::serve(http, router, stop);
            let (served, ()) = tokio::join!(coordinator.serve(incoming), reading);
            served.expect("the coordinator runs until it is stopped");
        });
        let seat = self.seats.get_mut(&id).context("no such coordinator")?;
        seat.running = Some((token, task));
        Ok(())
    }

    fn options(&self, id: u64, lost_after_ms: u64) -> Result<Options> {
        let mut system = SystemConfig {
            cluster: Some("demo".parse()?),
            docker_registry: Some("registry:5000".to_owned()),
            soa_dir: self.soa().display().to_string(),
            ..SystemConfig::default()
        };
        system.deployments.generate = false;
        let seat = self.seat(id)?;
        let ours = &mut system.coordinator;
        ours.node_id = Some(id);
        ours.listen = seat.grpc.to_string();
        ours.advertise.clone_from(&ours.listen);
        ours.data_dir = self.dir.path().join(format!("c{id}")).display().to_string();
        ours.lease_ms = 2_000;
        ours.lost_after_ms = lost_after_ms;
        let mut options = Options::new(system)?;
        let links = self.links.iter().filter(|((from, _), _)| *from == id);
        options.raft.dial = Arc::new(LinkDial(
            links
                .map(|((_, to), proxy)| (*to, proxy.address()))
                // A coordinator reaches itself without a link.
                .chain([(id, seat.grpc)])
                .collect(),
        ));
        Ok(options)
    }

    /// Stops a coordinator for good.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(&mut self, id: u64) -> Result<()> {
        let seat = self.seats.get_mut(&id).context("no such coordinator")?;
        if let Some((token, task)) = seat.running.take() {
            token.cancel();
            tokio::time::timeout(PATIENCE, task).await??;
        }
        Ok(())
    }

    /// Makes every link like this.
    pub fn set_links(&self, link: Link) {
        for proxy in self.links.values() {
            proxy.set(link);
        }
    }

    /// Cuts a coordinator off from all the others.
    pub fn cut(&self, id: u64, how: Cut) {
        let held = Direction {
            held: true,
            ..Direction::default()
        };
        let free = Direction::default();
        // Of what it sends, and of what it is sent.
        let (out, into) = match how {
            Cut::Off => (held, held),
            Cut::Deaf => (free, held),
            Cut::Mute => (held, free),
        };
        for ((from, to), proxy) in &self.links {
            if *from == id {
                proxy.set(Link {
                    there: out,
                    back: into,
                });
            } else if *to == id {
                proxy.set(Link {
                    there: into,
                    back: out,
                });
            }
        }
    }

    /// Cuts what one coordinator dials of another, both ways; what that one dials stays.
    ///
    /// # Errors
    /// When there is no such link.
    pub fn cut_dialled(&self, from: u64, to: u64) -> Result<()> {
        let link = self.links.get(&(from, to)).context("no such link")?;
        link.set(Link::cut());
        Ok(())
    }

    /// Where services are declared.
    pub fn soa(&self) -> PathBuf {
        self.dir.path().join("soa")
    }

    /// Declares `SERVICE.main` and deploys it.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn declare(&self, service: &str, yaml: &str) -> Result<()> {
        let dir = self.soa().join(service);
        fs::create_dir_all(&dir)?;
        let sha = "a".repeat(40);
        let v1 = serde_json::json!({ format!("{service}:paasta-demo.main"): {
            "docker_image": format!("services-{service}:paasta-{sha}"),
            "desired_state": "start", "force_bounce": null,
        }});
        let text = serde_json::json!({ "v1": v1 }).to_string();
        fs::write(dir.join("deployments.json"), text)?;
        Ok(fs::write(dir.join("marathon-demo.yaml"), yaml)?)
    }

    /// Starts an agent that knows these coordinators, asked in this order.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn agent(&mut self, number: u16, coordinators: &[u64]) -> Result<()> {
        let name = format!("h{number}");
        let dir = self.dir.path().join(&name);
        let info = host(&name)?;
        let clock = Arc::new(SystemClock);
        let engine = FakeEngine::new(clock.clone());
        let sandboxes = dir.join("sandboxes").display().to_string();
        let ports = 11_000 + number * 100;
        let parts = Parts {
            engine: Arc::new(engine.clone()),
            clock,
            seed: u64::from(number),
            settings: HostSettings::new(info.id.clone(), &info.address, &sandboxes),
            mounts: Default::default(),
            state_dir: dir,
            port_range: (ports, ports + 99),
            max_parallel: 8,
            patience: Patience::default(),
            sandbox_budget_bytes: 1 << 20,
            log_budget_bytes: 1 << 20,
            collect: Default::default(),
            pace: Pace {
                every: Duration::from_millis(200),
                patience: Duration::from_secs(2),
                ..Pace::default()
            },
        };
        let token = CancellationToken::new();
        let agent = Agent::start(parts, token.clone())?;
        let addresses = coordinators
            .iter()
            .map(|id| Ok(self.seat(*id)?.grpc.to_string()));
        let sessions = Sessions {
            agent: agent.handle.clone(),
            host: info.clone(),
            boot_id: "boot".to_owned(),
            coordinators: addresses.collect::<Result<_>>()?,
            cluster: None,
            dial: Arc::new(session::PlainDial),
            endpoints: None,
        };
        tokio::spawn(sessions.run(token.clone()));
        self.agents.insert(info.id, (engine, token));
        Ok(())
    }

    /// Ends the agent of a host; its containers stay.
    ///
    /// # Errors
    /// When there is no such agent.
    pub fn end_agent(&self, number: u16) -> Result<()> {
        let id: HostId = format!("h{number}").parse()?;
        let (_, token) = self.agents.get(&id).context("there is no such agent")?;
        token.cancel();
        Ok(())
    }

    /// Where a coordinator serves HTTP.
    ///
    /// # Errors
    /// When there is no such coordinator.
    pub fn http(&self, id: u64) -> Result<SocketAddr> {
        Ok(self.seat(id)?.http)
    }

    /// How many containers run on all hosts, and how many were ever made.
    pub fn containers(&self) -> (usize, u64) {
        let engines = self.agents.values().map(|(engine, _)| engine);
        engines.fold((0, 0), |(run, made), engine| {
            (run + engine.containers().len(), made + engine.created())
        })
    }

    /// What a coordinator says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn node(&self, id: u64) -> Result<NodeResponse> {
        let answer = ClusterClient::new(self.channel(id)?)
            .node(NodeRequest {})
            .await;
        Ok(answer?.into_inner())
    }

    /// What the coordinator says of the cluster, as its leader or by asking it.
    ///
    /// # Errors
    /// When it has no answer.
    pub async fn metastatus(&self, id: u64) -> Result<MetastatusResponse> {
        let mut client = AdminClient::new(self.channel(id)?);
        let answer = client.metastatus(MetastatusRequest::default()).await;
        Ok(answer?.into_inner())
    }

    /// An HTTP answer: the status code and the body.
    ///
    /// # Errors
    /// When there is none.
    pub async fn get(&self, id: u64, path: &'static str) -> Result<(u16, String)> {
        let address = self.seat(id)?.http;
        tokio::task::spawn_blocking(move || crate::http::answer(address, path)).await?
    }

    /// The one that leads, asked of these.
    pub async fn leader_of(&self, ids: &[u64]) -> Option<u64> {
        for id in ids {
            let node = self.node(*id).await;
            if node.is_ok_and(|node| node.role() == NodeRole::Leader) {
                return Some(*id);
            }
        }
        None
    }

    /// Makes a write through one coordinator: an operator's request about host h1 that changes
    /// nothing, and is in the log of a majority all the same when it is acknowledged.
    ///
    /// # Errors
    /// When it is not acknowledged.
    pub async fn write(&self, id: u64, request: &str) -> Result<()> {
        let mut client = OperateClient::new(self.channel(id)?);
        let asker = Asker {
            request_id: request.to_owned(),
            by: "test".to_owned(),
        };
        let request = UndrainHostRequest {
            asker: Some(asker),
            host: "h1".to_owned(),
        };
        client.undrain_host(request).await?;
        Ok(())
    }

    /// Looks until there is what is waited for.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn until<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        look: impl Fn() -> F,
    ) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(found) = look().await {
                return Ok(found);
            }
            tokio::time::sleep(STEP).await;
        }
        bail!("not within {PATIENCE:?}: {what}")
    }

    fn seat(&self, id: u64) -> Result<&Seat> {
        let seat = self.seats.get(&id);
        seat.with_context(|| format!("there is no coordinator {id}"))
    }

    /// A channel to a coordinator, over no link.
    ///
    /// # Errors
    /// When there is no such coordinator.
    pub fn channel(&self, id: u64) -> Result<Channel> {
        let address = self.seat(id)?.grpc;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        Ok(endpoint.timeout(CALL).connect_lazy())
    }

    /// Stops everything.
    ///
    /// # Errors
    /// When a coordinator does not end.
    pub async fn end(mut self) -> Result<()> {
        self.set_links(Link::default());
        for (_, token) in self.agents.values() {
            token.cancel();
        }
        let ids: Vec<u64> = self.seats.keys().copied().collect();
        for id in ids {
            self.stop(id).await?;
        }
        ensure!(self.seats.values().all(|seat| seat.running.is_none()));
        Ok(())
    }
}

async fn free() -> io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await
}

fn host(name: &str) -> Result<HostInfo> {
    Ok(HostInfo {
        id: HostId::new(name)?,
        machine: None,
        address: "127.0.0.1".to_owned(),
        pool: "default".to_owned(),
        attributes: BTreeMap::new(),
        capacity: Resources {
            cpus_milli: 4_000,
            mem_mb: 4_096,
            disk_mb: 100_000,
            gpus: 0,
        },
        agent_version: "test".to_owned(),
    })
}
