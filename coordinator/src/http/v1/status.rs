//! The status of an instance in PaaSTA's shape: what it calls Marathon is this cluster, its tasks
//! are replicas, and its smartstack is what agents hear from their load balancers.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use paasta_process::http::Problem;
use paasta_proto::{
    v1::{
        AppStatus, BounceMethod, DeployStatus, DesiredState, InstanceStatus, ReplicaHealth,
        ReplicaPhase, ReplicaStatus, StatusResponse,
    },
    words,
    worker::off_worker,
};
use serde::{Deserialize, Serialize};

use super::{Json, Named, delay::refusals, status_of};
use crate::http::{Api, answer::Flag};

/// Replicas that do not run, listed at most: the newest.
const NON_RUNNING_MAX: usize = 10;

/// What may be asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    verbose: Option<Flag>,
    omit_smartstack: Option<Flag>,
    omit_mesos: Option<Flag>,
    stale: Option<Flag>,
}

/// The answer.
#[derive(Serialize)]
pub(super) struct Status {
    service: String,
    instance: String,
    git_sha: String,
    marathon: Marathon,
}

#[derive(Serialize)]
struct Marathon {
    app_count: usize,
    deploy_status: &'static str,
    running_instance_count: u32,
    expected_instance_count: u32,
    desired_state: String,
    desired_app_id: String,
    bounce_method: String,
    backoff_seconds: Option<f64>,
    app_statuses: Vec<App>,
    #[serde(skip_serializing_if = "Option::is_none")]
    autoscaling_info: Option<Autoscaling>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mesos: Option<Mesos>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smartstack: Option<Smartstack>,
}

#[derive(Serialize)]
struct App {
    app_id: String,
    tasks_running: u32,
    tasks_healthy: u32,
    tasks_staged: u32,
    tasks_total: u32,
    create_timestamp: f64,
    deploy_status: &'static str,
    backoff_seconds: Option<f64>,
    unused_offer_reason_counts: BTreeMap<String, u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tasks: Vec<Task>,
}

/// One replica.
#[derive(Serialize)]
pub(super) struct Task {
    id: String,
    app_id: String,
    host: String,
    hostname: String,
    port: Option<u32>,
    state: String,
    deployed_timestamp: f64,
    is_healthy: bool,
}

#[derive(Serialize)]
struct Autoscaling {
    current_instances: u32,
    min_instances: u32,
    max_instances: u32,
    target_instances: u32,
}

#[derive(Serialize)]
struct Mesos {
    running_task_count: usize,
    running_tasks: Vec<Task>,
    non_running_tasks: Vec<Task>,
}

#[derive(Serialize)]
struct Smartstack {
    registration: String,
    expected_backends_per_location: u32,
    locations: Vec<Location>,
}

#[derive(Serialize)]
struct Location {
    name: String,
    running_backends_count: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backends: Vec<Backend>,
}

#[derive(Serialize)]
struct Backend {
    hostname: String,
    port: Option<u32>,
    status: &'static str,
    has_associated_task: bool,
}

/// `GET /services/S/I/status`
pub(super) async fn get(
    State(api): State<Api>,
    Path((service, instance)): Named,
    Query(asked): Query<Asked>,
) -> Result<Json<Status>, Problem> {
    let set = |flag: Option<Flag>| flag.is_some_and(Flag::is_set);
    let (response, status) = status_of(&api, &service, &instance, set(asked.stale)).await?;
    let cluster = &response.cluster;
    if status.desired_app.is_empty() {
        let text =
            format!("deployment key {cluster}.{instance} of {service} has no deployment yet");
        return Err(Problem::new(404, text));
    }
    // Of thousands of replicas it takes long.
    let made = off_worker(|| made(service, instance, &response, status, &asked));
    Ok(Json(made))
}

fn made(
    service: String,
    instance: String,
    response: &StatusResponse,
    status: InstanceStatus,
    asked: &Asked,
) -> Status {
    let set = |flag: Option<Flag>| flag.is_some_and(Flag::is_set);
    let (cluster, now_ms) = (&response.cluster, response.now_ms);
    let verbose = set(asked.verbose);
    Status {
        marathon: Marathon {
            app_count: status.apps.iter().filter(|app| app.replicas > 0).count(),
            deploy_status: word(status.deploy_status()),
            running_instance_count: status.counts.unwrap_or_default().running,
            expected_instance_count: status.wanted,
            desired_state: words::word::<DesiredState>(status.desired_state).into_owned(),
            desired_app_id: status.desired_app.clone(),
            bounce_method: words::word::<BounceMethod>(status.bounce_method).into_owned(),
            backoff_seconds: backoff(&status.replicas, now_ms),
            app_statuses: status
                .apps
                .iter()
                .map(|app| self::app(app, &status, now_ms, verbose))
                .collect(),
            autoscaling_info: status.autoscaling.map(|scaled| Autoscaling {
                current_instances: status.counts.unwrap_or_default().running,
                min_instances: scaled.min_instances,
                max_instances: scaled.max_instances,
                target_instances: status.wanted,
            }),
            mesos: (!set(asked.omit_mesos)).then(|| mesos(&status)),
            smartstack: (!set(asked.omit_smartstack))
                .then(|| smartstack(&status, cluster, verbose))
                .flatten(),
        },
        git_sha: status.git_sha,
        service,
        instance,
    }
}

impl Task {
    /// The replica as a task.
    pub(super) fn of(replica: &ReplicaStatus) -> Self {
        Self {
            id: replica.id.clone(),
            app_id: replica.app.clone(),
            host: replica.address.clone(),
            hostname: replica.host.clone(),
            port: replica.host_port,
            state: words::word::<ReplicaPhase>(replica.phase).into_owned(),
            deployed_timestamp: seconds(replica.started_at_ms.unwrap_or(replica.placed_at_ms)),
            is_healthy: replica.health() == ReplicaHealth::Healthy,
        }
    }

    /// Whether it is on the host of that id or address.
    pub(super) fn is_on(&self, host: &str) -> bool {
        self.host == host || self.hostname == host
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

fn runs(replica: &ReplicaStatus) -> bool {
    match replica.phase() {
        ReplicaPhase::Running | ReplicaPhase::Draining => true,
        ReplicaPhase::Placed
        | ReplicaPhase::Accepted
        | ReplicaPhase::Pulling
        | ReplicaPhase::Starting
        | ReplicaPhase::BackingOff
        | ReplicaPhase::Stopping
        | ReplicaPhase::Gone
        | ReplicaPhase::Lost
        | ReplicaPhase::Unrecognized
        | ReplicaPhase::Unspecified => false,
    }
}

fn is_staged(replica: &ReplicaStatus) -> bool {
    match replica.phase() {
        ReplicaPhase::Placed
        | ReplicaPhase::Accepted
        | ReplicaPhase::Pulling
        | ReplicaPhase::Starting => true,
        ReplicaPhase::Running
        | ReplicaPhase::BackingOff
        | ReplicaPhase::Draining
        | ReplicaPhase::Stopping
        | ReplicaPhase::Gone
        | ReplicaPhase::Lost
        | ReplicaPhase::Unrecognized
        | ReplicaPhase::Unspecified => false,
    }
}

/// PaaSTA's word, where it has one.
fn word(status: DeployStatus) -> &'static str {
    match status {
        DeployStatus::Running => "Running",
        DeployStatus::Deploying | DeployStatus::Bouncing => "Deploying",
        DeployStatus::Waiting | DeployStatus::LostBrake => "Waiting",
        DeployStatus::Delayed => "Delayed",
        DeployStatus::Stopped => "Stopped",
        DeployStatus::Held => "Held",
        DeployStatus::NotDeployed | DeployStatus::Unknown | DeployStatus::Unspecified => {
            "NotRunning"
        }
    }
}

/// Until the last of those that crash is tried again.
fn backoff(replicas: &[ReplicaStatus], now_ms: u64) -> Option<f64> {
    let next = replicas.iter().filter_map(|replica| replica.next_try_at_ms);
    next.max().map(|at| seconds(at.saturating_sub(now_ms)))
}

fn app(app: &AppStatus, status: &InstanceStatus, now_ms: u64, verbose: bool) -> App {
    let of_it: Vec<ReplicaStatus> = status
        .replicas
        .iter()
        .filter(|replica| replica.app == app.app)
        .cloned()
        .collect();
    let staged = of_it.iter().filter(|replica| is_staged(replica));
    let refused = refusals(status).into_iter().filter(|_| app.desired);
    App {
        app_id: app.app.clone(),
        tasks_running: app.counts.unwrap_or_default().running,
        tasks_healthy: app.counts.unwrap_or_default().happy,
        tasks_staged: u32::try_from(staged.count()).unwrap_or(u32::MAX),
        tasks_total: app.replicas,
        create_timestamp: seconds(app.created_at_ms),
        deploy_status: match app.desired {
            true => word(status.deploy_status()),
            false => "Stopped",
        },
        backoff_seconds: backoff(&of_it, now_ms),
        unused_offer_reason_counts: refused
            .map(|(why, hosts)| (why.to_owned(), hosts))
            .collect(),
        tasks: match verbose {
            true => of_it.iter().map(Task::of).collect(),
            false => Vec::new(),
        },
    }
}

fn mesos(status: &InstanceStatus) -> Mesos {
    let (running, other): (Vec<_>, Vec<_>) = status.replicas.iter().partition(|one| runs(one));
    let mut rest: Vec<Task> = other.into_iter().map(Task::of).collect();
    rest.sort_by(|a, b| b.deployed_timestamp.total_cmp(&a.deployed_timestamp));
    rest.truncate(NON_RUNNING_MAX);
    Mesos {
        running_task_count: running.len(),
        running_tasks: running.into_iter().map(Task::of).collect(),
        non_running_tasks: rest,
    }
}

/// What load balancers say, if any says anything of a replica. Without a count by location this
/// cluster is one location.
fn smartstack(status: &InstanceStatus, cluster: &str, verbose: bool) -> Option<Smartstack> {
    let known = |replica: &&ReplicaStatus| replica.in_load_balancer.is_some();
    let known: Vec<&ReplicaStatus> = status.replicas.iter().filter(known).collect();
    let registration = status.registrations.first()?;
    if known.is_empty() {
        return None;
    }
    let up = |replica: &&&ReplicaStatus| replica.in_load_balancer == Some(true);
    let backend = |replica: &&ReplicaStatus| Backend {
        hostname: replica.host.clone(),
        port: replica.host_port,
        status: if up(&replica) { "UP" } else { "DOWN" },
        has_associated_task: true,
    };
    let main = status.namespaces.first();
    let counted = main.map_or(&[][..], |namespace| &namespace.locations);
    if !counted.is_empty() {
        let number = u32::try_from(counted.len()).unwrap_or(1);
        let locations = counted.iter().enumerate().map(|(at, one)| Location {
            name: one.location.clone(),
            running_backends_count: one.up as usize,
            // The backends are those of the instance, whatever location sees them: listed once.
            backends: match verbose && at == 0 {
                true => known.iter().map(backend).collect(),
                false => Vec::new(),
            },
        });
        return Some(Smartstack {
            registration: registration.clone(),
            expected_backends_per_location: status.wanted / number,
            locations: locations.collect(),
        });
    }
    Some(Smartstack {
        registration: registration.clone(),
        expected_backends_per_location: status.wanted,
        locations: vec![Location {
            name: cluster.to_owned(),
            running_backends_count: known.iter().filter(up).count(),
            backends: match verbose {
                true => known.iter().map(backend).collect(),
                false => Vec::new(),
            },
        }],
    })
}
