//! What an agent needs to know to run: configuration and flags become this once, checked.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use paasta_agent_core::{collect::CollectSettings, settings::HostSettings};
use paasta_common::{
    app::Resources,
    config::SystemConfig,
    host::HostInfo,
    id::{ClusterName, HostId, IdError},
};
use paasta_identity::{
    ClientCertificates, Files, IdentityDir, Role, Tls,
    tls::{OtherOwner, TlsError},
};
use paasta_process::private;

use crate::{
    capacity::{self, CapacityError},
    exec::ExecSettings,
    lanes::Patience,
    mounts::Mounts,
    proxy::ProxyParts,
    watch::Pace,
};

/// Where docker itself keeps its credentials, for when PaaSTA's file is not there.
const DOCKER_CREDENTIALS: &str = "/root/.docker/config.json";

/// The options of one agent.
#[derive(Debug, Clone)]
pub struct Options {
    /// The host as it is announced.
    pub host: HostInfo,
    /// What decisions depend on.
    pub settings: HostSettings,
    /// Which mounts of the host containers are given.
    pub mounts: Mounts,
    /// The cluster in the configuration.
    pub cluster: Option<ClusterName>,
    /// `HOST:PORT` of any coordinators.
    pub coordinators: Vec<String>,
    /// The ledger and the sandboxes.
    pub state_dir: PathBuf,
    /// dockerd's socket.
    pub docker_socket: PathBuf,
    /// Registry credentials.
    pub credentials: PathBuf,
    /// Host ports for containers.
    pub port_range: (u16, u16),
    /// Container operations at a time.
    pub max_parallel: usize,
    /// How long each may take.
    pub patience: Patience,
    /// Disk for the sandboxes of dead runs, bytes.
    pub sandbox_budget_bytes: u64,
    /// Disk for what all runs wrote, bytes.
    pub log_budget_bytes: u64,
    /// Disk for images, and which of them stay.
    pub collect: CollectSettings,
    /// How often the engine is looked at.
    pub pace: Pace,
    /// Whether and how commands of people are run in containers.
    pub exec: ExecSettings,
    /// The host's load balancer, when it has one.
    pub proxy: Option<ProxyParts>,
    /// TLS to the coordinators, with the files that it is from; plain text when absent.
    pub tls: Option<(Tls, Files)>,
    /// Whether the certificate is one that the cluster made, and renews.
    pub renews: bool,
}

/// An option that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// What could not be found out.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// The host's name is no id.
    #[error("set agent.host_id")]
    HostId(#[from] IdError),
    /// The state directory cannot be made.
    #[error("cannot create agent.state_dir {path}")]
    StateDir {
        /// The directory.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Containers are given its subdirectories.
    #[error("agent.state_dir {path} is not an absolute path; the container engine needs one")]
    Relative {
        /// The directory.
        path: String,
    },
    /// TLS cannot be used.
    #[error("agent.tls cannot be used")]
    Tls(#[from] TlsError),
    /// The certificate is another's.
    #[error(
        "agent.tls.certificate is that of {found}, and this is {expected}: give each host a certificate of its own, or correct `cluster` or agent.host_id"
    )]
    OtherIdentity {
        /// Whose it is.
        found: String,
        /// Whose it must be.
        expected: String,
    },
    /// There is nobody to obey.
    #[error("agent.coordinators is empty; expected HOST:PORT of one or more coordinators")]
    NoCoordinators,
    /// The file is named in another way.
    #[error("dockercfg_location {location:?} is not file:///PATH")]
    Credentials {
        /// The text.
        location: String,
    },
}

impl Options {
    /// Completes the configuration by what the host is.
    ///
    /// # Errors
    /// [`OptionsError`] names the key and what was expected.
    pub fn new(system: &SystemConfig) -> Result<Self, OptionsError> {
        let ours = &system.agent;
        let state_dir = state_dir(&ours.state_dir)?;
        let id = host_id(system)?;
        let dir = IdentityDir::new(ours.identity_dir().as_ref());
        let tls = tls(system, &id, &dir)?;
        let coordinators = coordinators(system, &dir);
        let first = coordinators.first().ok_or(OptionsError::NoCoordinators)?;
        let address = match &ours.address {
            Some(address) => address.clone(),
            None => capacity::address_towards(first)?,
        };
        let sandboxes = state_dir.join("sandboxes");
        let settings = HostSettings {
            reap_age_ms: ours.reap_age_seconds.saturating_mul(1_000),
            log_max_bytes: ours.log_max_bytes,
            log_max_files: ours.log_max_files,
            pids_limit: ours.pids_limit,
            new_privileges: ours.new_privileges,
            disk_limits: ours.disk_limits,
            dns: ours.dns.clone(),
            dns_search: ours.dns_search.clone(),
            ..HostSettings::new(id.clone(), &address, &sandboxes.to_string_lossy())
        };
        let host = HostInfo {
            id,
            address,
            pool: ours.pool.clone(),
            attributes: ours.attributes.clone(),
            capacity: offered(system, &state_dir)?,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: None,
        };
        Ok(Self {
            // What the certificate says need not be said twice.
            cluster: system
                .cluster
                .clone()
                .or_else(|| Some(tls.as_ref()?.0.identity().cluster().clone())),
            settings,
            mounts: Mounts::new(system),
            coordinators,
            docker_socket: PathBuf::from(&ours.docker_socket),
            credentials: credentials(&system.dockercfg_location)?,
            port_range: ours.port_range,
            max_parallel: ours.max_parallel as usize,
            patience: Patience::of(Duration::from_secs(ours.engine_timeout_seconds)),
            sandbox_budget_bytes: ours.sandbox_budget_bytes,
            log_budget_bytes: ours.log_budget_bytes,
            collect: collect(system),
            pace: Pace {
                disks: Duration::from_secs(ours.disk_look_seconds),
                ..Pace::default()
            },
            exec: ExecSettings {
                enabled: ours.exec,
                limit: Duration::from_secs(ours.exec_max_seconds),
            },
            proxy: ours
                .proxy
                .as_ref()
                .map(|proxy| ProxyParts::new(proxy, &host, &state_dir)),
            tls,
            renews: ours.tls.is_none(),
            host,
            state_dir,
        })
    }
}

/// Which images are removed.
fn collect(system: &SystemConfig) -> CollectSettings {
    let ours = &system.agent;
    CollectSettings {
        registry: system.docker_registry.clone().unwrap_or_default(),
        budget_bytes: ours.image_budget_bytes,
        min_age_ms: ours.image_min_age_seconds.saturating_mul(1_000),
        keep_per_service: ours.image_keep_per_service as usize,
    }
}

/// The state directory, made if it is not there.
fn state_dir(path: &str) -> Result<PathBuf, OptionsError> {
    let dir = PathBuf::from(path);
    let path = path.to_owned();
    if !dir.is_absolute() {
        return Err(OptionsError::Relative { path });
    }
    match private::directory(&dir) {
        Ok(()) => Ok(dir),
        Err(source) => Err(OptionsError::StateDir { path, source }),
    }
}

/// What the operator says, and what the host has where nothing is said.
fn offered(system: &SystemConfig, state_dir: &Path) -> Result<Resources, CapacityError> {
    let ours = &system.agent;
    let said = (ours.cpus_milli, ours.mem_mb, ours.disk_mb);
    let found = match said {
        (Some(_), Some(_), Some(_)) => Resources::default(),
        _ => capacity::detect(state_dir)?,
    };
    Ok(Resources {
        cpus_milli: ours.cpus_milli.unwrap_or(found.cpus_milli),
        mem_mb: ours.mem_mb.unwrap_or(found.mem_mb),
        disk_mb: ours.disk_mb.unwrap_or(found.disk_mb),
        gpus: ours.gpus.unwrap_or(0),
    })
}

/// The id of this host.
///
/// # Errors
/// [`OptionsError`] when it is not configured and the host's name is none.
pub fn host_id(system: &SystemConfig) -> Result<HostId, OptionsError> {
    match &system.agent.host_id {
        Some(id) => Ok(id.clone()),
        None => Ok(HostId::new(&capacity::host_name()?)?),
    }
}

/// The coordinators: those that are configured, or those that the host joined by.
fn coordinators(system: &SystemConfig, dir: &IdentityDir) -> Vec<String> {
    let ours = &system.agent;
    let joined = || {
        let text = std::fs::read_to_string(dir.coordinators()).ok()?;
        let lines: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        (!lines.is_empty()).then_some(lines)
    };
    let joined = (!ours.coordinators_given).then(joined).flatten();
    joined.unwrap_or_else(|| ours.coordinators.clone())
}

/// TLS with the configured files, or those of the identity, which must be this host's own. Its dates are looked at when a
/// coordinator is dialled: an agent without coordinators goes on with what it runs.
fn tls(
    system: &SystemConfig,
    host: &HostId,
    dir: &IdentityDir,
) -> Result<Option<(Tls, Files)>, OptionsError> {
    let files = match &system.agent.tls {
        Some(config) => Files::from(config),
        None if dir.is_complete() => dir.files(),
        None => return Ok(None),
    };
    let tls = Tls::read(&files, ClientCertificates::Required)?;
    let cluster = system.cluster.as_ref();
    tls.check_owner(cluster, Role::Agent, host.as_str())
        .map_err(
            |OtherOwner { expected, found }| OptionsError::OtherIdentity { expected, found },
        )?;
    Ok(Some((tls, files)))
}

fn credentials(location: &str) -> Result<PathBuf, OptionsError> {
    let path = location
        .strip_prefix("file://")
        .filter(|path| path.starts_with('/'))
        .ok_or_else(|| OptionsError::Credentials {
            location: location.to_owned(),
        })?;
    Ok(match Path::new(path).exists() {
        true => PathBuf::from(path),
        false => PathBuf::from(DOCKER_CREDENTIALS),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(change: impl FnOnce(&mut SystemConfig)) -> Result<Options, OptionsError> {
        let dir = tempfile::tempdir().unwrap();
        let mut system = SystemConfig::default();
        system.agent.state_dir = dir.path().join("state").to_string_lossy().into_owned();
        system.agent.host_id = Some("host1".parse().unwrap());
        change(&mut system);
        Options::new(&system)
    }

    #[test]
    fn what_is_not_said_is_found_out_and_what_is_said_holds() {
        let found = config(|_| {}).unwrap();
        assert_eq!(found.host.address, "127.0.0.1");
        assert!(found.host.capacity.cpus_milli >= 1_000);
        assert!(found.settings.sandboxes.ends_with("/state/sandboxes"));
        let said = config(|system| {
            system.agent.address = Some("10.0.0.9".to_owned());
            system.agent.cpus_milli = Some(500);
            system.agent.mem_mb = Some(64);
            system.agent.disk_mb = Some(10);
            system.agent.gpus = Some(2);
        });
        let said = said.unwrap();
        let capacity = Resources {
            cpus_milli: 500,
            mem_mb: 64,
            disk_mb: 10,
            gpus: 2,
        };
        assert_eq!(
            (said.host.capacity, said.settings.address.as_str()),
            (capacity, "10.0.0.9")
        );
    }

    #[test]
    fn what_can_not_be_used_is_named() {
        let no_one = config(|system| system.agent.coordinators.clear()).unwrap_err();
        assert!(no_one.to_string().contains("agent.coordinators"));
        let relative = config(|system| system.agent.state_dir = "state".to_owned()).unwrap_err();
        assert!(relative.to_string().contains("absolute"));
        let odd = config(|system| system.dockercfg_location = "http://x".to_owned()).unwrap_err();
        assert!(odd.to_string().contains("dockercfg_location"));
    }
}
