//! The desired app of an instance in Marathon's shape: what PaaSTA would have posted to Marathon.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use paasta_process::http::Problem;
use paasta_proto::{
    v1::{
        AppSpec, ConstraintOperator, DescribeRequest, DescribeResponse, HealthCheck,
        HealthCheckMode, Network, NetworkMode, admin_server::Admin as _,
    },
    words,
};
use serde::Serialize;
use tonic::Request;

use super::{Json, Named, unknown};
use crate::http::{Api, answer::Reading};

/// Marathon's app.
#[derive(Serialize)]
pub(super) struct MarathonApp {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<String>,
    cpus: f64,
    mem: u64,
    disk: u64,
    gpus: u64,
    instances: u32,
    env: BTreeMap<String, String>,
    constraints: Vec<Vec<String>>,
    container: Container,
    #[serde(rename = "healthChecks")]
    health_checks: Vec<Check>,
    #[serde(rename = "backoffSeconds")]
    backoff_seconds: f64,
    #[serde(rename = "backoffFactor")]
    backoff_factor: u32,
    #[serde(rename = "maxLaunchDelaySeconds")]
    max_launch_delay_seconds: f64,
}

#[derive(Serialize)]
struct Container {
    #[serde(rename = "type")]
    kind: &'static str,
    docker: Docker,
    volumes: Vec<Volume>,
}

#[derive(Serialize)]
struct Docker {
    image: String,
    network: String,
    #[serde(rename = "portMappings")]
    port_mappings: Vec<Port>,
    parameters: Vec<Parameter>,
}

#[derive(Serialize)]
struct Port {
    #[serde(rename = "containerPort")]
    container_port: u32,
    #[serde(rename = "hostPort")]
    host_port: u32,
    protocol: &'static str,
}

#[derive(Serialize)]
struct Parameter {
    key: &'static str,
    value: String,
}

#[derive(Serialize)]
struct Volume {
    #[serde(rename = "containerPath")]
    container_path: String,
    #[serde(rename = "hostPath")]
    host_path: String,
    mode: &'static str,
}

#[derive(Serialize)]
struct Check {
    protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<BTreeMap<&'static str, String>>,
    #[serde(rename = "portIndex")]
    port_index: u32,
    #[serde(rename = "gracePeriodSeconds")]
    grace: f64,
    #[serde(rename = "intervalSeconds")]
    interval: f64,
    #[serde(rename = "timeoutSeconds")]
    timeout: f64,
    #[serde(rename = "maxConsecutiveFailures")]
    max_consecutive_failures: u32,
}

/// `GET /services/S/I/marathon_app`
pub(super) async fn get(
    State(api): State<Api>,
    Path((service, instance)): Named,
    Query(reading): Query<Reading>,
) -> Result<Json<MarathonApp>, Problem> {
    let ask = DescribeRequest {
        instance: format!("{service}.{instance}"),
        stale: reading.is_stale(),
    };
    let answer = api.admin.describe(Request::new(ask)).await;
    let found = answer.map_err(|status| unknown(&api, &service, &instance, &status))?;
    Ok(Json(marathon(found.into_inner())))
}

fn marathon(found: DescribeResponse) -> MarathonApp {
    let app = found.spec.unwrap_or_default();
    let resources = app.resources.unwrap_or_default();
    let run = found.run.unwrap_or_default();
    let constraints = app.constraints.iter().map(|constraint| {
        let operator = words::word::<ConstraintOperator>(constraint.operator);
        let words = [constraint.attribute.clone(), operator.into_owned()];
        words.into_iter().chain(constraint.value.clone()).collect()
    });
    MarathonApp {
        id: found.app,
        cpus: resources.cpus_milli as f64 / 1_000.0,
        mem: resources.mem_mb,
        disk: resources.disk_mb,
        gpus: resources.gpus,
        instances: found.instances,
        constraints: constraints.collect(),
        health_checks: app.health.iter().map(check).collect(),
        backoff_seconds: seconds(run.backoff_base_ms),
        backoff_factor: app.backoff_factor,
        max_launch_delay_seconds: seconds(app.backoff_max_ms),
        container: container(&app),
        cmd: app.cmd,
        args: app.args,
        env: app.env,
    }
}

fn container(app: &AppSpec) -> Container {
    let limits = app.ulimits.iter().map(|(name, limit)| Parameter {
        key: "ulimit",
        value: match limit.hard {
            Some(hard) => format!("{name}={}:{hard}", limit.soft),
            None => format!("{name}={}", limit.soft),
        },
    });
    let caps = app.cap_add.iter().map(|name| Parameter {
        key: "cap-add",
        value: name.clone(),
    });
    let volumes = app.volumes.iter().map(|volume| Volume {
        container_path: volume.container_path.clone(),
        host_path: volume.host_path.clone(),
        mode: if volume.read_only { "RO" } else { "RW" },
    });
    let network = app.net.as_ref().map(words::network::text);
    let mapped = app.net.as_ref().map(Network::mode) == Some(NetworkMode::Bridge);
    let port = mapped.then_some(Port {
        container_port: app.container_port,
        host_port: app.host_port,
        protocol: "tcp",
    });
    Container {
        kind: "DOCKER",
        docker: Docker {
            image: app.image.clone(),
            network: network.unwrap_or_default().to_ascii_uppercase(),
            port_mappings: port.into_iter().collect(),
            parameters: limits.chain(caps).collect(),
        },
        volumes: volumes.collect(),
    }
}

fn check(check: &HealthCheck) -> Check {
    let protocol = match HealthCheckMode::try_from(check.mode) {
        Ok(HealthCheckMode::Cmd) => "COMMAND".to_owned(),
        Ok(
            HealthCheckMode::Unspecified
            | HealthCheckMode::Http
            | HealthCheckMode::Https
            | HealthCheckMode::Tcp,
        )
        | Err(_) => words::word::<HealthCheckMode>(check.mode).to_ascii_uppercase(),
    };
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Check {
        protocol,
        path: some(&check.uri),
        command: some(&check.command).map(|value| BTreeMap::from([("value", value)])),
        port_index: 0,
        grace: seconds(check.grace_ms),
        interval: seconds(check.interval_ms),
        timeout: seconds(check.timeout_ms),
        max_consecutive_failures: check.max_consecutive_failures,
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}
