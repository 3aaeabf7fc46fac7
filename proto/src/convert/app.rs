//! One version of an instance, complete.

use paasta_common::app::{
    AppSpec, Constraint, DockerArgs, HealthCheck, NetworkMode, Probe, Ulimit, Volume,
};

use super::{
    WireError, port, required, resources_from_wire, resources_to_wire,
    words::{operator_from_wire, operator_to_wire, ordered},
};
use crate::v1;

/// The app as a word.
///
/// # Errors
/// [`WireError`] names the field: no resources, an unknown network, check or constraint, a port
/// that is none.
pub fn app_from_wire(wire: v1::AppSpec) -> Result<AppSpec, WireError> {
    let constraints = wire.constraints.into_iter().enumerate().map(|(at, wire)| {
        constraint_from_wire(wire).map_err(|error| error.within(format!("constraints[{at}]")))
    });
    Ok(AppSpec {
        image: wire.image,
        git_sha: wire.git_sha,
        resources: resources_from_wire(required(wire.resources, "resources")?),
        cpu_burst_milli: wire.cpu_burst_milli,
        cfs_period_us: wire.cfs_period_us,
        cmd: wire.cmd,
        args: wire.args,
        env: wire.env,
        net: net_from_wire(wire.net, &wire.net_word)?,
        container_port: port(wire.container_port, "container_port")?,
        host_port: port(wire.host_port, "host_port")?,
        volumes: wire.volumes.into_iter().map(volume_from_wire).collect(),
        ulimits: wire
            .ulimits
            .into_iter()
            .map(|(name, limit)| {
                let (soft, hard) = (limit.soft, limit.hard);
                (name, Ulimit { soft, hard })
            })
            .collect(),
        cap_add: wire.cap_add,
        health: wire
            .health
            .map(|check| health_from_wire(check).map_err(|error| error.within("health")))
            .transpose()?,
        backoff_factor: wire.backoff_factor,
        backoff_max_ms: wire.backoff_max_ms,
        pool: wire.pool,
        constraints: constraints.collect::<Result<_, _>>()?,
        docker: wire.docker.map(docker_from_wire).unwrap_or_default(),
    })
}

/// The app for the wire.
pub fn app_to_wire(app: &AppSpec) -> v1::AppSpec {
    v1::AppSpec {
        image: app.image.clone(),
        git_sha: app.git_sha.clone(),
        resources: Some(resources_to_wire(app.resources)),
        cpu_burst_milli: app.cpu_burst_milli,
        cfs_period_us: app.cfs_period_us,
        cmd: app.cmd.clone(),
        args: app.args.clone(),
        env: app.env.clone(),
        net: Some(net_to_wire(&app.net)),
        net_word: String::new(),
        container_port: app.container_port.into(),
        host_port: app.host_port.into(),
        volumes: app.volumes.iter().map(volume_to_wire).collect(),
        ulimits: app
            .ulimits
            .iter()
            .map(|(name, limit)| {
                let (soft, hard) = (limit.soft, limit.hard);
                (name.clone(), v1::Ulimit { soft, hard })
            })
            .collect(),
        cap_add: app.cap_add.clone(),
        health: app.health.as_ref().map(health_to_wire),
        backoff_factor: app.backoff_factor,
        backoff_max_ms: app.backoff_max_ms,
        pool: app.pool.clone(),
        constraints: app.constraints.iter().map(constraint_to_wire).collect(),
        docker: (!app.docker.is_empty()).then(|| docker_to_wire(&app.docker)),
    }
}

fn docker_from_wire(wire: v1::DockerArgs) -> DockerArgs {
    DockerArgs {
        add_hosts: wire.add_hosts,
        dns: wire.dns,
        dns_options: wire.dns_options,
        dns_search: wire.dns_search,
        labels: wire.labels,
        read_only: wire.read_only,
        shm_bytes: wire.shm_bytes,
        stop_signal: wire.stop_signal,
        user: wire.user,
    }
}

fn docker_to_wire(args: &DockerArgs) -> v1::DockerArgs {
    let args = args.clone();
    v1::DockerArgs {
        add_hosts: args.add_hosts,
        dns: args.dns,
        dns_options: args.dns_options,
        dns_search: args.dns_search,
        labels: args.labels,
        read_only: args.read_only,
        shm_bytes: args.shm_bytes,
        stop_signal: args.stop_signal,
        user: args.user,
    }
}

fn net_from_wire(wire: Option<v1::Network>, text: &str) -> Result<NetworkMode, WireError> {
    let v1::Network { mode, name } = wire.unwrap_or_default();
    match (ordered::<v1::NetworkMode>("net", mode, text)?, &*name) {
        (v1::NetworkMode::Bridge, "") => Ok(NetworkMode::Bridge),
        (v1::NetworkMode::Host, "") => Ok(NetworkMode::Host),
        (v1::NetworkMode::None, "") => Ok(NetworkMode::None),
        (v1::NetworkMode::Named, name) if !name.is_empty() => {
            Ok(NetworkMode::Named(name.to_owned()))
        }
        (v1::NetworkMode::Named, _) => Err(WireError::new("net", "the network has no name")),
        (v1::NetworkMode::Bridge | v1::NetworkMode::Host | v1::NetworkMode::None, name) => {
            let problem = format!("a name, {name:?}, of a network that has none");
            Err(WireError::new("net", problem))
        }
        (v1::NetworkMode::Unspecified, _) => Err(WireError::not_given::<v1::NetworkMode>("net")),
    }
}

fn net_to_wire(net: &NetworkMode) -> v1::Network {
    let (mode, name) = match net {
        NetworkMode::Bridge => (v1::NetworkMode::Bridge, ""),
        NetworkMode::Host => (v1::NetworkMode::Host, ""),
        NetworkMode::None => (v1::NetworkMode::None, ""),
        NetworkMode::Named(name) => (v1::NetworkMode::Named, name.as_str()),
    };
    v1::Network {
        mode: mode.into(),
        name: name.to_owned(),
    }
}

fn volume_from_wire(wire: v1::Volume) -> Volume {
    Volume {
        container_path: wire.container_path,
        host_path: wire.host_path,
        read_only: wire.read_only,
    }
}

fn volume_to_wire(volume: &Volume) -> v1::Volume {
    v1::Volume {
        container_path: volume.container_path.clone(),
        host_path: volume.host_path.clone(),
        read_only: volume.read_only,
    }
}

fn health_from_wire(wire: v1::HealthCheck) -> Result<HealthCheck, WireError> {
    let mode = ordered::<v1::HealthCheckMode>("mode", wire.mode, &wire.mode_word)?;
    let probe = match mode {
        v1::HealthCheckMode::Http => Probe::Http { uri: wire.uri },
        v1::HealthCheckMode::Https => Probe::Https { uri: wire.uri },
        v1::HealthCheckMode::Tcp => Probe::Tcp,
        v1::HealthCheckMode::Cmd => Probe::Cmd {
            command: wire.command,
        },
        v1::HealthCheckMode::Unspecified => {
            return Err(WireError::not_given::<v1::HealthCheckMode>("mode"));
        }
    };
    Ok(HealthCheck {
        probe,
        grace_ms: wire.grace_ms,
        interval_ms: wire.interval_ms,
        timeout_ms: wire.timeout_ms,
        max_consecutive_failures: wire.max_consecutive_failures,
    })
}

fn health_to_wire(check: &HealthCheck) -> v1::HealthCheck {
    let (mode, uri, command) = match &check.probe {
        Probe::Http { uri } => (v1::HealthCheckMode::Http, uri.as_str(), ""),
        Probe::Https { uri } => (v1::HealthCheckMode::Https, uri.as_str(), ""),
        Probe::Tcp => (v1::HealthCheckMode::Tcp, "", ""),
        Probe::Cmd { command } => (v1::HealthCheckMode::Cmd, "", command.as_str()),
    };
    v1::HealthCheck {
        mode: mode.into(),
        mode_word: String::new(),
        uri: uri.to_owned(),
        command: command.to_owned(),
        grace_ms: check.grace_ms,
        interval_ms: check.interval_ms,
        timeout_ms: check.timeout_ms,
        max_consecutive_failures: check.max_consecutive_failures,
    }
}

fn constraint_from_wire(wire: v1::Constraint) -> Result<Constraint, WireError> {
    Ok(Constraint {
        operator: operator_from_wire(&wire)?,
        attribute: wire.attribute,
        value: wire.value,
    })
}

fn constraint_to_wire(constraint: &Constraint) -> v1::Constraint {
    v1::Constraint {
        attribute: constraint.attribute.clone(),
        operator: operator_to_wire(constraint.operator).into(),
        operator_word: String::new(),
        value: constraint.value.clone(),
    }
}
