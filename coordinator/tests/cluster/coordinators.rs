//! Coordinators on loopback with a soa directory of their own.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use paasta_common::{app::Volume, config::SystemConfig, overcommit::Pools};
use paasta_coordinator::{
    options::Options,
    run::{RunError, run},
};
use paasta_proto::v1::{
    DeployStatus, HostState, HostStatus, InitRequest, InstanceStatus, MetastatusRequest,
    NodeRequest, NodeResponse, NodeRole, StatusRequest, admin_client::AdminClient,
    cluster_client::ClusterClient, members_client::MembersClient,
    snapshots_client::SnapshotsClient,
};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

const STEP: Duration = Duration::from_millis(50);
const ANSWER: Duration = Duration::from_secs(30);

pub(crate) struct Coordinators {
    dir: TempDir,
    /// What each coordinator is told of the pools when it starts.
    pub(crate) pools: Pools,
    /// The cluster in the configuration of each coordinator that starts.
    pub(crate) name: String,
    /// What each coordinator's own files say of `volumes` when it starts: host paths.
    pub(crate) volumes: BTreeMap<u64, Vec<String>>,
    /// How long an instance must be absent before it is removed, milliseconds.
    pub(crate) removal_patience_ms: u64,
    /// The repositories of services without `git_url`, for each coordinator that starts.
    pub(crate) git_url_template: Option<String>,
    addresses: BTreeMap<u64, SocketAddr>,
    http: BTreeMap<u64, SocketAddr>,
    running: BTreeMap<u64, (CancellationToken, JoinHandle<()>)>,
    git: Git,
}

/// What the coordinators do about the services' repositories.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Git {
    /// Nothing: the test writes deployments.json.
    Ignored,
    /// They ask every second.
    Asked,
    /// They ask once an hour and when they are told.
    Hooked,
}

impl Coordinators {
    pub(crate) async fn start(count: u64) -> Self {
        Self::start_with(count, BTreeMap::new(), Git::Ignored).await
    }

    /// Coordinators that wait so many milliseconds before they remove what is absent.
    pub(crate) async fn start_patient(count: u64, patience_ms: u64) -> Self {
        let mut cluster = Self::new(count, BTreeMap::new(), Git::Ignored);
        cluster.removal_patience_ms = patience_ms;
        cluster.begin().await;
        cluster
    }

    /// The same, with HTTP served.
    pub(crate) async fn start_with_http(count: u64) -> Self {
        Self::start_with(count, free_addresses(count), Git::Ignored).await
    }

    /// Coordinators that ask the services' repositories what runs.
    pub(crate) async fn following_git(count: u64) -> Self {
        Self::start_with(count, BTreeMap::new(), Git::Asked).await
    }

    /// Coordinators that ask them once an hour, and when a hook tells of a push.
    pub(crate) async fn told_by_hooks(count: u64) -> Self {
        Self::start_with(count, free_addresses(count), Git::Hooked).await
    }

    /// Coordinators whose own files say different things of `volumes`.
    pub(crate) async fn start_drifted(count: u64, volumes: &[(u64, &str)]) -> Self {
        let mut cluster = Self::new(count, BTreeMap::new(), Git::Ignored);
        cluster.set_volumes(volumes);
        cluster.begin().await;
        cluster
    }

    /// What the files of coordinators say from their next start on.
    pub(crate) fn set_volumes(&mut self, volumes: &[(u64, &str)]) {
        for (id, path) in volumes {
            self.volumes.insert(*id, vec![(*path).to_owned()]);
        }
    }

    async fn start_with(count: u64, http: BTreeMap<u64, SocketAddr>, git: Git) -> Self {
        let mut cluster = Self::new(count, http, git);
        cluster.begin().await;
        cluster
    }

    fn new(count: u64, http: BTreeMap<u64, SocketAddr>, git: Git) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("soa")).expect("a directory");
        Self {
            dir,
            pools: Pools::new(),
            name: "demo".to_owned(),
            volumes: BTreeMap::new(),
            removal_patience_ms: 1_000,
            git_url_template: None,
            addresses: free_addresses(count),
            http,
            running: BTreeMap::new(),
            git,
        }
    }

    /// Starts all of them and makes the cluster.
    async fn begin(&mut self) {
        for id in self.ids() {
            self.restart(id).await;
        }
        let members = self
            .addresses
            .iter()
            .map(|(id, address)| (*id, address.to_string()))
            .collect();
        let request = InitRequest {
            cluster: "demo".to_owned(),
            members,
        };
        let mut client = ClusterClient::new(self.channel(1));
        let deadline = Instant::now() + ANSWER;
        loop {
            match client.init(request.clone()).await {
                Ok(_) => break,
                Err(status) if Instant::now() > deadline => panic!("init: {status}"),
                Err(_) => tokio::time::sleep(STEP).await,
            }
        }
        let again = client
            .init(request)
            .await
            .expect("doing it twice is harmless");
        assert!(!again.into_inner().created);
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.addresses.keys().copied().collect()
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.addresses.values().map(ToString::to_string).collect()
    }

    /// One more coordinator, running but of no cluster. Returns its address.
    pub(crate) async fn spare(&mut self, id: u64) -> String {
        let address = self.reserve(id);
        self.restart(id).await;
        address
    }

    /// Waits until a coordinator answers.
    pub(crate) async fn wait_listening(&self, id: u64) {
        self.wait_for("it listens", || self.node(id)).await;
    }

    /// Looks until there is what is waited for.
    pub(crate) async fn wait_for<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        look: impl Fn() -> F,
    ) -> T {
        let deadline = Instant::now() + ANSWER;
        while Instant::now() < deadline {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(STEP).await;
        }
        panic!("{what}: not within {ANSWER:?}");
    }

    /// The same, with HTTP served.
    pub(crate) async fn spare_with_http(&mut self, id: u64) -> String {
        let free = free_addresses(1).into_values().next();
        self.http.insert(id, free.expect("one was asked for"));
        self.spare(id).await
    }

    /// An address for a coordinator that does not run yet.
    pub(crate) fn reserve(&mut self, id: u64) -> String {
        let taken: Vec<SocketAddr> = self.addresses.values().copied().collect();
        let free = free_addresses(taken.len() as u64 + 1);
        let address = free.into_values().find(|free| !taken.contains(free));
        let address = address.expect("more are free than are taken");
        self.addresses.insert(id, address);
        address.to_string()
    }

    /// A stopped coordinator is no part of this any more.
    pub(crate) fn forget(&mut self, id: u64) {
        assert!(!self.running.contains_key(&id), "{id} runs");
        self.addresses.remove(&id);
    }

    /// Runs a coordinator that is expected to end by itself.
    pub(crate) async fn run_to_its_end(&self, id: u64) -> Result<(), RunError> {
        let ended = run(self.options(id), CancellationToken::new());
        let ended = tokio::time::timeout(ANSWER, ended).await;
        ended.expect("it ends in time")
    }

    pub(crate) fn data_dir(&self, id: u64) -> PathBuf {
        self.dir.path().join(format!("data-{id}"))
    }

    /// A directory for what the test itself writes.
    pub(crate) fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// The file with the secret of hooks, which the test writes.
    pub(crate) fn hook_secret(&self) -> PathBuf {
        self.dir.path().join("hook-secret")
    }

    /// Where a coordinator serves HTTP.
    pub(crate) fn http(&self, id: u64) -> SocketAddr {
        self.http[&id]
    }

    pub(crate) fn members(&self, id: u64) -> MembersClient<Channel> {
        MembersClient::new(self.channel(id))
    }

    pub(crate) fn cluster(&self, id: u64) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel(id))
    }

    pub(crate) fn snapshots(&self, id: u64) -> SnapshotsClient<Channel> {
        SnapshotsClient::new(self.channel(id))
    }

    pub(crate) async fn restart(&mut self, id: u64) {
        let options = self.options(id);
        let token = CancellationToken::new();
        let stop = token.clone();
        let task = tokio::spawn(async move {
            run(options, stop).await.expect("the coordinator runs");
        });
        self.running.insert(id, (token, task));
    }

    pub(crate) async fn kill(&mut self, id: u64) {
        let (token, task) = self.running.remove(&id).expect("it runs");
        token.cancel();
        tokio::time::timeout(ANSWER, task)
            .await
            .expect("it stops in time")
            .expect("no panic");
    }

    pub(crate) async fn stop(mut self) {
        for id in self.ids() {
            if self.running.contains_key(&id) {
                self.kill(id).await;
            }
        }
    }

    /// Writes `marathon-demo.yaml` of the service.
    pub(crate) fn declare(&self, service: &str, yaml: &str) {
        let dir = self.soa().join(service);
        fs::create_dir_all(&dir).expect("a directory");
        replace(&dir.join("marathon-demo.yaml"), yaml);
    }

    /// Deploys the sha of forty times `digit` for every instance of the service.
    pub(crate) fn deploy(&self, service: &str, digit: char) {
        let sha: String = std::iter::repeat_n(digit, 40).collect();
        let entry = |instance: &str| {
            serde_json::json!({
                "docker_image": format!("services-{service}:paasta-{sha}"),
                "desired_state": "start", "force_bounce": null, "name": instance,
            })
        };
        let key = |instance| format!("{service}:paasta-demo.{instance}");
        let v1 = serde_json::json!({ key("main"): entry("main"), key("web"): entry("web") });
        let text = serde_json::json!({ "v1": v1 }).to_string();
        replace(&self.soa().join(service).join("deployments.json"), &text);
    }

    pub(crate) async fn wait_running(
        &self,
        instance: &str,
        count: u32,
        patience: Duration,
    ) -> InstanceStatus {
        self.wait(instance, patience, |status| {
            status.deploy_status() == DeployStatus::Running
                && status
                    .counts
                    .as_ref()
                    .is_some_and(|counts| counts.happy == count)
        })
        .await
    }

    /// Waits until the status of the instance is as `wanted`; panics with the last one.
    pub(crate) async fn wait(
        &self,
        instance: &str,
        patience: Duration,
        wanted: impl Fn(&InstanceStatus) -> bool,
    ) -> InstanceStatus {
        let (service, name) = instance.split_once('.').expect("SERVICE.INSTANCE");
        let request = StatusRequest {
            service: service.to_owned(),
            instances: vec![name.to_owned()],
            replicas: true,
            ..StatusRequest::default()
        };
        let deadline = Instant::now() + patience;
        let mut last = String::new();
        while Instant::now() < deadline {
            for id in self.running.keys() {
                match self.admin(*id).status(request.clone()).await {
                    Ok(response) => {
                        let status = response.into_inner().instances.remove(0);
                        if wanted(&status) {
                            return status;
                        }
                        last = format!("{status:#?}");
                    }
                    Err(status) => last = status.to_string(),
                }
            }
            tokio::time::sleep(STEP).await;
        }
        panic!("{instance} did not become as wanted within {patience:?}; last: {last}");
    }

    pub(crate) async fn wait_hosts(&self, count: usize) {
        let deadline = Instant::now() + ANSWER;
        while Instant::now() < deadline {
            let asked = self.admin(1).metastatus(MetastatusRequest::default()).await;
            let up = |host: &&HostStatus| host.state() == HostState::Up && host.connected;
            if asked.is_ok_and(|told| told.get_ref().hosts.iter().filter(up).count() == count) {
                return;
            }
            tokio::time::sleep(STEP).await;
        }
        panic!("{count} hosts did not register within {ANSWER:?}");
    }

    pub(crate) async fn leader(&self, patience: Duration) -> u64 {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            for id in self.running.keys() {
                if self
                    .node(*id)
                    .await
                    .is_some_and(|node| node.role() == NodeRole::Leader)
                {
                    return *id;
                }
            }
            tokio::time::sleep(STEP).await;
        }
        panic!("no leader within {patience:?}");
    }

    pub(crate) async fn wait_caught_up(&self, id: u64, patience: Duration) {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let mut applied = Vec::new();
            for id in self.running.keys() {
                applied.push(self.node(*id).await.map(|node| node.applied_index));
            }
            let own = self.node(id).await.map(|node| node.applied_index);
            if own.is_some() && applied.iter().all(|other| other <= &own) {
                return;
            }
            tokio::time::sleep(STEP).await;
        }
        panic!("coordinator {id} did not catch up within {patience:?}");
    }

    /// Where the alert command writes what it is told.
    pub(crate) fn alerts(&self) -> std::path::PathBuf {
        self.dir.path().join("alerts")
    }

    pub(crate) fn admin(&self, id: u64) -> AdminClient<Channel> {
        AdminClient::new(self.channel(id))
    }

    pub(crate) async fn node(&self, id: u64) -> Option<NodeResponse> {
        let answer = ClusterClient::new(self.channel(id))
            .node(NodeRequest {})
            .await;
        answer.ok().map(tonic::Response::into_inner)
    }

    pub(crate) fn channel(&self, id: u64) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.addresses[&id]))
            .expect("an address")
            .connect_timeout(Duration::from_secs(1))
            .timeout(ANSWER)
            .connect_lazy()
    }

    pub(crate) fn soa(&self) -> std::path::PathBuf {
        self.dir.path().join("soa")
    }

    pub(crate) fn options(&self, id: u64) -> Options {
        let mut system = SystemConfig {
            cluster: Some(self.name.parse().expect("a name")),
            docker_registry: Some("registry:5000".to_owned()),
            soa_dir: self.soa().to_string_lossy().into_owned(),
            sensu_host: None,
            pools: self.pools.clone(),
            volumes: self
                .volumes
                .get(&id)
                .into_iter()
                .flatten()
                .map(|path| Volume {
                    container_path: path.clone(),
                    host_path: path.clone(),
                    read_only: true,
                })
                .collect(),
            ..SystemConfig::default()
        };
        let ours = &mut system.coordinator;
        ours.node_id = Some(id);
        ours.listen = self.addresses[&id].to_string();
        ours.advertise = ours.listen.clone();
        ours.http_listen = match self.http.get(&id) {
            Some(address) => address.to_string(),
            None => "off".to_owned(),
        };
        ours.data_dir = self.data_dir(id).to_string_lossy().into_owned();
        // Few, so that snapshots are made and logs are cut in every test.
        ours.snapshot_every = 50;
        // Short, but longer than a loaded machine or a slow disk lets a whole process stand still.
        ours.heartbeat_ms = 150;
        ours.election_timeout_min_ms = 600;
        ours.election_timeout_max_ms = 1200;
        ours.lease_ms = 3000;
        ours.lost_after_ms = 2000;
        ours.removal_patience_ms = self.removal_patience_ms;
        // The tests write deployments.json themselves; those of git say so.
        system.deployments.generate = self.git != Git::Ignored;
        system.deployments.every_seconds = 1;
        system.deployments.git_url_template = self.git_url_template.clone();
        if self.git == Git::Hooked {
            let secret = self.hook_secret().to_string_lossy().into_owned();
            system.deployments.every_seconds = 3600;
            system.deployments.hook_secret_file = Some(secret);
        }
        system.deployments.remote_timeout_seconds = 3;
        system.alerts.check_seconds = 1;
        system.alerts.after_seconds = 1;
        let append = format!("cat >> {}", self.alerts().display());
        system.alerts.command = ["/bin/sh", "-c", &append].map(str::to_owned).to_vec();
        let mut options = Options::new(system).expect("they are valid");
        // As in a large cluster: only what changed is planned anew.
        options.small_replicas = 0;
        options
    }
}

fn replace(path: &Path, text: &str) {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text).expect("it can be written");
    fs::rename(temporary, path).expect("it can be renamed");
}

fn free_addresses(count: u64) -> BTreeMap<u64, SocketAddr> {
    // Held together, so that none is given twice.
    let listeners: Vec<std::net::TcpListener> = (0..count)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    let addresses = listeners
        .iter()
        .map(|one| one.local_addr().expect("it is bound"));
    (1..).zip(addresses).collect()
}
