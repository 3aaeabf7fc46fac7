//! The load balancer's settings and directories, from the operator's configuration.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use nix::{
    sys::resource::{Resource, getrlimit},
    unistd::{Group, Uid, User},
};
use paasta_agent_core::proxy::config::ProxySettings;
use paasta_common::{config::ProxyConfig, host::HostInfo};

use super::ProxyParts;

/// The user of HAProxy's workers, where the system has it.
const USER: &str = "haproxy";
/// File descriptors that are not for connections.
const DESCRIPTORS_KEPT: u64 = 1_000;

/// Why there can be no load balancer.
#[derive(Debug, thiserror::Error)]
#[error("cannot make agent.proxy's directory {path}")]
pub struct SetupError {
    /// The directory.
    pub path: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl ProxyParts {
    /// The settings of this host.
    pub fn new(config: &ProxyConfig, host: &HostInfo, state_dir: &Path) -> Self {
        let run_directory = PathBuf::from(&config.run_dir);
        let socket = |name: &str| format!("{}/{name}", config.run_dir);
        let loopback = std::net::Ipv4Addr::LOCALHOST;
        let settings = ProxySettings {
            addresses: config.addresses.clone(),
            stats: Some((loopback, config.stats_port).into()),
            max_connections: config.max_connections.min(connections_possible()),
            threads: config.threads,
            hard_stop_seconds: config.hard_stop_seconds,
            api_socket: socket("api.sock"),
            log_socket: socket("log.sock"),
            user: user(),
            location: host.attributes.clone(),
        };
        Self {
            settings,
            directory: state_dir.join("proxy"),
            run_directory,
            program: PathBuf::from(&config.program),
        }
    }

    /// Makes its directories. That of the sockets is open to HAProxy's group, which logs there.
    ///
    /// # Errors
    /// [`SetupError`] names the directory.
    pub fn prepare(&self) -> Result<(), SetupError> {
        let make = |path: &Path, mode: u32, group: Option<u32>| {
            let failed = |source| SetupError {
                path: path.display().to_string(),
                source,
            };
            fs::create_dir_all(path).map_err(failed)?;
            if group.is_some() {
                chown(path, None, group).map_err(failed)?;
            }
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)
        };
        let group = self.settings.user.as_deref();
        let group = group.and_then(|name| Group::from_name(name).ok().flatten());
        make(&self.directory, 0o700, None)?;
        make(
            &self.run_directory,
            0o710,
            group.map(|group| group.gid.as_raw()),
        )
    }
}

/// HAProxy drops its privileges only where it has some, and a user to become.
fn user() -> Option<String> {
    let known = User::from_name(USER).ok().flatten().is_some();
    let group = Group::from_name(USER).ok().flatten().is_some();
    (Uid::effective().is_root() && known && group).then(|| USER.to_owned())
}

/// Each connection needs a descriptor towards the client and one towards the server.
fn connections_possible() -> u32 {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(_, hard)| hard);
    let half = limit.saturating_sub(DESCRIPTORS_KEPT) / 2;
    u32::try_from(half).unwrap_or(u32::MAX).max(10)
}
