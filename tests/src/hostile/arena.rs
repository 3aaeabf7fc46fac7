//! Three real coordinator processes, with a proxy in each direction between every two of them.
//!
//! A member has one address for everybody, `paasta-cN:PORT`; what that means depends on who asks.
//! Each process has a mount namespace of its own, in which its `/etc/hosts` leads to its proxies.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use paasta_proto::v1::{
    InitRequest, NodeRequest, NodeResponse, NodeRole, cluster_client::ClusterClient,
};
use tonic::transport::{Channel, Endpoint};

use crate::{
    cluster::{binaries::binaries, daemon::Daemon},
    loopback::SmallDisk,
    proxy::{Direction, Link, Proxy},
};

/// The cluster's name.
pub const CLUSTER: &str = "demo";
/// The members' ids.
pub const MEMBERS: [u64; 3] = [1, 2, 3];
/// A coordinator answers within this time after its start, also on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(2);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The disk of each data directory.
const DISK_MIB: u64 = 96;

/// The coordinators, and the ways between them. Dropped, they are killed.
pub struct Arena {
    dir: PathBuf,
    group: String,
    ports: BTreeMap<u64, u16>,
    http: BTreeMap<u64, u16>,
    running: BTreeMap<u64, Daemon>,
    /// By who dials and who listens.
    links: BTreeMap<(u64, u64), Proxy>,
    /// Below the data directories; the last field, as processes are on them.
    disks: BTreeMap<u64, SmallDisk>,
}

impl Arena {
    /// Starts them and makes the cluster. `group` is the test's own word, for its cgroup.
    pub async fn up(dir: &Path, group: &str) -> Result<Self> {
        let mut arena = Self {
            dir: dir.to_owned(),
            group: group.to_owned(),
            ports: free_ports()?,
            http: free_ports()?,
            running: BTreeMap::new(),
            links: BTreeMap::new(),
            disks: BTreeMap::new(),
        };
        for dialling in MEMBERS {
            for listening in MEMBERS.into_iter().filter(|one| *one != dialling) {
                let near =
                    SocketAddr::from((link_ip(dialling, listening), arena.ports[&listening]));
                let proxy = Proxy::on(near, arena.address(listening)).await?;
                arena.links.insert((dialling, listening), proxy);
            }
            let image = arena.dir.join(format!("disk-{dialling}"));
            let disk = SmallDisk::make(&image, &arena.disk_dir(dialling), DISK_MIB)?;
            arena.disks.insert(dialling, disk);
            arena.configure(dialling)?;
        }
        fs::create_dir_all(arena.soa())?;
        for id in MEMBERS {
            arena.start(id)?;
        }
        arena.init().await?;
        Ok(arena)
    }

    async fn init(&self) -> Result<()> {
        for id in MEMBERS {
            self.wait_listening(id).await?;
        }
        let request = InitRequest {
            cluster: CLUSTER.to_owned(),
            members: MEMBERS.into_iter().map(|id| (id, self.name(id))).collect(),
        };
        ClusterClient::new(self.channel(1)?)
            .init(request)
            .await
            .context("cluster init")?;
        Ok(())
    }

    fn configure(&self, id: u64) -> Result<()> {
        let dir = self.config_dir(id);
        fs::create_dir_all(&dir)?;
        let own = format!("127.0.0.1 localhost {}\n", host(id));
        let others = MEMBERS.into_iter().filter(|other| *other != id);
        let others = others.map(|other| format!("{} {}\n", link_ip(id, other), host(other)));
        fs::write(self.hosts_file(id), own + &others.collect::<String>())?;
        let (listen, name) = (self.address(id), self.name(id));
        let (http, soa) = (self.http_address(id), self.soa());
        let (soa, data) = (soa.display(), self.data_dir(id));
        let data = data.display();
        let text = format!(
            "cluster: {CLUSTER}
docker_registry: registry.example:5000
volumes: []
soa_dir: {soa}
coordinator:
  node_id: {id}
  listen: {listen}
  advertise: {name}
  http_listen: {http}
  data_dir: {data}
  snapshot_every: 100
  lost_after_ms: 6000
deployments:
  generate: true
  every_seconds: 1
"
        );
        fs::write(dir.join("paasta.yaml"), text)?;
        Ok(())
    }

    /// Starts a coordinator.
    pub fn start(&mut self, id: u64) -> Result<()> {
        let log = self.dir.join(format!("coordinator-{id}.log"));
        let program = binaries()?.join("paasta-coordinator");
        let words = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            "mount --bind \"$0\" /etc/hosts && exec \"$@\"",
            &self.hosts_file(id).display().to_string(),
            &program.display().to_string(),
            "run",
            "--config-dir",
            &self.config_dir(id).display().to_string(),
        ];
        let daemon = Daemon::start(
            &format!("coordinator {id}"),
            &self.group,
            &words.map(str::to_owned),
            &log,
        )?;
        self.running.insert(id, daemon);
        Ok(())
    }

    /// SIGKILL; returns when it is dead.
    pub fn kill(&mut self, id: u64) -> Result<()> {
        let daemon = self.running.remove(&id);
        daemon
            .with_context(|| format!("coordinator {id} does not run"))?
            .kill()
    }

    /// Starts a member again that has ended by itself. False when it still runs.
    pub fn revive(&mut self, id: u64) -> Result<bool> {
        let runs = self.running.get_mut(&id).is_some_and(Daemon::is_running);
        if !runs {
            self.running.remove(&id);
            self.start(id)?;
        }
        Ok(!runs)
    }

    /// Sends a signal.
    pub fn signal(&self, id: u64, signal: Signal) -> Result<()> {
        let daemon = self.running.get(&id);
        daemon
            .with_context(|| format!("coordinator {id} does not run"))?
            .signal(signal)
    }

    /// Whether each process that was started still runs; otherwise the end of its log is the error.
    pub fn check_running(&mut self) -> Result<()> {
        for (id, daemon) in &mut self.running {
            ensure!(
                daemon.is_running(),
                "coordinator {id} ended by itself\n{}",
                daemon.tail()
            );
        }
        Ok(())
    }

    /// The ends of all logs.
    pub fn tails(&self) -> String {
        self.running.values().map(Daemon::tail).collect()
    }

    /// Cuts everything between `id` and the others.
    pub fn cut(&self, id: u64) {
        self.set_links(id, Link::cut(), Link::cut());
    }

    /// Nothing that the others send reaches `id`; what it sends arrives.
    pub fn deafen(&self, id: u64) {
        // Where it dials, answers are held; where others dial, what they ask.
        self.set_links(id, held_back(), held_there());
    }

    /// Nothing that `id` sends reaches the others; what they send arrives.
    pub fn mute(&self, id: u64) {
        self.set_links(id, held_there(), held_back());
    }

    /// Every way between two coordinators takes this long, there and back.
    pub fn slow(&self, round_trip: Duration) {
        for link in self.links.values() {
            link.set(Link::slow(round_trip));
        }
    }

    /// Every way is free again.
    pub fn heal(&self) {
        for link in self.links.values() {
            link.set(Link::default());
        }
    }

    fn set_links(&self, id: u64, dialled_by_it: Link, dialled_to_it: Link) {
        for ((dialling, listening), link) in &self.links {
            if *dialling == id {
                link.set(dialled_by_it);
            } else if *listening == id {
                link.set(dialled_to_it);
            }
        }
    }

    /// The member that says it leads in the highest term, among those that answer.
    pub async fn leader(&self) -> Result<u64> {
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        loop {
            let mut leading = Vec::new();
            for id in MEMBERS {
                let node = self.node(id).await;
                leading.extend(
                    node.filter(|node| node.role() == NodeRole::Leader)
                        .map(|node| (node.term, id)),
                );
            }
            if let Some((_, id)) = leading.into_iter().max() {
                return Ok(id);
            }
            ensure!(
                tokio::time::Instant::now() < deadline,
                "no leader within {START_LIMIT:?}"
            );
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// The highest term that any member knows of.
    pub async fn term(&self) -> u64 {
        let mut term = 0;
        for id in MEMBERS {
            term = term.max(self.node(id).await.map_or(0, |node| node.term));
        }
        term
    }

    /// What a member says of itself; none when it does not answer.
    pub async fn node(&self, id: u64) -> Option<NodeResponse> {
        let mut client = ClusterClient::new(self.channel(id).ok()?);
        let asked = tokio::time::timeout(ANSWER, client.node(NodeRequest {})).await;
        asked.ok()?.ok().map(tonic::Response::into_inner)
    }

    /// Waits until a member answers.
    pub async fn wait_listening(&self, id: u64) -> Result<()> {
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        while self.node(id).await.is_none() {
            if tokio::time::Instant::now() > deadline {
                bail!(
                    "coordinator {id} does not answer within {START_LIMIT:?}\n{}",
                    self.tails()
                );
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// A connection to a member that is made when it is used.
    pub fn channel(&self, id: u64) -> Result<Channel> {
        Ok(
            Endpoint::from_shared(format!("http://{}", self.address(id)))?
                .connect_timeout(ANSWER)
                .connect_lazy(),
        )
    }

    /// Where clients and agents reach a member.
    pub fn address(&self, id: u64) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[&id]))
    }

    /// Where a member serves HTTP.
    pub fn http_address(&self, id: u64) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.http[&id]))
    }

    /// By what the members know each other.
    pub fn name(&self, id: u64) -> String {
        format!("{}:{}", host(id), self.ports[&id])
    }

    /// The directory with all there is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// yelpsoa-configs.
    pub fn soa(&self) -> PathBuf {
        self.dir.join("soa")
    }

    /// The data directory of a member.
    pub fn data_dir(&self, id: u64) -> PathBuf {
        self.disk_dir(id).join("store")
    }

    /// The disk under the data directory of a member.
    pub fn disk(&self, id: u64) -> Result<&SmallDisk> {
        let disk = self.disks.get(&id);
        disk.with_context(|| format!("coordinator {id} has no disk"))
    }

    fn disk_dir(&self, id: u64) -> PathBuf {
        self.dir.join(format!("data-{id}"))
    }

    /// The configuration of a member.
    pub fn config_dir(&self, id: u64) -> PathBuf {
        self.dir.join(format!("config-{id}"))
    }

    fn hosts_file(&self, id: u64) -> PathBuf {
        self.dir.join(format!("hosts-{id}"))
    }
}

fn held() -> Direction {
    Direction {
        held: true,
        ..Direction::default()
    }
}

fn held_there() -> Link {
    Link {
        there: held(),
        ..Link::default()
    }
}

fn held_back() -> Link {
    Link {
        back: held(),
        ..Link::default()
    }
}

fn host(id: u64) -> String {
    format!("paasta-c{id}")
}

/// Where `dialling` finds `listening`: a proxy on the loopback network.
fn link_ip(dialling: u64, listening: u64) -> Ipv4Addr {
    let part = |id: u64| u8::try_from(id).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 0, 100 + part(dialling), part(listening))
}

/// A free port for each member: all are held until all are found.
fn free_ports() -> Result<BTreeMap<u64, u16>> {
    let held: Vec<_> = MEMBERS
        .into_iter()
        .map(|id| std::net::TcpListener::bind("127.0.0.1:0").map(|socket| (id, socket)))
        .collect::<std::io::Result<_>>()?;
    held.into_iter()
        .map(|(id, socket)| Ok((id, socket.local_addr()?.port())))
        .collect()
}
