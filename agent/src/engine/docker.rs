//! dockerd, over its socket. Only here and below is the client library named.

mod attach;
mod exec;
mod files;
mod images;
mod logs;
mod processes;
mod storage;
mod transport;

use std::{collections::HashMap, future::ready, path::PathBuf, time::Duration};

use bollard::{
    API_DEFAULT_VERSION, BollardRequest, Docker,
    errors::Error,
    models::{
        ContainerCreateBody, ContainerSummary, ContainerSummaryStateEnum, DeviceRequest,
        EventMessage, HostConfig, HostConfigLogConfig, PortBinding, ResourcesUlimits,
        RestartPolicy, RestartPolicyNameEnum,
    },
    query_parameters::{
        EventsOptions, ListContainersOptions, RemoveContainerOptions, StopContainerOptions,
    },
};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use paasta_agent_core::{
    collect::Stock,
    disk::Storage,
    docker_run, labels,
    observed::{ContainerState, LocalImage, Seen},
};
use paasta_common::{container::ContainerSpec, report::PullProgress, time::Timestamp};
use paasta_process::{chain::chain, simulated};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{Answer, Attached, Command, Engine, EngineError, Entries, Executed, Hint, Inspected};
pub use transport::ANSWER_MAX;

/// The client's own timeout, seconds: longer than any the agent sets, which are the ones that
/// count.
const CLIENT_TIMEOUT_S: u64 = 24 * 3600;
/// How long the daemon may take to say which version of its API it speaks. Apart from what the
/// caller allows, which may be half an hour.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);
/// How much is kept of what the daemon says when it fails, bytes.
const WORDS_MAX: usize = 1_000;
/// What the daemon says to a second removal while the first goes on.
const REMOVAL_GOES_ON: &str = "is already in progress";
/// How often it is looked whether such a removal has ended.
const REMOVAL_LOOK: Duration = Duration::from_millis(200);

/// dockerd behind one socket.
pub struct DockerEngine {
    socket: PathBuf,
    credentials: PathBuf,
    /// The client, once the daemon has said which version it speaks.
    client: Mutex<Option<Docker>>,
    /// Whether its storage driver can limit writable layers, once that is known.
    limits: Mutex<Option<bool>>,
    checks: exec::Checks,
}

impl DockerEngine {
    /// The daemon at this socket; registries are shown what `credentials`, a docker config.json,
    /// holds. Nothing is asked of the daemon before it is needed: it may be down.
    pub fn new(socket: impl Into<PathBuf>, credentials: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            credentials: credentials.into(),
            client: Mutex::new(None),
            limits: Mutex::new(None),
            checks: exec::Checks::default(),
        }
    }

    /// Each caller that finds no version known asks for it by itself: none waits for another.
    async fn client(&self) -> Result<Docker, EngineError> {
        if let Some(known) = self.client.lock().clone() {
            return Ok(known);
        }
        let client = self.connect(transport::ANSWER_MAX).await?;
        *self.client.lock() = Some(client.clone());
        Ok(client)
    }

    /// A client whose answers have at most `answer_max` bytes each.
    async fn connect(&self, answer_max: u64) -> Result<Docker, EngineError> {
        let socket = self.socket.clone();
        let client = Docker::connect_with_custom_transport(
            move |request: BollardRequest| transport::send(socket.clone(), request, answer_max),
            Some("http://docker"),
            CLIENT_TIMEOUT_S,
            API_DEFAULT_VERSION,
        );
        let client = client.map_err(told)?.negotiate_version();
        timeout(VERSION_TIMEOUT, client)
            .await
            .map_err(|_| EngineError::Silent(format!("nothing within {VERSION_TIMEOUT:?}")))?
            .map_err(told)
    }

    /// Waits for the end of a removal that somebody has begun.
    async fn until_removed(&self, container: &str) -> Result<(), EngineError> {
        loop {
            match self.inspect(container).await {
                Err(EngineError::Missing(_)) => return Ok(()),
                Err(error) => return Err(error),
                Ok(_) => sleep(REMOVAL_LOOK).await,
            }
        }
    }

    /// Asks for the version again next time: another daemon may listen there by then.
    fn forget_version(&self) {
        *self.client.lock() = None;
        *self.limits.lock() = None;
    }

    /// Finds the container whose name is taken, if it is the very one that was to be made.
    async fn adopt(&self, spec: &ContainerSpec, conflict: String) -> Result<String, EngineError> {
        let found = self.inspect(&spec.name).await?;
        let identity = [labels::CLUSTER, labels::HOST, labels::REPLICA, labels::RUN];
        let identity = identity.into_iter().map(|label| {
            let value = spec.labels.get(label).cloned().unwrap_or_default();
            (label.to_owned(), value)
        });
        match found.is(&identity.collect()) {
            true => Ok(found.container),
            false => Err(EngineError::Refused(conflict)),
        }
    }
}

/// The request by which a container is made: what never varies is here, in the open.
pub fn create_body(spec: &ContainerSpec) -> ContainerCreateBody {
    let exposed = spec
        .ports
        .iter()
        .map(|port| format!("{}/tcp", port.container_port));
    ContainerCreateBody {
        hostname: spec.hostname.clone(),
        user: spec.docker.user.clone(),
        stop_signal: spec.docker.stop_signal.clone(),
        image: Some(spec.image.clone()),
        entrypoint: optional(&spec.entrypoint),
        cmd: optional(&spec.command),
        env: Some(
            spec.env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        labels: Some(spec.labels.clone().into_iter().collect()),
        working_dir: Some(spec.working_dir.clone()),
        exposed_ports: Some(exposed.collect()),
        tty: Some(false),
        open_stdin: Some(false),
        attach_stdin: Some(false),
        attach_stdout: Some(false),
        attach_stderr: Some(false),
        stop_timeout: Some(seconds(spec.stop_grace_ms)),
        host_config: Some(host_config(spec)),
        ..ContainerCreateBody::default()
    }
}

fn optional(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn host_config(spec: &ContainerSpec) -> HostConfig {
    let bindings = spec.ports.iter().map(|port| {
        let binding = PortBinding {
            host_ip: Some(String::new()),
            host_port: Some(port.host_port.to_string()),
        };
        (format!("{}/tcp", port.container_port), Some(vec![binding]))
    });
    let ulimits = spec.ulimits.iter().map(|(name, limit)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard.unwrap_or(limit.soft)),
    });
    let logs = [
        ("max-size", spec.log_max_bytes.to_string()),
        ("max-file", spec.log_max_files.to_string()),
    ];
    let size = || {
        let size = format!("{}m", spec.disk_limit_mb);
        HashMap::from([("size".to_owned(), size)])
    };
    let no_new_privileges = || vec!["no-new-privileges".to_owned()];
    let gpus = DeviceRequest {
        count: Some(signed(spec.gpus)),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    };
    HostConfig {
        privileged: Some(false),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        auto_remove: Some(false),
        init: Some(true),
        security_opt: (!spec.new_privileges).then(no_new_privileges),
        readonly_rootfs: Some(spec.docker.read_only),
        cpu_shares: Some(signed(spec.cpu_shares)),
        cpu_period: Some(signed(spec.cpu_period_us)),
        cpu_quota: Some(signed(spec.cpu_quota_us)),
        memory: Some(signed(spec.memory_bytes)),
        memory_swap: Some(signed(spec.memory_swap_bytes)),
        pids_limit: (spec.pids_limit > 0).then(|| signed(spec.pids_limit)),
        shm_size: (spec.docker.shm_bytes > 0).then(|| signed(spec.docker.shm_bytes)),
        device_requests: (spec.gpus > 0).then(|| vec![gpus]),
        storage_opt: (spec.disk_limit_mb > 0).then(size),
        network_mode: Some(docker_run::network_name(&spec.network).to_owned()),
        extra_hosts: optional(&spec.docker.add_hosts),
        dns: optional(&spec.docker.dns),
        dns_options: optional(&spec.docker.dns_options),
        dns_search: optional(&spec.docker.dns_search),
        port_bindings: Some(bindings.collect()),
        binds: Some(spec.mounts.iter().map(docker_run::bind).collect()),
        cap_add: Some(spec.cap_add.clone()),
        cap_drop: Some(spec.cap_drop.clone()),
        ulimits: Some(ulimits.collect()),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(logs.map(|(name, value)| (name.to_owned(), value)).into()),
        }),
        ..HostConfig::default()
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Whole seconds, rounded up: the engine knows nothing finer.
fn seconds(ms: u64) -> i64 {
    signed(ms.div_ceil(1000))
}

/// What the daemon said, by what can be made of it.
fn told(error: Error) -> EngineError {
    let mut told = sorted(error);
    let (EngineError::Missing(words) | EngineError::Refused(words) | EngineError::Silent(words)) =
        &mut told;
    if words.len() > WORDS_MAX {
        words.truncate(words.floor_char_boundary(WORDS_MAX));
        words.push_str("...");
    }
    told
}

fn sorted(error: Error) -> EngineError {
    match error {
        Error::DockerResponseServerError {
            status_code: 404,
            message,
        } => EngineError::Missing(message),
        Error::DockerResponseServerError { message, .. } => EngineError::Refused(message),
        Error::DockerStreamError { error } => EngineError::Refused(error),
        other => EngineError::Silent(chain(&other)),
    }
}

fn by_label(host: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{}={host}", labels::HOST)])])
}

fn seen(summary: ContainerSummary) -> Option<Seen> {
    use ContainerSummaryStateEnum as State;
    let held = summary.labels.unwrap_or_default();
    let label = |name: &str| held.get(name).map(String::as_str);
    let published = summary
        .ports
        .iter()
        .flatten()
        .find_map(|port| port.public_port);
    let name = summary.names.unwrap_or_default().into_iter().next();
    let created_s = u64::try_from(summary.created.unwrap_or(0)).unwrap_or(0);
    Some(Seen {
        container: summary.id?,
        name: name.unwrap_or_default().trim_start_matches('/').to_owned(),
        cluster_id: label(labels::CLUSTER).unwrap_or_default().to_owned(),
        host: label(labels::HOST).and_then(|text| text.parse().ok()),
        replica: label(labels::REPLICA).and_then(|text| text.parse().ok()),
        run: label(labels::RUN)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        state: match summary.state? {
            State::CREATED => ContainerState::Created,
            State::RUNNING | State::RESTARTING | State::STOPPING => ContainerState::Running,
            State::PAUSED => ContainerState::Paused,
            State::REMOVING => ContainerState::Removing,
            State::EXITED | State::DEAD | State::EMPTY => ContainerState::Exited,
        },
        created_at: Timestamp(created_s.saturating_mul(1000)),
        host_port: label(labels::HOST_PORT)
            .and_then(|text| text.parse().ok())
            .or(published),
    })
}

impl Engine for DockerEngine {
    fn list<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<Seen>> {
        Box::pin(async move {
            let options = ListContainersOptions {
                all: true,
                filters: Some(by_label(host)),
                ..ListContainersOptions::default()
            };
            let found = self.client().await?.list_containers(Some(options)).await;
            let found = found.inspect_err(|_| self.forget_version()).map_err(told)?;
            Ok(found.into_iter().filter_map(seen).collect())
        })
    }

    fn inspect<'a>(&'a self, container: &'a str) -> Answer<'a, Inspected> {
        Box::pin(async move {
            let found = self
                .client()
                .await?
                .inspect_container(container, None)
                .await;
            let found = found.map_err(told)?;
            let labels = found.config.and_then(|config| config.labels);
            let name = found.name.unwrap_or_default();
            let state = found.state.unwrap_or_default();
            let running = state.running.unwrap_or(false);
            let pid = state.pid.and_then(|pid| u32::try_from(pid).ok());
            let memory_kills = match pid.filter(|pid| running && *pid > 0) {
                Some(pid) => simulated::blocking(move || processes::memory_kills(pid)).await,
                None => Ok(None),
            };
            Ok(Inspected {
                name: name.trim_start_matches('/').to_owned(),
                paused: running && state.paused.unwrap_or(false),
                memory_kills: memory_kills.ok().flatten(),
                container: found.id.unwrap_or_default(),
                running,
                exit_code: state.exit_code.filter(|_| !running),
                ended_at: state
                    .finished_at
                    .as_deref()
                    .filter(|_| !running)
                    .and_then(moment),
                memory_killed: state.oom_killed.unwrap_or(false),
                labels: labels.unwrap_or_default().into_iter().collect(),
            })
        })
    }

    fn image<'a>(&'a self, image: &'a str) -> Answer<'a, Option<LocalImage>> {
        Box::pin(DockerEngine::image(self, image))
    }

    fn pull<'a>(
        &'a self,
        image: &'a str,
        progress: &'a watch::Sender<PullProgress>,
    ) -> Answer<'a, ()> {
        Box::pin(self.fetch(image, progress))
    }

    fn layer_bytes<'a>(&'a self, container: &'a str) -> Answer<'a, u64> {
        Box::pin(self.layer(container))
    }

    fn storage(&self) -> Answer<'_, Storage> {
        Box::pin(self.info())
    }

    fn stock(&self) -> Answer<'_, Stock> {
        Box::pin(DockerEngine::stock(self))
    }

    fn forget<'a>(&'a self, image: &'a str) -> Answer<'a, ()> {
        Box::pin(DockerEngine::forget(self, image))
    }

    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> Answer<'a, String> {
        Box::pin(self.make(spec))
    }

    fn start<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            self.client()
                .await?
                .start_container(container, None)
                .await
                .map_err(told)
        })
    }

    fn stop<'a>(&'a self, container: &'a str, grace_ms: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            let options = StopContainerOptions {
                t: Some(i32::try_from(seconds(grace_ms)).unwrap_or(i32::MAX)),
                signal: None,
            };
            self.client()
                .await?
                .stop_container(container, Some(options))
                .await
                .map_err(told)
        })
    }

    fn remove<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let options = RemoveContainerOptions {
                force: true,
                v: true,
                ..RemoveContainerOptions::default()
            };
            let client = self.client().await?;
            match client.remove_container(container, Some(options)).await {
                Err(Error::DockerResponseServerError {
                    status_code: 409,
                    message,
                }) if message.contains(REMOVAL_GOES_ON) => self.until_removed(container).await,
                removed => removed.map_err(told),
            }
        })
    }

    fn exec<'a>(
        &'a self,
        container: &'a str,
        command: &'a str,
        patience: Duration,
    ) -> Answer<'a, Executed> {
        Box::pin(self.check(container, command, patience))
    }

    fn attach<'a>(&'a self, container: &'a str, command: &'a Command) -> Answer<'a, Attached> {
        Box::pin(self.join(container, command))
    }

    fn logs<'a>(&'a self, container: &'a str, since_s: u64, follow: bool) -> Entries<'a> {
        logs::entries(self, container, since_s, follow)
    }

    fn hints<'a>(&'a self, host: &'a str) -> BoxStream<'a, Hint> {
        let events = async move {
            let mut filters = by_label(host);
            filters.insert("type".to_owned(), vec!["container".to_owned()]);
            let kinds = ["die", "destroy", "oom", "pause", "unpause"];
            filters.insert("event".to_owned(), kinds.map(str::to_owned).to_vec());
            let options = EventsOptions {
                filters: Some(filters),
                ..EventsOptions::default()
            };
            match self.client().await {
                Ok(client) => client
                    .events(Some(options))
                    .take_while(|event| ready(event.is_ok()))
                    .filter_map(|event| ready(event.ok().and_then(hint)))
                    .boxed(),
                Err(_) => stream::empty().boxed(),
            }
        };
        stream::once(events).flatten().boxed()
    }
}

/// The daemon's way to say when; a time before 1970 is its way to say never.
fn moment(text: &str) -> Option<Timestamp> {
    let moment: jiff::Timestamp = text.parse().ok()?;
    let ms = u64::try_from(moment.as_millisecond()).ok()?;
    Some(Timestamp(ms))
}

fn hint(event: EventMessage) -> Option<Hint> {
    let memory_kill = event.action.as_deref() == Some("oom");
    let at_ms = event.time_nano.map(|at_ns| at_ns / 1_000_000);
    let at = at_ms.and_then(|at_ms| u64::try_from(at_ms).ok());
    let held = event.actor?.attributes?;
    Some(Hint {
        memory_kill_at: at.filter(|_| memory_kill).map(Timestamp),
        replica: held.get(labels::REPLICA)?.parse().ok()?,
        run: held.get(labels::RUN)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests;
