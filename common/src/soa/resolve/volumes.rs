//! The mounts of a container: the operator's, and those of the author's that the operator allows.

use super::Resolver;
use crate::{
    app::Volume,
    config::SystemConfig,
    id::InstanceId,
    problem::{Problem, Rule},
    soa::InstanceConfig,
};

/// A process that holds this socket owns the host; no service may have it, allowed directory or not.
const DOCKER_SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/docker.sock"];

/// A process that reaches the socket in it may be an admin of the cluster.
const RUN_DIRS: [&str; 2] = ["/run/paasta-coordinator", "/var/run/paasta-coordinator"];

impl Resolver<'_> {
    /// The operator's volumes and the instance's, without duplicates, sorted.
    pub(super) fn volumes(&mut self) -> Vec<Volume> {
        let mut volumes: Vec<Volume> = Vec::new();
        for volume in &self.system.volumes {
            add(&mut volumes, normal(volume));
        }
        let system = volumes.clone();
        for extra in &self.config.extra_volumes {
            let volume = normal(&extra.volume);
            let taken = volumes.iter().find(|one| {
                one.container_path == volume.container_path && one.host_path != volume.host_path
            });
            let reason = match taken {
                // The very mount that the operator gives to everyone: nothing is asked for.
                None if system.iter().any(|one| same(one, &volume)) => None,
                None => self.forbidden(&volume.host_path),
                Some(other) => Some(format!(
                    "{} is already where {} is mounted",
                    volume.container_path, other.host_path
                )),
            };
            match reason {
                None => add(&mut volumes, volume),
                Some(reason) => {
                    let field = format!("{}.extra_volumes", self.id.instance);
                    let problem = extra.mark.error(field, reason);
                    self.problems.push(problem.by(Rule::Forbidden));
                }
            }
        }
        volumes.sort();
        volumes
    }

    /// Why a service may not mount this path of the host.
    fn forbidden(&self, path: &str) -> Option<String> {
        let configured = self.system.agent.docker_socket.as_str();
        let sockets = DOCKER_SOCKETS.into_iter().chain([configured]);
        for socket in sockets {
            if within(socket, path) || within(path, socket) {
                return Some(format!("{path} would give the container Docker's socket"));
            }
        }
        let configured = self.system.coordinator.run_dir.as_str();
        for dir in RUN_DIRS.into_iter().chain([configured]) {
            if within(dir, path) || within(path, dir) {
                return Some(format!(
                    "{path} would give the container the local socket of a coordinator"
                ));
            }
        }
        let allowed = &self.system.allowed_extra_volumes;
        if allowed.iter().any(|directory| within(path, directory)) {
            return None;
        }
        let list = match allowed.is_empty() {
            true => "none are".to_owned(),
            false => format!("allowed are {}", allowed.join(", ")),
        };
        Some(format!(
            "host path {path} is not allowed ({list}); an operator allows it by \
             allowed_extra_volumes in /etc/paasta"
        ))
    }
}

/// Mounts that an instance asks for RW and gets RO, since the operator gives them to every container
/// like that.
pub(crate) fn narrowed(
    id: &InstanceId,
    config: &InstanceConfig,
    system: &SystemConfig,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for extra in &config.extra_volumes {
        let volume = normal(&extra.volume);
        // The first of the operator's own counts.
        let given = system
            .volumes
            .iter()
            .find(|one| same(&normal(one), &volume));
        if !volume.read_only && given.is_some_and(|given| given.read_only) {
            let message = format!(
                "{} is mounted RO: the operator gives it to every container, and that mode counts",
                volume.container_path
            );
            let field = format!("{}.extra_volumes", id.instance);
            problems.push(extra.mark.warning(field, message).by(Rule::Unsupported));
        }
    }
    problems
}

/// Without the trailing `/` that would hide a duplicate.
fn normal(volume: &Volume) -> Volume {
    let trimmed = |path: &str| {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        format!("/{}", parts.join("/"))
    };
    Volume {
        container_path: trimmed(&volume.container_path),
        host_path: trimmed(&volume.host_path),
        read_only: volume.read_only,
    }
}

/// The first of two equal mounts stays, so that the operator's mode wins.
fn add(volumes: &mut Vec<Volume>, volume: Volume) {
    if !volumes.iter().any(|one| same(one, &volume)) {
        volumes.push(volume);
    }
}

fn same(a: &Volume, b: &Volume) -> bool {
    (&a.container_path, &a.host_path) == (&b.container_path, &b.host_path)
}

/// Whether `path` is `directory` or below it; both absolute.
fn within(path: &str, directory: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
